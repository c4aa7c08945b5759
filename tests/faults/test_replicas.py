"""Two replicas of everything: any of them serves, and what happens, happens once."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis

from tests.faults import books
from tests.faults.installation import QUESTION, Installation, LuneoProcess, Servers, installation, wait_until
from tests.faults.visitor import Visitor

SWEEP = "conversational_ai.fail_abandoned_turns"
SWEEP_SECONDS = 5


@dataclass
class Replicas:
    apis: tuple[LuneoProcess, LuneoProcess]
    schedulers: tuple[LuneoProcess, LuneoProcess]


@pytest.fixture(scope="module")
def luneo(servers: Servers) -> Iterator[Installation]:
    with installation(servers, local_words_per_second="60") as made:
        yield made
        books.check(made)


@pytest.fixture(scope="module")
def replicas(luneo: Installation) -> Replicas:
    for part in ("worker", "relay") * 2:
        luneo.start(part)
    schedulers = luneo.start("scheduler"), luneo.start("scheduler")
    apis = luneo.start("api"), luneo.start("api")
    for api in apis:
        luneo.until_live(api)
    books.until_delivered(luneo)
    return Replicas(apis, schedulers)


async def test_resuming_on_the_other_replica_tells_every_event_once(luneo: Installation, replicas: Replicas) -> None:
    here, there = replicas.apis
    async with (
        Visitor.at(here.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor,
        Visitor.at(there.base_url, luneo.demo.api_key, luneo.demo.agent_id) as elsewhere,
    ):
        here.plan.make("hold", "generate.first_words")
        async with visitor.asking(await visitor.converse(), QUESTION) as (stream, events):
            async for event in events:
                if event.name == "answer.delta":
                    break
            early = asyncio.ensure_future(elsewhere.resume(stream.turn_id))
            late = asyncio.ensure_future(elsewhere.resume(stream.turn_id, stream.last_id))
            here.plan.forget()
            heard_so_far = list(stream.events)
            async for _ in events:
                pass
        whole, rest = await early, await late
        stored = await elsewhere.resume(stream.turn_id)
    assert stream.names[-1] == "turn.completed"
    assert [event.sequence for event in stream.events] == list(range(1, stream.last_id + 1))
    assert whole.events == stream.events
    assert [*heard_so_far, *rest.events] == stream.events
    assert stored.events == stream.events


async def test_who_follows_elsewhere_while_redis_is_emptied_is_told_the_stored_answer(luneo: Installation, replicas: Replicas) -> None:
    here, there = replicas.apis
    async with (
        Visitor.at(here.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor,
        Visitor.at(there.base_url, luneo.demo.api_key, luneo.demo.agent_id) as elsewhere,
    ):
        here.plan.make("hold", "generate.first_words")
        async with visitor.asking(await visitor.converse(), QUESTION) as (stream, events):
            async for event in events:
                if event.name == "answer.delta":
                    break
            await asyncio.to_thread(here.plan.until_reached)
            with redis.Redis.from_url(luneo.environment["LUNEO_REDIS_URL"]) as emptied:
                emptied.flushall()
            following = asyncio.ensure_future(elsewhere.resume(stream.turn_id))
            here.plan.forget()
            async for _ in events:
                pass
        async with asyncio.timeout(20):
            followed = await following
    assert stream.names[-1] == "turn.completed"
    assert followed.names == ["answer.completed", "turn.completed"]
    assert followed.events == stream.events[-2:]


async def test_a_stop_sent_to_the_other_replica_stops(luneo: Installation, replicas: Replicas) -> None:
    here, there = replicas.apis
    async with (
        Visitor.at(here.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor,
        Visitor.at(there.base_url, luneo.demo.api_key, luneo.demo.agent_id) as elsewhere,
    ):
        here.plan.make("hold", "generate.first_words")
        async with visitor.asking(await visitor.converse(), QUESTION) as (stream, events):
            async for event in events:
                if event.name == "answer.delta":
                    break
            stopped = await elsewhere.client.post(f"/turns/{stream.turn_id}/stop")
            assert stopped.status_code == 202
            async with asyncio.timeout(10):
                async for _ in events:
                    pass
        here.plan.forget()
        turn = await elsewhere.turn(stream.turn_id)
        again = await elsewhere.client.post(f"/turns/{stream.turn_id}/stop")
    assert stream.names[-1] == "turn.stopped"
    assert (turn["status"], turn["message"]["content"], turn["usage"]["estimated"]) == ("stopped", stream.text, True)
    assert (again.status_code, again.json()["status"]) == (202, "stopped")


async def test_every_event_is_delivered_once_by_two_relays_to_two_workers(luneo: Installation, replicas: Replicas) -> None:
    async with Visitor.at(replicas.apis[0].base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        base = await visitor.add_base("Shelves")
        sources = await asyncio.gather(*(visitor.add_source(base, f"number {i}", 2) for i in range(12)))
    await asyncio.to_thread(books.until_delivered, luneo)
    told = luneo.rows(
        "select e.aggregate_id::text, d.attempts from messaging.deliveries d join messaging.events e on e.id = d.event_id"
        " where e.aggregate_id = any(%s) and e.type like '%%source_added%%'",
        (list(sources),),
    )
    assert sorted(told) == sorted((source, 1) for source in sources)
    indexed = luneo.rows(
        "select aggregate_id::text, count(*) from messaging.events"
        " where aggregate_id = any(%s) and type like '%%source_indexed%%' group by aggregate_id",
        (list(sources),),
    )
    assert sorted(indexed) == sorted((source, 1) for source in sources)


def test_each_tick_is_run_by_one_scheduler(luneo: Installation, replicas: Replicas) -> None:
    def ticks() -> list[tuple[str, str]]:
        return [
            (job, due_at)
            for scheduler in replicas.schedulers
            for job, due_at in (line.split() for line in _lines(scheduler.plan.path.with_suffix(".ticks")))
        ]

    wait_until(lambda: sum(job == SWEEP for job, _ in ticks()) >= 4, 40, "both schedulers have ticked a few times")
    claimed = ticks()
    assert max(Counter(claimed).values()) == 1
    sweeps = sorted(datetime.fromisoformat(due_at) for job, due_at in claimed if job == SWEEP)
    assert {later - earlier for earlier, later in itertools.pairwise(sweeps)} == {timedelta(seconds=SWEEP_SECONDS)}
    assert luneo.rows("select count(*) from messaging.ticks where job = %s", (SWEEP,)) >= [(len(sweeps),)]


def _lines(path: Path) -> list[str]:
    """A scheduler that never got a tick has written none."""
    return path.read_text().splitlines() if path.exists() else []
