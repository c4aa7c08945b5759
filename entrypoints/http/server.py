"""Serving the app with uvicorn: finishes running turns before it ends, and returns instead of re-raising the signal."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from litestar.types import ASGIApp

from entrypoints.http.protocol import Protocol

Drain = Callable[[], Awaitable[None]]
_CONNECTION_SECONDS = 10


class Server(uvicorn.Server):
    """Stops on SIGINT and SIGTERM: takes no more connections, drains, then closes."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ask the server to stop on the first signal, to stop at once on the second; never raise it again afterwards."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain beside uvicorn's own shutdown, which waits for open streams."""
        draining = asyncio.ensure_future(self._drain())
        await super().shutdown(sockets)
        await draining


async def serve(app: ASGIApp, *, host: str, port: int, drain: Drain, drain_seconds: float) -> None:
    """Serve until a signal comes; `drain` gets `drain_seconds` to let running work end."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="none",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(drain_seconds) + _CONNECTION_SECONDS,
    )
    await Server(config, drain).serve()
