"""llmock, a stand-in for OpenAI that fails on demand, as a process of its own."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any, Self

import pytest

_START_SECONDS = 30


class LlmockServer:
    """One llmock on a free port of 127.0.0.1; scripted over its control API."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where the OpenAI API is."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        start = "from llmock.cli import app; app()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", start, "serve", "--port", str(self._port), "--log-level", "warning"],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._call("GET", "/health")
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return self

    def __exit__(self, *exception: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def script(self, *behaviours: dict[str, Any]) -> None:
        """Forget everything, then queue these behaviours for the requests to come."""
        self._call("POST", "/_llmock/reset")
        if behaviours:
            self._call("POST", "/_llmock/scenario", {"behaviors": list(behaviours)})

    def requests(self) -> list[dict[str, Any]]:
        """Return every request since the last script, oldest first."""
        found: list[dict[str, Any]] = self._call("GET", "/_llmock/requests")["requests"]
        return found

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - http, ours
            return json.load(response)


@pytest.fixture(scope="module")
def llmock_server() -> Iterator[LlmockServer]:
    """One llmock for a module."""
    with LlmockServer() as server:
        yield server
