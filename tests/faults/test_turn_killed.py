"""SIGKILL of the API at each step of a turn: the visitor who comes back sees an honest state, and the books agree."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import psycopg
import pytest

from tests.faults import books
from tests.faults.installation import QUESTION, Installation, Servers, installation, wait_until
from tests.faults.visitor import Stream, Visitor

# Where the process dies, and how the turn may stand afterwards.
STEPS = {
    "open.after": {"failed"},
    "retrieve.before": {"failed"},
    "retrieve.after": {"failed"},
    "generate.first_words": {"failed"},
    "generate.after": {"failed"},
    "settle.before": {"failed"},
    "settle.inside": {"failed", "completed"},
    "settle.after": {"completed"},
}


@dataclass
class Wreck:
    """One killed turn: what the visitor had read, what came on resuming at once, and what is stored."""

    turn_id: str
    heard: Stream
    resumed: Stream = field(default_factory=lambda: Stream(""))
    replayed: Stream = field(default_factory=lambda: Stream(""))
    turn: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def luneo(servers: Servers) -> Iterator[Installation]:
    with installation(servers) as made:
        made.start_background()
        books.until_delivered(made)
        yield made


@pytest.fixture(scope="module")
def wrecks(luneo: Installation) -> dict[str, Wreck]:
    """Kill one API process per step, then come back to all turns on the next process."""
    found: dict[str, Wreck] = {}
    for step in STEPS:
        found[step] = asyncio.run(_killed_at(step, luneo))
    asyncio.run(_come_back(luneo, found))
    return found


async def _killed_at(step: str, luneo: Installation) -> Wreck:
    api = await asyncio.to_thread(luneo.start_api)
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        conversation = await visitor.converse()
        if step == "settle.inside":
            return await _killed_inside_the_last_transaction(luneo, api.plan, api, visitor, conversation)
        api.plan.make("kill", step)
        try:
            heard = await visitor.listen(conversation, QUESTION)
        except httpx2.TransportError:  # killed before the response began: the turn begins while that is prepared
            heard = Stream("")
        await asyncio.to_thread(api.until_dead)
    ((turn_id,),) = luneo.rows("select id::text from conversational_ai.turns where conversation_id = %s", (conversation,))
    assert not heard.ended
    return Wreck(str(turn_id), heard)


async def _killed_inside_the_last_transaction(luneo: Installation, plan: Any, api: Any, visitor: Visitor, conversation: str) -> Wreck:
    """Hold the turn's row, so that the transaction which ends it waits in the middle; kill the process there."""
    plan.make("hold", "settle.before")
    async with visitor.asking(conversation, QUESTION) as (heard, events):
        listening = asyncio.ensure_future(_drain(events))
        await asyncio.to_thread(plan.until_reached)
        with psycopg.connect(luneo.superuser) as holder:
            holder.execute("select 1 from conversational_ai.turns where id = %s for update", (heard.turn_id,))
            plan.forget()
            waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            await asyncio.to_thread(wait_until, lambda: luneo.rows(waiting) != [(0,)], 20, "the transaction waits for the row")
            await asyncio.to_thread(api.kill)
        await listening
    return Wreck(heard.turn_id, heard)


async def _drain(events: Any) -> None:
    async for _ in events:
        pass


async def _come_back(luneo: Installation, wrecks: dict[str, Wreck]) -> None:
    api = await asyncio.to_thread(luneo.start_api)
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        async with asyncio.timeout(60):
            resumed = await asyncio.gather(*(visitor.resume(w.turn_id, w.heard.last_id) for w in wrecks.values()))
        for wreck, stream in zip(wrecks.values(), resumed, strict=True):
            wreck.resumed = stream
            wreck.replayed = await visitor.resume(wreck.turn_id)
            wreck.turn = await visitor.turn(wreck.turn_id)


@pytest.mark.parametrize("step", STEPS)
def test_the_visitor_who_resumes_sees_an_honest_end(wrecks: dict[str, Wreck], step: str) -> None:
    wreck = wrecks[step]
    state = wreck.turn["status"]
    assert state in STEPS[step]
    assert wreck.resumed.ended, f"resuming after event {wreck.heard.last_id} told no end: {wreck.resumed.names}"
    assert wreck.resumed.names[-1] == f"turn.{state}"
    if state == "failed":
        for problem in (wreck.turn["problem"], wreck.resumed.events[-1].data["problem"], wreck.replayed.events[-1].data["problem"]):
            assert problem["code"] == "turn_interrupted"
            assert problem["retryable"] is True
        assert wreck.turn["message"] is None
    else:
        assert wreck.turn["message"]["content"].startswith(wreck.heard.text)
        completed = next(e for e in wreck.resumed.events if e.name == "answer.completed")
        assert completed.data["message"] == wreck.turn["message"]


@pytest.mark.parametrize("step", STEPS)
def test_no_event_is_told_twice_or_out_of_order(wrecks: dict[str, Wreck], step: str) -> None:
    wreck = wrecks[step]
    together = [e.sequence for e in (*wreck.heard.events, *wreck.resumed.events)]
    assert together == sorted(set(together))
    replayed = [e.sequence for e in wreck.replayed.events]
    assert replayed == sorted(set(replayed))
    assert wreck.replayed.ended


async def test_a_process_that_is_asked_to_end_lets_its_turns_finish(luneo: Installation) -> None:
    api = await asyncio.to_thread(luneo.start_api, local_words_per_second="20")
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        async with visitor.asking(await visitor.converse(), QUESTION) as (stream, events):
            async for event in events:
                if event.name == "answer.delta" and api.alive and "answer.delta" not in stream.names[:-1]:
                    api.process.terminate()
        assert stream.names[-1] == "turn.completed"
    assert await asyncio.to_thread(api.process.wait, 20) == 0, api.tail()


async def test_a_turn_that_cannot_finish_in_time_fails_as_retryable_and_is_released(luneo: Installation) -> None:
    api = await asyncio.to_thread(luneo.start_api, shutdown_seconds="1")
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        api.plan.make("hold", "retrieve.after")
        async with visitor.asking(await visitor.converse(), QUESTION) as (stream, events):
            listening = asyncio.ensure_future(_drain(events))
            await asyncio.to_thread(api.plan.until_reached)
            api.process.terminate()
            await listening
    assert stream.names[-1] == "turn.failed"
    problem = stream.events[-1].data["problem"]
    assert (problem["code"], problem["retryable"]) == ("turn_interrupted", True)
    assert luneo.rows("select state from billing.reservations where id = %s", (stream.turn_id,)) == [("released",)]
    assert await asyncio.to_thread(api.process.wait, 20) == 0, api.tail()


def test_the_books_agree_afterwards(luneo: Installation, wrecks: dict[str, Wreck]) -> None:
    assert len(wrecks) == len(STEPS)
    books.check(luneo)
