"""SIGKILL of worker, relay, scheduler and index server at each step of their work: what was begun is finished, once."""

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.faults import books
from tests.faults.installation import QUESTION, Installation, LuneoProcess, Servers, installation, wait_until
from tests.faults.visitor import Visitor

# 20 passages are two batches.
PASSAGES = 20
STEPS = ("cut.after", "upsert.before", "upsert.after", "complete.before", "complete.after")


@dataclass
class Aftermath:
    """The sources by the step at which the worker died, and the turn that a killed scheduler left to the next."""

    sources: dict[str, str]
    deleted_source: str
    turn_id: str


@pytest.fixture(scope="module")
def luneo(servers: Servers) -> Iterator[Installation]:
    with installation(servers) as made:
        yield made


@pytest.fixture(scope="module")
def aftermath(luneo: Installation) -> Aftermath:
    """Kill one process after the other, start the next, and wait until the leases of the dead have run out."""
    result = asyncio.run(_kill_them_all(luneo))
    books.until_delivered(luneo)
    return result


async def _kill_them_all(luneo: Installation) -> Aftermath:
    api = await asyncio.to_thread(luneo.start_api)
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        relay = luneo.start("relay")
        base = await visitor.add_base("Shelves")
        sources = {}
        for step in STEPS:
            worker = luneo.start("worker")
            await asyncio.to_thread(_until_first_source_is_ready, luneo)
            worker.plan.make("kill", step)
            sources[step] = await visitor.add_source(base, step, PASSAGES)
            await asyncio.to_thread(worker.until_dead)
        sources["relay.claimed"] = await _with_a_dead_relay(visitor, base, relay, "relay.claimed")
        relay = luneo.start("relay")
        sources["relay.sent"] = await _with_a_dead_relay(visitor, base, relay, "relay.sent")
        luneo.start("relay")
        worker = luneo.start("worker")
        sources["index"] = await _with_a_dead_index(luneo, visitor, base, worker)
        deleted = await _deleted_with_a_dead_worker(luneo, visitor, base, worker)
        luneo.start("worker")
        turn_id = await _with_a_dead_scheduler(luneo, visitor, api)
    return Aftermath(sources, deleted, turn_id)


def _until_first_source_is_ready(luneo: Installation) -> None:
    """The demo's own source tells that relay and worker work."""
    statement = "select count(*) from conversational_ai.knowledge_sources where status = 'ready'"
    try:
        wait_until(lambda: luneo.rows(statement) != [(0,)], 30, "the demo's source is ready")
    except TimeoutError as error:
        for process in luneo.processes:
            error.add_note(f"{process.name} {process.process.poll()}:\n{process.tail()}")
        error.add_note(str(luneo.rows("select state, attempts, due_at, last_error from messaging.deliveries")))
        raise


async def _with_a_dead_relay(visitor: Visitor, base: str, relay: LuneoProcess, point: str) -> str:
    relay.plan.make("kill", point)
    source = await visitor.add_source(base, point, 2)
    await asyncio.to_thread(relay.until_dead)
    return source


async def _with_a_dead_index(luneo: Installation, visitor: Visitor, base: str, worker: LuneoProcess) -> str:
    """Kill the index server while a batch is on its way to it."""
    index = next(p for p in luneo.processes if p.name.startswith("index"))
    worker.plan.make("hold", "upsert.before")
    source = await visitor.add_source(base, "index", PASSAGES)
    await asyncio.to_thread(worker.plan.until_reached)
    index.process.send_signal(signal.SIGSTOP)
    worker.plan.forget()
    await asyncio.sleep(0.3)  # the batch goes into the sleeping server's socket; nothing tells when
    await asyncio.to_thread(index.kill)
    await asyncio.to_thread(luneo.start_index)
    status = "select status from conversational_ai.knowledge_sources where id = %s"
    await asyncio.to_thread(
        wait_until, lambda: luneo.rows(status, (source,)) == [("ready",)], 30, "the source is ready without a lease's time"
    )
    return source


async def _deleted_with_a_dead_worker(luneo: Installation, visitor: Visitor, base: str, worker: LuneoProcess) -> str:
    source = await visitor.add_source(base, "doomed", 2)
    status = "select status from conversational_ai.knowledge_sources where id = %s"
    await asyncio.to_thread(wait_until, lambda: luneo.rows(status, (source,)) == [("ready",)], 30, "the source is ready")
    worker.plan.make("kill", "complete.before")
    answer = await visitor.client.delete(f"/knowledge-bases/{base}/sources/{source}")
    assert answer.status_code == 204, answer.text
    await asyncio.to_thread(worker.until_dead)
    return source


async def _with_a_dead_scheduler(luneo: Installation, visitor: Visitor, api: LuneoProcess) -> str:
    """Kill the API in mid-turn, and then the scheduler that had claimed the tick of the sweep."""
    api.plan.make("kill", "generate.first_words")
    heard = await visitor.listen(await visitor.converse(), QUESTION)
    await asyncio.to_thread(api.until_dead)
    scheduler = luneo.start("scheduler")
    scheduler.plan.make("kill", "tick.conversational_ai.fail_abandoned_turns")
    await asyncio.to_thread(scheduler.until_dead)
    luneo.start("scheduler")
    return heard.turn_id


@pytest.mark.parametrize("step", [*STEPS, "relay.claimed", "relay.sent", "index"])
def test_the_source_becomes_ready_with_each_passage_once(luneo: Installation, aftermath: Aftermath, step: str) -> None:
    source = aftermath.sources[step]
    wanted = PASSAGES if step in STEPS or step == "index" else 2
    rows = luneo.rows(
        "select status, error, passages_total, passages_done from conversational_ai.knowledge_sources where id = %s", (source,)
    )
    assert rows == [("ready", None, wanted, wanted)]
    passages = luneo.rows("select count(*), count(distinct ordinal) from conversational_ai.passages where source_id = %s", (source,))
    assert passages == [(wanted, wanted)]
    events = luneo.rows("select count(*) from messaging.events where aggregate_id = %s and type like '%%source_indexed%%'", (source,))
    assert events == [(1,)]


def test_a_deletion_that_was_killed_is_finished(luneo: Installation, aftermath: Aftermath) -> None:
    assert luneo.rows("select 1 from conversational_ai.knowledge_sources where id = %s", (aftermath.deleted_source,)) == []
    assert luneo.rows("select 1 from conversational_ai.passages where source_id = %s", (aftermath.deleted_source,)) == []


def test_the_next_scheduler_does_what_the_dead_one_had_claimed(luneo: Installation, aftermath: Aftermath) -> None:
    books.until_settled(luneo)
    state = luneo.rows("select state, failure ->> 'code' from conversational_ai.turns where id = %s", (aftermath.turn_id,))
    assert state == [("failed", "turn_interrupted")]


def test_the_books_agree_afterwards(luneo: Installation, aftermath: Aftermath) -> None:
    assert aftermath.sources
    books.check(luneo)
