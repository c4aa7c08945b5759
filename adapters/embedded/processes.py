"""Operating-system processes: starting one that dies with us, and knowing one of an earlier run again.

A process is known by its id, the moment it started and the boot it started in: an id alone may have been given to somebody
else's process since. Everything here blocks; nothing here needs an event loop.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

_GUARD = Path(__file__).with_name("guard.py")
_POLL_SECONDS = 0.01
_PROC = Path("/proc")
# Fields of /proc/<pid>/stat after the name, counted from 0 (proc_pid_stat(5)): the state and the start time in clock ticks.
_STAT_STATE = 0
_STAT_START_TIME = 19


class EmbeddedServerFailed(Exception):
    """A child process could not be started, or ended before it was ready; the message says what to do or holds the log's end."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group, by number, that a child process runs as."""

    user: int
    group: int


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """What tells one process from every other that ever had its id."""

    pid: int
    started: str
    boot: str

    @classmethod
    def of(cls, pid: int) -> "ProcessMark | None":
        """Return the mark of a process that runs now, or None when there is none (a zombie has ended and counts as none)."""
        started = _start_time(pid)
        return None if started is None else cls(pid, started, _boot_id())

    def is_alive(self) -> bool:
        """Tell whether exactly this process still runs."""
        return ProcessMark.of(self.pid) == self

    def stop(self, stop_signal: int, timeout: float) -> None:
        """Send `stop_signal`, wait at most `timeout` seconds, then SIGKILL; return when it is gone."""
        if not self._signal(stop_signal):
            return
        if not wait_until(lambda: not self.is_alive(), timeout) and self._signal(signal.SIGKILL):
            wait_until(lambda: not self.is_alive(), 10)

    def _signal(self, number: int) -> bool:
        """Send a signal if it is still this process; the process descriptor closes the gap between looking and sending."""
        if hasattr(os, "pidfd_open"):
            try:
                descriptor = os.pidfd_open(self.pid)
            except OSError:
                return False
            try:
                if not self.is_alive():
                    return False
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)
            return True
        if not self.is_alive():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return True


def wait_until(happened: Callable[[], bool], timeout: float) -> bool:
    """Look every 10 ms whether something happened, for at most `timeout` seconds; return whether it did."""
    deadline = time.monotonic() + timeout
    while not happened():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _start_time(pid: int) -> str | None:
    if _PROC.joinpath("self").exists():
        stat = _stat(pid)
        return None if stat is None or stat[_STAT_STATE] in "ZX" else stat[_STAT_START_TIME]
    # Without /proc (macOS): what ps says.
    answer = subprocess.run(  # noqa: S603 - fixed arguments and a number
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return answer.partition(" ")[2].strip() if answer and not answer.startswith("Z") else None


def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def command_line(pid: int) -> list[str]:
    """Return a process's arguments as it shows them, or nothing when it is gone or hides them."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def processes_working_in(folder: Path, program: str) -> Iterator[ProcessMark]:
    """Yield processes of the program named `program` whose working directory is `folder`.

    A server that changed into its data folder is found this way even when its pid file is lost. Processes that we are not
    allowed to inspect are passed over.
    """
    if not _PROC.is_dir():
        return
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "comm").read_text().strip() != program or not (entry / "cwd").samefile(folder):
                continue
        except OSError:
            continue
        mark = ProcessMark.of(int(entry.name))
        if mark is not None:
            yield mark


@dataclass(frozen=True, slots=True)
class PidFile:
    """Where the mark of a running child is kept, for the next run to find what this one left behind."""

    path: Path

    def write(self, mark: ProcessMark) -> None:
        """Remember a process."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(asdict(mark)))

    def read(self) -> ProcessMark | None:
        """Return the remembered process, whether or not it still runs."""
        try:
            content = json.loads(self.path.read_text())
            return ProcessMark(int(content["pid"]), str(content["started"]), str(content["boot"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remove(self) -> None:
        """Forget the process."""
        self.path.unlink(missing_ok=True)

    def stop_leftover(self, stop_signal: int, timeout: float) -> bool:
        """Stop the remembered process if exactly it still runs; return whether it did."""
        mark = self.read()
        found = mark is not None and mark.is_alive()
        if mark is not None and found:
            mark.stop(stop_signal, timeout)
        self.remove()
        return found


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a whole file or nothing: a reader, or the next start after a crash, sees the old content or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(descriptor, mode)
        with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class _Spawner:
    """Starts every child from one thread that lives as long as this process.

    The kernel sends the parent-death signal when the *thread* that forked ends. A child started from a worker thread would die
    with that thread.
    """

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._process = 0

    def run(self, work: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._process != os.getpid():  # also after a fork, which does not take threads along
                self._requests = queue.SimpleQueue()
                threading.Thread(target=self._serve, args=(self._requests,), name="spawner", daemon=True).start()
                self._process = os.getpid()
        answer: queue.SimpleQueue[subprocess.Popen[bytes] | OSError] = queue.SimpleQueue()

        def attempt() -> None:
            try:
                answer.put(work())
            except OSError as error:
                answer.put(error)

        self._requests.put(attempt)
        result = answer.get()
        if isinstance(result, OSError):
            raise result
        return result

    @staticmethod
    def _serve(requests: queue.SimpleQueue[Callable[[], None]]) -> None:
        while True:
            requests.get()()


_spawner = _Spawner()


def spawn(
    argv: Sequence[str],
    *,
    output: IO[bytes],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
    death_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a program in its own session, so that Ctrl-C in a terminal reaches it only through us.

    It gets `death_signal` when this process dies, however it dies (Linux). Its output, both streams, goes to `output`; its input
    is empty. With `account`, which only root may give, it runs as that user without supplementary groups.
    Raises `OSError` when no process can be made; a program that can't be executed ends with 127 and its reason in `output`.
    """
    user, group = (account.user, account.group) if account is not None else (-1, -1)
    guarded = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(int(death_signal)), str(user), str(group), *argv]
    return _spawner.run(
        lambda: subprocess.Popen(  # noqa: S603 - our own programs with our own arguments
            guarded,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(os.environ if environment is None else environment),
            start_new_session=True,
        )
    )
