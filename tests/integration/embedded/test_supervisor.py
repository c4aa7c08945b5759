import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.embedded.processes import EmbeddedServerFailed, PidFile, ProcessMark, wait_until
from adapters.embedded.supervisor import ChildProcess, NoFreePort, RestartPolicy, RunningChild, Supervisor, free_port

# Says when it is ready (a file), notes when it is asked to stop (a line in a file), and stops.
WELL_BEHAVED = """
import signal, sys, os
from pathlib import Path
name, folder = sys.argv[1], Path(sys.argv[2])
def stop(*_):
    with open(folder / "stops", "a") as stops:
        stops.write(name + "\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
print("hello from", name, flush=True)
with open(folder / "starts", "a") as starts:
    starts.write(name + "\\n")
(folder / (name + ".ready")).write_text(str(os.getpid()))
while True:
    signal.pause()
"""
STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause(); signal.pause()"


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, reports: list[str]) -> Iterator[Supervisor]:
    supervising = Supervisor(tmp_path / "run", report=reports.append)
    yield supervising
    supervising.stop_all()


def child(folder: Path, name: str, *, after: Sequence[str] = (), program: str = WELL_BEHAVED) -> ChildProcess:
    ready = folder / f"{name}.ready"
    return ChildProcess(
        name=name,
        argv=[sys.executable, "-c", program, name, str(folder)],
        log=folder / "logs" / f"{name}.log",
        folder=folder,
        prepare=lambda: ready.unlink(missing_ok=True),
        ready=ready.exists,
        ready_timeout=20,
        after=after,
        stop_timeout=10,
        restart=RestartPolicy(first=0.05, most=0.2),
    )


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def pid_of(folder: Path, name: str) -> int:
    return int((folder / f"{name}.ready").read_text())


def meanwhile(supervisor: Supervisor, action: Callable[[], None]) -> None:
    """Watch in this thread, as the main thread does, while another acts; then stop watching."""

    def act() -> None:
        try:
            action()
        finally:
            supervisor.request_stop()

    acting = threading.Thread(target=act)
    acting.start()
    supervisor.watch()
    acting.join()


def test_children_start_after_those_they_wait_for_and_stop_in_reverse(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.start_all(
        [child(tmp_path, "web", after=["store", "queue"]), child(tmp_path, "store"), child(tmp_path, "queue", after=["store"])]
    )
    assert lines(tmp_path / "starts") == ["store", "queue", "web"]
    supervisor.start_all([child(tmp_path, "extra", after=["web"])])
    assert supervisor.is_alive("extra")
    pids = [pid_of(tmp_path, name) for name in ("store", "queue", "web", "extra")]
    supervisor.stop_all()
    supervisor.stop_all()
    assert lines(tmp_path / "stops") == ["extra", "web", "queue", "store"]
    assert not any(ProcessMark.of(pid) for pid in pids)
    assert list((tmp_path / "run").iterdir()) == []
    assert "hello from web" in (tmp_path / "logs" / "web.log").read_text()


def test_children_that_wait_for_nobody_start_together(tmp_path: Path, supervisor: Supervisor) -> None:
    # Each is ready only when the other has started: one after the other would never end.
    one = replace(child(tmp_path, "one"), ready=(tmp_path / "two.ready").exists)
    two = replace(child(tmp_path, "two"), ready=(tmp_path / "one.ready").exists, prepare=lambda: None)
    supervisor.start_all([replace(one, prepare=lambda: None), two])


def test_impossible_orders_are_refused(tmp_path: Path, supervisor: Supervisor) -> None:
    with pytest.raises(ValueError, match="never be ready"):
        supervisor.start_all([child(tmp_path, "one", after=["missing"])])
    with pytest.raises(ValueError, match="wait for each other"):
        supervisor.start_all([child(tmp_path, "one", after=["two"]), child(tmp_path, "two", after=["one"])])


def test_a_child_that_ends_before_it_is_ready_is_told_with_its_last_words(tmp_path: Path, supervisor: Supervisor) -> None:
    with pytest.raises(EmbeddedServerFailed, match=r"(?s)bad ended with exit code 3.*no luck today"):
        supervisor.start_all([child(tmp_path, "bad", program="import sys; print('no luck today', flush=True); sys.exit(3)")])
    missing = replace(child(tmp_path, "missing"), argv=["/no/such/program"])
    with pytest.raises(EmbeddedServerFailed, match=r"(?s)127.*Cannot execute /no/such/program"):
        supervisor.start_all([missing])


def test_a_child_that_is_never_ready_is_told(tmp_path: Path, supervisor: Supervisor) -> None:
    with pytest.raises(EmbeddedServerFailed, match=r"slow was not ready within 0.2 s"):
        supervisor.start_all([replace(child(tmp_path, "slow"), ready=lambda: False, ready_timeout=0.2)])


def test_a_killed_child_is_started_again_and_the_others_are_left_alone(tmp_path: Path, supervisor: Supervisor, reports: list[str]) -> None:
    supervisor.start_all([child(tmp_path, "one"), child(tmp_path, "two")])
    bystander, victim = pid_of(tmp_path, "one"), pid_of(tmp_path, "two")

    def kill_and_wait() -> None:
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: lines(tmp_path / "starts").count("two") == 2, 20)

    meanwhile(supervisor, kill_and_wait)
    assert lines(tmp_path / "starts").count("one") == 1
    assert pid_of(tmp_path, "one") == bystander
    assert reports == ["two was ended by SIGKILL. It is started again in 0.05 s."]


def test_a_child_that_keeps_dying_is_started_ever_more_slowly(tmp_path: Path, supervisor: Supervisor, reports: list[str]) -> None:
    dying = WELL_BEHAVED.replace("while True:\n    signal.pause()", "os.kill(os.getpid(), signal.SIGKILL)")
    child_ready_at_once = replace(child(tmp_path, "dying", program=dying), ready=lambda: True)
    supervisor.start_all([child_ready_at_once])

    def wait_for_four_deaths() -> None:
        assert wait_until(lambda: len(reports) >= 4, 20)

    meanwhile(supervisor, wait_for_four_deaths)
    assert [report.rpartition("in ")[2] for report in reports[:4]] == ["0.05 s.", "0.1 s.", "0.2 s.", "0.2 s."]


def test_a_child_without_restarts_ends_the_watch(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.start_all([replace(child(tmp_path, "vital"), restart=None)])
    os.kill(pid_of(tmp_path, "vital"), signal.SIGKILL)
    with pytest.raises(EmbeddedServerFailed, match="vital was ended by SIGKILL"):
        supervisor.watch()


def test_a_child_that_will_not_stop_is_killed(tmp_path: Path, supervisor: Supervisor) -> None:
    log = tmp_path / "logs" / "stubborn.log"
    stubborn = replace(
        child(tmp_path, "stubborn", program=STUBBORN), ready=lambda: log.exists() and "up" in log.read_text(), stop_timeout=0.3
    )
    supervisor.start_all([stubborn])
    began = time.monotonic()
    supervisor.stop_all()
    assert 0.2 < time.monotonic() - began < 5
    assert not supervisor.is_alive("stubborn")


SUPERVISING = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from adapters.embedded.supervisor import ChildProcess, Supervisor
folder = Path(sys.argv[1])
def child(name):
    return ChildProcess(
        name=name, argv=[sys.executable, "-c", sys.argv[2], name, str(folder)], log=folder / (name + ".log"), folder=folder,
        ready=(folder / (name + ".ready")).exists,
    )
supervisor = Supervisor(folder / "run", report=print)
with supervisor.stopping_on_signals():
    supervisor.start_all([child("one"), child("two")])
    print("ready", flush=True)
    supervisor.watch()
    supervisor.stop_all()
print("stopped", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_children_and_then_the_supervisor(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", SUPERVISING, tmp_path, WELL_BEHAVED], stdout=subprocess.PIPE, text=True) as supervising:
        assert supervising.stdout is not None
        assert supervising.stdout.readline() == "ready\n"
        supervising.send_signal(number)
        assert supervising.stdout.readline() == "stopped\n"
        assert supervising.wait(10) == 0
    assert lines(tmp_path / "stops") == ["two", "one"]


def test_children_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SUPERVISING, tmp_path, WELL_BEHAVED], stdout=subprocess.PIPE, text=True) as supervising:
        assert supervising.stdout is not None
        assert supervising.stdout.readline() == "ready\n"
        supervising.kill()
    pids = [pid_of(tmp_path, name) for name in ("one", "two")]
    assert wait_until(lambda: not any(ProcessMark.of(pid) for pid in pids), 10)
    assert sorted(lines(tmp_path / "stops")) == ["one", "two"]


def test_a_leftover_that_outlived_a_killed_supervisor_is_stopped_at_the_next_start(tmp_path: Path, supervisor: Supervisor) -> None:
    program = STUBBORN.replace(
        "print('up', flush=True)", "open(sys.argv[2] + '/' + sys.argv[1] + '.ready', 'w').write(str(__import__('os').getpid()))"
    )
    with subprocess.Popen([sys.executable, "-c", SUPERVISING, tmp_path, program], stdout=subprocess.PIPE, text=True) as supervising:
        assert supervising.stdout is not None
        assert supervising.stdout.readline() == "ready\n"
        supervising.kill()
    survivors = [mark for mark in (ProcessMark.of(pid_of(tmp_path, name)) for name in ("one", "two")) if mark is not None]
    assert len(survivors) == 2
    supervisor.start_all([replace(child(tmp_path, name), leftover_timeout=0.2) for name in ("one", "two")])
    assert not any(mark.is_alive() for mark in survivors)


def test_leftovers_are_stopped_in_reverse_before_the_first_is_started_again(tmp_path: Path, supervisor: Supervisor) -> None:
    deaf = WELL_BEHAVED.replace(
        "def stop(*_):",
        "def stop(*_):\n    if not (folder / 'again').exists():\n        (folder / f'{name}.heard').touch()\n        return",
    )
    with subprocess.Popen([sys.executable, "-c", SUPERVISING, tmp_path, deaf], stdout=subprocess.PIPE, text=True) as supervising:
        assert supervising.stdout is not None
        assert supervising.stdout.readline() == "ready\n"
        supervising.kill()
    survivors = [mark for mark in (ProcessMark.of(pid_of(tmp_path, name)) for name in ("one", "two")) if mark is not None]
    assert len(survivors) == 2
    assert wait_until(lambda: all((tmp_path / f"{name}.heard").exists() for name in ("one", "two")), 20), "both hear that their parent died"
    (tmp_path / "again").touch()
    alive_at_start: list[bool] = []
    one = child(tmp_path, "one")

    def prepare() -> None:
        alive_at_start.append(any(mark.is_alive() for mark in survivors))
        one.prepare()

    watching = replace(one, prepare=prepare)
    supervisor.start_all([watching, child(tmp_path, "two")])
    assert alive_at_start == [False]
    assert lines(tmp_path / "stops") == ["two", "one"]


def test_a_process_that_was_given_the_number_of_an_old_child_is_left_alone(tmp_path: Path, supervisor: Supervisor) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        mark = ProcessMark.of(stranger.pid)
        assert mark is not None
        PidFile(tmp_path / "run" / "one.pid").write(replace(mark, started="1"))
        PidFile(tmp_path / "run" / "two.pid").write(replace(mark, boot="another boot"))
        (tmp_path / "run" / "three.pid").write_text("not a mark")
        supervisor.start_all([child(tmp_path, name) for name in ("one", "two", "three")])
        assert stranger.poll() is None
        stranger.kill()


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    running = RunningChild(child(tmp_path, "one"), tmp_path / "run")
    starting = threading.Thread(target=running.launch)
    starting.start()
    starting.join()
    running.wait_ready()
    assert running.is_alive()
    assert lines(tmp_path / "stops") == []
    running.stop()


def test_a_child_whose_parent_is_already_dead_does_not_start(tmp_path: Path) -> None:
    guard = Path(__file__).parents[3] / "adapters" / "embedded" / "guard.py"
    done = subprocess.run(
        [sys.executable, "-I", "-S", guard, "1", "15", "-1", "-1", "/bin/touch", tmp_path / "started"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "is gone" in done.stderr
    assert not (tmp_path / "started").exists()


def test_a_long_log_is_put_aside_at_the_next_start(tmp_path: Path, supervisor: Supervisor) -> None:
    log = tmp_path / "logs" / "one.log"
    log.parent.mkdir()
    log.write_bytes(b"old\n" * 3_000_000)
    supervisor.start_all([child(tmp_path, "one")])
    assert log.stat().st_size < 1000
    assert log.with_name("one.log.1").stat().st_size == 12_000_000
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_free_port_is_the_preferred_one_or_the_next() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < free_port(port) <= port + 100
    assert free_port(port) == port
    assert free_port() != 0
    with pytest.raises(NoFreePort):
        free_port(70_000)
