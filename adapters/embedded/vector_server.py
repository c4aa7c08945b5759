"""`luneo index`: the process that owns the vector index and answers the Qdrant REST calls that Luneo makes.

`qdrant-client` talks to it by URL as it talks to a Qdrant server: one client, embedded or in production. Only what Luneo uses is
here; anything else is refused with a message that names it.
"""

import asyncio
import contextlib
import hmac
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import uvicorn

from adapters.embedded.edge_store import CollectionExists, CollectionMissing, EdgeStore, FolderInUse, Json, WrongInput

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

__all__ = ["FolderInUse", "VectorServer", "create_app", "serve"]

_COMPATIBLE_WITH = "1.20.0"  # the Qdrant interface spoken here; clients compare it with their own version
_BODY_LIMIT_BYTES = 32 * 1024 * 1024  # Qdrant's own
_THREADS = 8
_OPEN_PATHS = {"/", "/healthz", "/livez", "/readyz"}


@dataclass(frozen=True, slots=True)
class _Call:
    """One request: the names in its path and its decoded body."""

    names: Mapping[str, str]
    body: Json


_Action = Callable[[EdgeStore, _Call], Json]


def _create_collection(store: EdgeStore, call: _Call) -> Json:
    store.create(call.names["collection"], call.body)
    return True


def _query_batch(store: EdgeStore, call: _Call) -> Json:
    collection = store.get(call.names["collection"])
    searches = call.body.get("searches") if isinstance(call.body, dict) else None
    if not isinstance(searches, list):
        raise WrongInput("Format error in JSON body: searches is missing")
    return [collection.query(search) for search in searches]


def _one_point(store: EdgeStore, call: _Call) -> Json:
    name = call.names["point"]
    identifier = int(name) if name.isdecimal() else name
    found = store.get(call.names["collection"]).retrieve({"ids": [identifier], "with_vector": True})
    if not found:
        raise CollectionMissing(f"Not found: Point with id {name} does not exists!")
    return found[0]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))


_ROUTES: list[tuple[str, re.Pattern[str], _Action]] = [
    (method, _pattern(path), action)
    for method, path, action in (
        ("GET", "/collections", lambda store, _: {"collections": [{"name": name} for name in store.names()]}),
        ("GET", "/collections/{collection}/exists", lambda store, call: {"exists": store.has(call.names["collection"])}),
        ("GET", "/collections/{collection}", lambda store, call: store.get(call.names["collection"]).info()),
        ("PUT", "/collections/{collection}", _create_collection),
        ("DELETE", "/collections/{collection}", lambda store, call: store.delete(call.names["collection"])),
        ("PUT", "/collections/{collection}/index", lambda store, call: store.get(call.names["collection"]).create_index(call.body)),
        (
            "DELETE",
            "/collections/{collection}/index/{field}",
            lambda store, call: store.get(call.names["collection"]).delete_index(call.names["field"]),
        ),
        ("PUT", "/collections/{collection}/points", lambda store, call: store.get(call.names["collection"]).upsert(call.body)),
        ("POST", "/collections/{collection}/points", lambda store, call: store.get(call.names["collection"]).retrieve(call.body)),
        ("POST", "/collections/{collection}/points/delete", lambda store, call: store.get(call.names["collection"]).delete(call.body)),
        ("POST", "/collections/{collection}/points/query", lambda store, call: store.get(call.names["collection"]).query(call.body)),
        ("POST", "/collections/{collection}/points/query/batch", _query_batch),
        ("POST", "/collections/{collection}/points/scroll", lambda store, call: store.get(call.names["collection"]).scroll(call.body)),
        ("POST", "/collections/{collection}/points/count", lambda store, call: store.get(call.names["collection"]).count(call.body)),
        ("GET", "/collections/{collection}/points/{point}", _one_point),
    )
]


class _Refused(Exception):
    """A request that ends with an error status and a message."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class VectorServer:
    """The ASGI application. Calls into the store block, so they run in threads of its own; none of them ever optimises."""

    def __init__(self, store: EdgeStore, api_key: str | None) -> None:
        self._store = store
        self._api_key = api_key.encode() if api_key else None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="edge")
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder()

    def close(self) -> None:
        """Wait for calls in progress, then write everything down and let the folder go."""
        self._threads.shutdown()
        self._store.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event of the server."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        status = HTTPStatus.OK
        path = scope["raw_path"].decode("latin-1").partition("?")[0].rstrip("/") or "/"
        if path in _OPEN_PATHS and path != "/":
            await _send(send, status, b"text/plain", f"{path[1:]} check passed".encode())
            return
        try:
            if path == "/":
                await _send(send, status, b"application/json", self._encoder.encode(_version()))
                return
            self._authenticate(scope)
            action, names = self._route(scope["method"], path)
            body = await self._body(receive)
            call = _Call(names, body)
            result = await asyncio.get_running_loop().run_in_executor(self._threads, partial(action, self._store, call))
            answer = {"result": result, "status": "ok", "time": time.perf_counter() - began}
        except _Refused as refusal:
            status, answer = refusal.status, _error(str(refusal), began)
        except CollectionMissing as error:
            status, answer = HTTPStatus.NOT_FOUND, _error(str(error), began)
        except CollectionExists as error:
            status, answer = HTTPStatus.CONFLICT, _error(str(error), began)
        except WrongInput as error:
            status, answer = HTTPStatus.BAD_REQUEST, _error(str(error), began)
        except Exception as error:  # noqa: BLE001 - Edge raises bare exceptions; the caller gets an answer in Qdrant's shape
            status, answer = HTTPStatus.INTERNAL_SERVER_ERROR, _error(f"Service internal error: {error}", began)
        await _send(send, status, b"application/json", self._encoder.encode(answer))

    def _authenticate(self, scope: Scope) -> None:
        if self._api_key is None:
            return
        headers = dict(scope["headers"])
        given = headers.get(b"api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if not given:
            raise _Refused(HTTPStatus.UNAUTHORIZED, "Must provide an API key or an Authorization bearer token")
        if not hmac.compare_digest(given, self._api_key):
            raise _Refused(HTTPStatus.UNAUTHORIZED, "Invalid API key or JWT")

    @staticmethod
    def _route(method: str, path: str) -> tuple[_Action, dict[str, str]]:
        found = [(each, action, match) for each, pattern, action in _ROUTES if (match := pattern.fullmatch(path))]
        if not found:
            raise _Refused(HTTPStatus.NOT_FOUND, f"Not found: {path} is not a path of this server")
        for each, action, match in found:
            if each == method:
                return action, {name: unquote(value) for name, value in match.groupdict().items()}
        raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not supported on {path}")

    async def _body(self, receive: Receive) -> Json:
        received = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Refused(HTTPStatus.BAD_REQUEST, "The client left")
            received += message.get("body", b"")
            if len(received) > _BODY_LIMIT_BYTES:
                raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {_BODY_LIMIT_BYTES} bytes")
            more = message.get("more_body", False)
        if not received:
            return {}
        try:
            return self._decoder.decode(received)
        except msgspec.DecodeError as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"Format error in JSON body: {error}") from error


def _version() -> dict[str, str]:
    return {"title": "luneo index - Qdrant Edge", "version": _COMPATIBLE_WITH}


def _error(message: str, began: float) -> dict[str, Json]:
    return {"status": {"error": message}, "result": None, "time": time.perf_counter() - began}


async def _send(send: Send, status: HTTPStatus, media_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", media_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})


def create_app(folder: Path, api_key: str | None) -> VectorServer:
    """Open the index in `folder` and return the application that answers for it.

    With `api_key` every call but the probes must carry it. The application's shutdown, or `close`, lets the folder go.
    Raises `FolderInUse` when another process owns the folder.
    """
    return VectorServer(EdgeStore(folder), api_key)


class _Server(uvicorn.Server):
    """Tells `started` once it serves.

    Ends by returning: uvicorn's own way is to raise the signal again, which skips everything after it.
    """

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        if not self.should_exit:
            self._started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on SIGINT and SIGTERM while the block runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True


class _Guest(_Server):
    """Runs on a loop that is somebody else's: signals are not its business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[str]:
    """Serve the index on a free port of 127.0.0.1, without a key, from this event loop while the block runs; yields its URL.

    Raises `FolderInUse` when another process owns the folder.
    """
    app = create_app(folder, None)
    started = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
        server = _Guest(config, started.set)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await started.wait()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running
            app.close()


def serve(folder: Path, port: int, api_key: str | None, *, started: Callable[[], None] = lambda: None) -> None:
    """Serve the index on 127.0.0.1 until SIGINT or SIGTERM, then finish what is in progress and return. `started` is called once it serves.

    Raises `FolderInUse` when another process owns the folder, `SystemExit` when the port can't be used.
    """
    app = create_app(folder, api_key)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
    try:
        asyncio.run(_Server(config, started).serve())
    finally:
        app.close()
