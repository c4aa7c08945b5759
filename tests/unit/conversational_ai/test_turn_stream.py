"""The events of one turn: numbered, encoded once, followed by any number of readers."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.conversational_ai.ports.turn_event_log import TERMINAL_EVENTS, LoggedEvent
from domains.conversational_ai.use_cases.turn_stream import TurnStream
from entrypoints.http.conversational_ai.event_stream import encode
from shared_kernel.identifiers import new_id


def lines_of(wire: bytes) -> list[dict[str, str]]:
    """Read server-sent events as the WHATWG's algorithm does, for the fields that we send."""
    events: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for line in wire.decode().split("\n"):
        if not line:
            if current:
                events.append(current)
            current = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            assert name not in current, "one line per field"
            current[name] = value
    return events


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_whatever_the_text_each_event_is_one_line_of_json(texts: list[str]) -> None:
    turn_id, heard = new_id(), list[LoggedEvent]()
    stream = TurnStream(turn_id, heard.append)
    for text in texts:
        stream.send("answer.delta", {"text": text})
    stream.send("turn.stopped")
    read = lines_of(encode(tuple(heard)))
    assert [int(e["id"]) for e in read] == list(range(1, len(texts) + 2))
    decoded = [json.loads(e["data"]) for e in read]
    assert [d.get("text") for d in decoded] == [*texts, None]
    assert {(d["turn_id"], d["sequence"]) for d in decoded} == {(str(turn_id), n + 1) for n in range(len(texts) + 1)}
    assert stream.closed


@pytest.mark.parametrize("name", sorted(TERMINAL_EVENTS))
async def test_readers_end_with_the_terminal_event(name: str) -> None:
    stream = TurnStream(new_id(), lambda _: None)
    reading = asyncio.ensure_future(_read(stream, 0))
    await asyncio.sleep(0)
    for event in ("turn.started", "answer.delta", name):
        stream.send(event)
        await asyncio.sleep(0)
    batches = await asyncio.wait_for(reading, 5)
    assert [e.name for batch in batches for e in batch] == ["turn.started", "answer.delta", name]
    assert await _read(stream, 3) == [], "who has seen the end gets nothing more"
    assert [e.sequence for batch in await _read(stream, 1) for e in batch] == [2, 3]
    assert [e.sequence for batch in await _read(stream, -5) for e in batch] == [1, 2, 3]


async def test_what_is_there_leaves_together() -> None:
    stream = TurnStream(new_id(), lambda _: None)
    for name in ("turn.started", "answer.delta", "answer.delta", "turn.completed"):
        stream.send(name)
    assert [len(batch) for batch in await _read(stream, 0)] == [4]


async def test_silence_is_kept_open_with_an_empty_batch() -> None:
    stream = TurnStream(new_id(), heartbeat_seconds=0.01)
    stream.send("turn.started")
    events = stream.follow()
    assert len(await anext(events)) == 1
    for _ in range(3):
        assert await asyncio.wait_for(anext(events), 5) == ()
    assert encode(()) == b": keep open\n\n"
    assert lines_of(encode(())) == []
    stream.send("turn.failed")
    assert [e.name for e in await asyncio.wait_for(anext(events), 5)] == ["turn.failed"]


async def test_a_reader_that_leaves_is_forgotten() -> None:
    stream = TurnStream(new_id(), lambda _: None)
    reading = asyncio.ensure_future(_read(stream, 0))
    await asyncio.sleep(0)
    assert len(stream._waiting) == 1
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert stream._waiting == set()


async def _read(stream: TurnStream, after: int) -> list[tuple[LoggedEvent, ...]]:
    return [batch async for batch in stream.follow(after)]
