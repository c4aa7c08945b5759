"""What arrives on a connection, as sockets send it: no request at all, one without end, and offers to speak something else."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import uvicorn
from litestar.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from entrypoints.http.protocol import MAXIMUM_HEAD_BYTES, MAXIMUM_TARGET_BYTES, Protocol

HEAD = b"Host: a\r\n"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any

    @classmethod
    def of(cls, raw: bytes) -> "Reply":
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return cls(int(first.split(" ")[1]), headers, json.loads(body) if body else None)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what was understood."""
    body, more = b"", True
    while more:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    said = json.dumps({"path": scope["path"], "body": body.decode(), "headers": [n.decode() for n, _ in scope["headers"]]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said, "more_body": False})


async def half(_: Scope, __: Receive, send: Send) -> None:
    """Begin an answer and never end it."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    await asyncio.Event().wait()


async def pieces(_: Scope, __: Receive, send: Send) -> None:
    """Answer in pieces, without a length."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (b"some ", b"", b"text"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def connected(app: ASGIApp = echo) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    served: Any = app  # uvicorn has types of its own
    config = uvicorn.Config(served, ws="none", log_config=None, lifespan="off")
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        yield reader, writer
        writer.close()
        for task in state.tasks:
            task.cancel()


async def reply_to(*pieces: bytes) -> Reply:
    """Return the only answer; the connection is closed after it."""
    async with connected() as (reader, writer):
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass  # it was refused before it was sent
        return Reply.of(await asyncio.wait_for(reader.read(), 10))


NO_REQUESTS = {
    "noise": [b"\x00\x01 noise\r\n\r\n"],
    "tls": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    "method": [b"FOO / HTTP/1.1\r\n" + HEAD + b"\r\n"],
    "path": [b"GET /\xff HTTP/1.1\r\n" + HEAD + b"\r\n"],
    "tunnel": [b"CONNECT a:443 HTTP/1.1\r\n" + HEAD + b"\r\n"],
    "two lengths": [b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    "length and chunks": [b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    "chunk": [b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", b"zz\r\n"],
    "header": [b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\x00b\r\n\r\n"],
}


@pytest.mark.parametrize("pieces", NO_REQUESTS.values(), ids=NO_REQUESTS)
async def test_what_is_no_request_is_a_problem(pieces: Sequence[bytes]) -> None:
    reply = await reply_to(*pieces)
    assert (reply.status, reply.body["code"], reply.body["status"]) == (400, "bad_request", 400)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["x-request-id"] == reply.body["request_id"]
    assert (reply.headers["x-content-type-options"], reply.headers["connection"]) == ("nosniff", "close")


@pytest.mark.parametrize("length", [MAXIMUM_TARGET_BYTES, 100_000])
async def test_a_target_that_is_too_long_is_414(length: int) -> None:
    reply = await reply_to(b"GET /" + b"a" * length + b" HTTP/1.1\r\n" + HEAD + b"\r\n")
    assert (reply.status, reply.body["code"]) == (414, "target_too_long")


async def test_a_target_of_the_greatest_length_is_read() -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET /" + b"a" * (MAXIMUM_TARGET_BYTES - 1) + b" HTTP/1.1\r\n" + HEAD + b"\r\n")
        assert b" 200 " in await asyncio.wait_for(reader.readline(), 10)


ENDLESS = {
    "one header": [b"GET / HTTP/1.1\r\n" + HEAD + b"X: ", *[b"a" * 10_000] * 100],
    "many headers": [b"GET / HTTP/1.1\r\n" + HEAD, *[b"X: a\r\n" * 1_000] * 100],
    "at once": [b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * MAXIMUM_HEAD_BYTES + b"\r\n\r\n"],
    "a trailer": [b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ", *[b"a" * 10_000] * 100],
    "a name": [b"GET / HTTP/1.1\r\n" + HEAD, *[b"X" * 10_000] * 100],
    "an extension": [b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;x=", *[b"a" * 10_000] * 100],
}


@pytest.mark.parametrize("pieces", ENDLESS.values(), ids=ENDLESS)
async def test_a_head_without_end_is_431(pieces: Sequence[bytes]) -> None:
    reply = await reply_to(*pieces)
    assert (reply.status, reply.body["code"]) == (431, "headers_too_large")


async def test_a_long_body_is_no_head() -> None:
    async with connected() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000000\r\n\r\n")
        for _ in range(100):
            writer.write(b"a" * 10_000)
            await writer.drain()
        assert b" 200 " in await asyncio.wait_for(reader.readline(), 10)


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
WITH_BODIES = {
    "length": [b"Content-Length: 9\r\n\r\n", b"some ", b"text"],
    "length at once": [b"Content-Length: 9\r\n\r\nsome text"],
    "chunks": [b"Transfer-Encoding: chunked\r\n\r\n5\r\nsome \r\n", b"4\r\ntext\r\n0\r\n\r\n"],
}


@pytest.mark.parametrize("pieces", WITH_BODIES.values(), ids=WITH_BODIES)
async def test_an_offer_to_change_the_protocol_is_not_taken_and_loses_no_body(pieces: Sequence[bytes]) -> None:
    first, *rest = pieces
    async with connected() as (reader, writer):
        writer.write(b"POST /one HTTP/1.1\r\n" + HEAD + OFFER + first)
        for piece in rest:
            await writer.drain()
            writer.write(piece)
        writer.write(b"GET /two HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
        raw = await asyncio.wait_for(reader.read(), 10)
    one, two = (Reply.of(b"HTTP/1.1" + part) for part in raw.split(b"HTTP/1.1")[1:])
    assert (one.status, one.body["path"], one.body["body"]) == (200, "/one", "some text")
    assert (two.status, two.body["path"], two.body["body"]) == (200, "/two", "")


async def test_a_request_behind_an_offer_without_a_body_is_answered_too() -> None:
    reply = await reply_to(b"GET /one HTTP/1.1\r\n" + HEAD + OFFER + b"\r\n" + b"noise\r\n\r\n")
    assert (reply.status, reply.body["code"]) == (400, "bad_request")
    async with connected() as (reader, writer):
        writer.write(b"GET /one HTTP/1.1\r\n" + HEAD + OFFER + b"\r\nGET /two HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
        raw = await asyncio.wait_for(reader.read(), 10)
    assert [Reply.of(b"HTTP/1.1" + part).body["path"] for part in raw.split(b"HTTP/1.1")[1:]] == ["/one", "/two"]


async def test_trailers_are_no_headers() -> None:
    async with connected() as (reader, writer):
        writer.write(
            b"POST / HTTP/1.1\r\n"
            + HEAD
            + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Forwarded-For: 1\r\n\r\n"
        )
        reply = Reply.of(await asyncio.wait_for(reader.read(), 10))
    assert (reply.status, reply.body["body"]) == (200, "a")
    assert reply.body["headers"] == ["host", "connection", "transfer-encoding"]


async def test_noise_behind_a_request_ends_its_answer_and_is_not_written_into_it() -> None:
    async with connected(half) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"half"), 10)).startswith(b"HTTP/1.1 200 ")
        writer.write(b"\x00 noise\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_noise_behind_requests_that_wait_is_not_answered_before_them() -> None:
    async with connected(half) as (reader, writer):
        writer.write((b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n") * 2 + b"\x00 noise\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 10) == b""


@pytest.mark.parametrize("keeping", [b"", b"Connection: keep-alive\r\n"])
async def test_an_old_client_gets_no_chunks(keeping: bytes) -> None:
    async with connected(pieces) as (reader, writer):
        writer.write(b"GET / HTTP/1.0\r\n" + HEAD + keeping + b"\r\n")
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body == b"some text"


async def test_an_old_client_gets_what_has_a_length_as_it_is() -> None:
    async with connected() as (reader, writer):
        writer.write(b"POST /old HTTP/1.0\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi")
        reply = Reply.of(await asyncio.wait_for(reader.read(), 10))
    assert (reply.status, reply.body["path"], reply.body["body"]) == (200, "/old", "hi")
    assert int(reply.headers["content-length"]) > 0


async def test_a_client_of_today_gets_chunks() -> None:
    async with connected(pieces) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"5\r\nsome \r\n4\r\ntext\r\n0\r\n\r\n"
