"""A client of the API that counts what it gets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2

TERMINAL = frozenset({"turn.completed", "turn.stopped", "turn.failed"})


@dataclass
class Event:
    """One event of a turn's stream."""

    sequence: int
    name: str
    data: dict[str, Any]


@dataclass
class Stream:
    """What came of one stream: `broken` when the connection ended before its end."""

    turn_id: str
    events: list[Event] = field(default_factory=list)
    broken: bool = False

    @property
    def last_id(self) -> int:
        """The id that a client would resume from."""
        return self.events[-1].sequence if self.events else 0

    @property
    def names(self) -> list[str]:
        """The events' names."""
        return [event.name for event in self.events]

    @property
    def text(self) -> str:
        """What was said."""
        return "".join(event.data["text"] for event in self.events if event.name == "answer.delta")

    @property
    def ended(self) -> bool:
        """Whether its terminal event came."""
        return bool(self.events) and self.events[-1].name in TERMINAL


@dataclass
class Visitor:
    """Talks to one replica."""

    client: httpx2.AsyncClient
    agent_id: str

    @classmethod
    @asynccontextmanager
    async def at(cls, base_url: str, api_key: str, agent_id: str) -> "AsyncIterator[Self]":
        """Open connections to a replica."""
        async with httpx2.AsyncClient(
            base_url=f"{base_url}/api/v1",
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=60,
            trust_env=False,
            limits=httpx2.Limits(max_connections=200),
        ) as client:
            yield cls(client, agent_id)

    async def converse(self) -> str:
        """Start a conversation."""
        answer = await self.client.post("/conversations", json={"agent_id": self.agent_id})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def ask(self, conversation: str, content: str, **headers: str) -> httpx2.Response:
        """Ask and wait for the whole answer."""
        return await self.client.post(f"/conversations/{conversation}/messages", json={"content": content}, headers=headers)

    @asynccontextmanager
    async def asking(self, conversation: str, content: str, **headers: str) -> "AsyncIterator[tuple[Stream, AsyncIterator[Event]]]":
        """Ask for a stream; leaving the block leaves the stream."""
        async with self.client.stream(
            "POST", f"/conversations/{conversation}/messages", json={"content": content}, headers={"Accept": "text/event-stream", **headers}
        ) as answer:
            assert answer.status_code == 200, (await answer.aread()).decode()
            stream = Stream(answer.headers["luneo-turn"])
            yield stream, _events(answer, stream)

    async def listen(self, conversation: str, content: str, **headers: str) -> Stream:
        """Ask for a stream and read it to its end, or to where it breaks."""
        async with self.asking(conversation, content, **headers) as (stream, events):
            async for _ in events:
                pass
        return stream

    async def resume(self, turn_id: str, after: int = 0) -> Stream:
        """Follow a turn after an event."""
        async with self.client.stream("GET", f"/turns/{turn_id}/events", headers={"Last-Event-ID": str(after)}) as answer:
            assert answer.status_code == 200, (await answer.aread()).decode()
            stream = Stream(turn_id)
            async for _ in _events(answer, stream):
                pass
        return stream

    async def add_source(self, base_id: str, name: str, count: int) -> str:
        """Add `count` questions with their answers, each a passage; return the source's id."""
        pairs = [
            {"question": f"What is on shelf {i} of {name}?", "answer": f"Shelf {i} of {name} holds books on subject {i}."}
            for i in range(count)
        ]
        answer = await self.client.post(f"/knowledge-bases/{base_id}/sources", json={"type": "qa", "name": name, "pairs": pairs})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def add_base(self, name: str) -> str:
        """Make a knowledge base; return its id."""
        answer = await self.client.post("/knowledge-bases", json={"name": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def turn(self, turn_id: str) -> dict[str, Any]:
        """Read a turn."""
        answer = await self.client.get(f"/turns/{turn_id}")
        assert answer.status_code == 200, answer.text
        turn: dict[str, Any] = answer.json()
        return turn


async def _events(answer: httpx2.Response, stream: Stream) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    try:
        async for line in answer.aiter_lines():
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                event = Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                assert event.data["sequence"] == event.sequence
                assert event.data["turn_id"] == stream.turn_id
                stream.events.append(event)
                fields = {}
                yield event
    except httpx2.TransportError:
        stream.broken = True
