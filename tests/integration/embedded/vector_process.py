"""A vector server as its own process, as `luneo index` runs it."""

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.embedded.processes import wait_until
from adapters.embedded.supervisor import accepts_connections, free_port

API_KEY = "key of the test"
_PROGRAM = """
import sys
from pathlib import Path
from adapters.embedded.vector_server import FolderInUse, serve
try:
    serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] or None)
except FolderInUse as error:
    sys.exit(str(error))
"""


class VectorProcess:
    def __init__(self, folder: Path, api_key: str = API_KEY) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._api_key = api_key
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(folder), str(self.port), api_key], stderr=subprocess.PIPE, text=True
        )

    def wait_ready(self) -> None:
        assert wait_until(lambda: accepts_connections(self.port) or self.process.poll() is not None, 20)
        assert self.process.poll() is None, self.end()

    def end(self) -> str:
        """Wait for its end and return what it said."""
        _, said = self.process.communicate(timeout=20)
        return str(said)

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = API_KEY) -> tuple[int, Any]:
        request = urllib.request.Request(  # noqa: S310 - our own address
            self.url + path,
            method=method,
            data=body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json", **({"api-key": key} if key else {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own address
                content = answer.read()
                return answer.status, json.loads(content) if answer.headers["content-type"] == "application/json" else content
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


@contextlib.contextmanager
def vector_process(folder: Path, api_key: str = API_KEY) -> Iterator[VectorProcess]:
    running = VectorProcess(folder, api_key)
    try:
        running.wait_ready()
        yield running
    finally:
        running.process.kill()
        running.process.communicate()
