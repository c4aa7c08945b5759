"""Floor B: the least that a stored turn takes with the same libraries: `python -m tests.benchmarks.floor_b PORT DSN UPSTREAM`.

Litestar, one look-up of the caller's key, one read of the history, the model called by plain aiohttp, question and answer written as one
statement. No roles, no revocation, no quota, no metering, no row-level security, no resumable stream.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from uuid import UUID

import aiohttp
import msgspec
import uvicorn
import uvloop
from litestar import Litestar, Request, Response, post
from litestar.exceptions import NotAuthorizedException
from litestar.params import FromPath, JSONBody
from litestar.response import Stream
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool

from shared_kernel.identifiers import new_id

SCHEMA = """
create schema floor;
create table floor.messages (like conversational_ai.messages including all);
create index on floor.messages (conversation_id, id);
create table floor.keys (digest bytea primary key, owner uuid not null);
grant usage on schema floor to luneo_app;
grant select, insert on floor.messages, floor.keys to luneo_app
"""
_CALLER = "select owner from floor.keys where digest = %s"
_HISTORY = "select role, content from floor.messages where conversation_id = %s order by id desc limit 10"
_WRITE = """
insert into floor.messages (organization_id, id, conversation_id, turn_id, role, content, citations, complete, created_at)
values (%(conversation)s, %(question_id)s, %(conversation)s, %(turn)s, 'user', %(question)s, '[]', true, now()),
       (%(conversation)s, %(answer_id)s, %(conversation)s, %(turn)s, 'assistant', %(answer)s, '[]', true, now())
"""


class Ask(msgspec.Struct):
    content: str
    model: str


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


_CHUNK = msgspec.json.Decoder(_Chunk)


def _texts(piece: bytes) -> list[str]:
    """Return the texts in what arrived; the canned upstream never splits an event."""
    events = (_CHUNK.decode(line[6:]) for line in piece.split(b"\n") if line.startswith(b"data: {"))
    return [choice.delta.content for event in events for choice in event.choices if choice.delta.content]


class Floor:
    """What the handler works with."""

    def __init__(self, dsn: str, upstream: str) -> None:
        self.upstream = f"{upstream}/chat/completions"
        self.pool = AsyncConnectionPool(
            dsn, kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": tuple_row}, min_size=1, max_size=10, open=False
        )
        self.http: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as self.http, self.pool:
            app.state.floor = self
            yield

    async def caller(self, authorization: str) -> UUID:
        async with self.pool.connection() as connection:
            found = await (await connection.execute(_CALLER, (sha256(authorization.encode()).digest(),))).fetchone()
        if found is None:
            raise NotAuthorizedException
        owner: UUID = found[0]
        return owner

    async def answer(self, conversation: UUID, ask: Ask) -> AsyncIterator[str]:
        async with self.pool.connection() as connection:
            past = await (await connection.execute(_HISTORY, (conversation,))).fetchall()
        messages = [{"role": role, "content": content} for role, content in reversed(past)] + [{"role": "user", "content": ask.content}]
        said: list[str] = []
        assert self.http is not None
        body = msgspec.json.encode({"model": ask.model, "messages": messages, "stream": True})
        async with self.http.post(self.upstream, data=body, headers={"content-type": "application/json"}) as response:
            async for piece in response.content.iter_any():
                for text in _texts(piece):
                    said.append(text)
                    yield text
        written = {
            "conversation": conversation,
            "turn": new_id(),
            "question_id": new_id(),
            "answer_id": new_id(),
            "question": ask.content,
            "answer": "".join(said),
        }
        async with self.pool.connection() as connection:
            await connection.execute(_WRITE, written)

    async def events(self, conversation: UUID, ask: Ask) -> AsyncIterator[bytes]:
        async for text in self.answer(conversation, ask):
            yield b"event: answer.delta\ndata: " + msgspec.json.encode({"text": text}) + b"\n\n"
        yield b"event: turn.completed\ndata: {}\n\n"


@post("/conversations/{conversation_id:uuid}/messages", status_code=200)
async def turn(conversation_id: FromPath[UUID], data: JSONBody[Ask], request: Request[Any, Any, Any]) -> Response[Any]:
    floor: Floor = request.app.state.floor
    await floor.caller(request.headers.get("authorization", ""))
    if request.headers.get("accept") == "text/event-stream":
        return Stream(floor.events(conversation_id, data), media_type="text/event-stream")
    return Response({"content": "".join([text async for text in floor.answer(conversation_id, data)])}, media_type="application/json")


async def _serve(port: int, dsn: str, upstream: str) -> None:
    app = Litestar([turn], lifespan=[Floor(dsn, upstream).lifespan], openapi_config=None, logging_config=None)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, loop="none", http="httptools", log_config=None, access_log=False, ws="none", timeout_keep_alive=75
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
