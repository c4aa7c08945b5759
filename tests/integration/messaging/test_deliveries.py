"""From the transaction that publishes to the transaction of the effect: nothing lost, nothing twice, in order."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import structlog

from adapters.messaging.broker import DeliveryBroker
from adapters.postgres.messaging.deliveries import LEASE, MOST_ATTEMPTS
from adapters.postgres.messaging.outbox import EventRecord
from shared_kernel.errors import NotFound
from shared_kernel.identifiers import new_id
from shared_kernel.pagination import PageRequest
from shared_kernel.principal import Principal
from tests.integration.messaging.post_office import Bookkeeping, Notifying, PostOffice, ThingHappened, open_post_office, someone
from tests.integration.redis_store.valkey import Valkey


@pytest.fixture
async def office(database_url: str, superuser_url: str) -> AsyncIterator[PostOffice]:
    async with open_post_office(database_url, superuser_url) as opened:
        yield opened


async def test_every_subscriber_gets_every_event_once(office: PostOffice) -> None:
    organization, thing = someone()
    await office.publish(organization, thing, 1, 2, 3)
    await office.until_quiet()
    assert await office.effects(thing) == [1, 2, 3]
    assert sorted(await office.effects(thing, Notifying.NAME)) == [1, 2, 3]
    assert await office.states() == {"done": 3}
    assert await office.relay.relay_once() == 0


async def test_what_is_rolled_back_publishes_nothing(office: PostOffice) -> None:
    organization, thing = someone()
    record = EventRecord(
        event=ThingHappened(thing_id=thing, version=1), aggregate="thing", aggregate_id=thing, aggregate_version=1, ordinal=0
    )

    async def change_then_fail() -> None:
        async with office.units.open(Principal.system(organization)) as scope:
            await office.outbox.write(scope.connection, scope.principal, (record,), office.clock.now())
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await change_then_fail()
    assert await office.run("select 1 from messaging.events") == []
    assert await office.run("select 1 from messaging.deliveries") == []


async def test_an_ordered_consumer_gets_one_version_after_the_other_and_others_all_at_once(office: PostOffice) -> None:
    organization, thing = someone()
    await office.publish(organization, thing, 1, 2, 3)
    await office.relay.relay_once()
    assert sorted(queue for queue, _, _ in office.sent) == ["default", "mail", "mail", "mail"]
    await office.hand_over()
    assert await office.effects(thing) == [1]


async def test_a_later_version_that_arrives_early_waits(office: PostOffice) -> None:
    organization, thing = someone()
    await office.publish(organization, thing, 1, 2)
    rows = await office.run("select id from messaging.deliveries where consumer = %s order by aggregate_version desc", (Bookkeeping.NAME,))
    for row in rows:
        await office.dispatcher(row["id"], organization)
    assert await office.effects(thing) == [1]
    await office.until_quiet()
    assert await office.effects(thing) == [1, 2]


async def test_two_consumers_at_once_have_one_effect(office: PostOffice) -> None:
    organization, thing = someone()
    await office.publish(organization, thing, 1)
    await office.relay.relay_once()
    for _ in range(2):
        await asyncio.gather(*(office.dispatcher(d, o) for _, d, o in office.sent * 3))
    assert await office.effects(thing) == [1]
    assert await office.effects(thing, Notifying.NAME) == [1]
    assert await office.states() == {"done": 1}


async def test_two_relays_send_nothing_twice(office: PostOffice) -> None:
    organization = new_id()
    for _ in range(20):
        await office.publish(organization, new_id(), 1)
    await asyncio.gather(*(office.relay.relay_once() for _ in range(3)))
    assert len(office.sent) == len({d for _, d, _ in office.sent}) == 40


async def test_what_the_broker_forgot_is_sent_again(office: PostOffice) -> None:
    organization, thing = someone()
    await office.publish(organization, thing, 1)
    await office.relay.relay_once()
    lost, office.sent = office.sent, []
    assert await office.relay.relay_once() == 0
    office.clock.at += timedelta(seconds=11)
    assert await office.relay.relay_once() == 2
    await office.hand_over()
    assert await office.effects(thing) == [1]
    for _, delivery, owner in lost:  # it was only slow
        await office.dispatcher(delivery, owner)
    assert await office.effects(thing) == [1]


async def test_waiting_in_a_queue_is_no_attempt_and_makes_few_copies(office: PostOffice) -> None:
    organization, thing = someone()
    await office.publish(organization, thing, 1)
    for _ in range(720):
        await office.relay.relay_once()
        office.clock.at += timedelta(seconds=5)
    copies = len([queue for queue, _, _ in office.sent if queue == "default"])
    assert 10 < copies < 20, "every worker is gone for an hour"
    await office.hand_over()
    assert await office.effects(thing) == [1]
    assert await office.run("select distinct state, attempts from messaging.deliveries") == [{"state": "done", "attempts": 1}]


async def test_a_dead_workers_delivery_is_given_to_another_after_its_lease(office: PostOffice) -> None:
    organization, thing = someone()
    await office.publish(organization, thing, 1)
    await office.relay.relay_once()
    copies = list(office.sent)
    assert await office.die_over_everything() == 2
    office.clock.at += LEASE - timedelta(seconds=1)
    office.sent = copies
    await office.hand_over()
    assert await office.relay.relay_once() == 0
    assert await office.effects(thing) == [], "nobody knows yet that it is dead"
    office.clock.at += timedelta(seconds=1)
    assert await office.relay.relay_once() == 2
    await office.hand_over()
    assert await office.effects(thing) == [1]
    assert await office.run("select distinct state, attempts from messaging.deliveries") == [{"state": "done", "attempts": 2}]


async def test_a_worker_that_lives_keeps_its_delivery_however_slow_it_is(office: PostOffice) -> None:
    organization, thing = someone()
    gate = office.fates.gates[thing, 1] = asyncio.Event()
    await office.publish(organization, thing, 1)
    await office.relay.relay_once()
    worker, copies = office.worker(beat_seconds=0.01), office.sent
    slow = [asyncio.create_task(worker(delivery, owner)) for _, delivery, owner in copies]
    for _ in range(5):
        office.clock.at += LEASE - timedelta(seconds=1)
        async with asyncio.timeout(10):
            while await _held_until(office) != [office.clock.now() + LEASE]:
                pass
        assert await office.relay.relay_once() == 0
        office.sent = list(copies)
        await office.hand_over()  # the broker gives it to another one
    assert await office.effects(thing) == []
    gate.set()
    await asyncio.gather(*slow)
    assert await office.effects(thing) == await office.effects(thing, Notifying.NAME) == [1]
    assert await office.run("select distinct state, attempts from messaging.deliveries") == [{"state": "done", "attempts": 1}]


async def _held_until(office: PostOffice) -> list[datetime]:
    return [row["due_at"] for row in await office.run("select distinct due_at from messaging.deliveries where state = 'running'")]


async def test_a_worker_that_was_taken_for_dead_stops(office: PostOffice) -> None:
    organization, thing = someone()
    office.fates.gates[thing, 1] = asyncio.Event()
    await office.publish(organization, thing, 1)
    await office.relay.relay_once()
    worker = office.worker(beat_seconds=0.01)
    frozen = [asyncio.create_task(worker(delivery, owner)) for _, delivery, owner in office.sent]
    async with asyncio.timeout(10):
        while await _held_until(office) == []:
            pass
    office.clock.at += LEASE * 2  # it was stopped, with all its beats, for so long
    others = [await office.received.begin(delivery, owner, office.clock.now() + LEASE * 3) for _, delivery, owner in office.sent]
    async with asyncio.timeout(10):
        await asyncio.gather(*frozen)
    assert await office.effects(thing) == []
    for begun in others:
        assert begun is not None
        assert begun.delivery.attempt == 2
        assert await office.received.extend(begun.delivery, office.clock.now()), "the other one has it still"


async def test_without_the_broker_nothing_is_lost_and_no_attempt_counted(office: PostOffice) -> None:
    organization, thing = someone()
    await office.publish(organization, thing, 1)
    office.broker_gone = True
    for _ in range(MOST_ATTEMPTS + 5):
        await office.relay.relay_once()
        office.clock.at += timedelta(seconds=2)
    assert await office.states() == {"due": 1}
    office.broker_gone = False
    await office.until_quiet()
    assert await office.effects(thing) == [1]


async def test_a_poison_event_is_tried_ten_times_then_dead_and_blocks_its_aggregate_alone(office: PostOffice) -> None:
    organization, thing = someone()
    other = new_id()
    office.fates.poison.add((thing, 2))
    await office.publish(organization, thing, 1, 2, 3)
    await office.publish(organization, other, 1, 2)
    waited = []
    for _ in range(MOST_ATTEMPTS):
        await office.until_quiet()
        [row] = await office.run(
            "select extract(epoch from due_at - %s) as s, state, last_error from messaging.deliveries "
            "where aggregate_id = %s and aggregate_version = 2 and consumer = %s",
            (office.clock.now(), thing, Bookkeeping.NAME),
        )
        assert "hunter2" not in row["last_error"]
        if row["state"] == "dead":
            break
        waited.append(float(row["s"]))
        office.clock.at += timedelta(seconds=waited[-1])
    assert waited == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert await office.effects(thing) == [1], "what failed left nothing, what comes after waits"
    assert await office.effects(other) == [1, 2]
    assert sorted(await office.effects(thing, Notifying.NAME)) == [1, 2, 3]
    assert await office.states() == {"done": 3, "dead": 1, "due": 1}
    office.clock.at += timedelta(days=1)
    await office.until_quiet()
    assert await office.states() == {"done": 3, "dead": 1, "due": 1}
    assert (await office.relayed.lag(office.clock.now()))[1] == 1


async def test_dead_letters_are_listed_and_replayed(office: PostOffice) -> None:
    organization, thing = someone()
    office.fates.poison.add((thing, 1))
    await office.publish(organization, thing, 1, 2)
    for _ in range(MOST_ATTEMPTS):
        await office.until_quiet()
        office.clock.at += timedelta(seconds=301)
    page = await office.relayed.listed(PageRequest(), states=["dead"])
    [dead] = page.items
    assert (dead.consumer, dead.state, dead.attempts, dead.last_error) == (Bookkeeping.NAME, "dead", MOST_ATTEMPTS, "ValueError")
    assert (dead.organization_id, dead.aggregate_id, dead.event_type) == (organization, thing, "tests.thing_happened.v1")
    with pytest.raises(NotFound):
        await office.relayed.replay(new_id(), office.clock.now())
    office.fates.poison.clear()
    assert await office.relayed.replay(dead.id, office.clock.now()) == 1
    await office.until_quiet()
    assert await office.effects(thing) == [1, 2]
    assert (await office.relayed.listed(PageRequest(), states=["dead", "due", "sent"])).items == ()
    assert await office.relayed.replay(None, office.clock.now()) == 0


async def test_what_every_worker_died_over_is_given_up_by_the_next_which_does_not_try_it(office: PostOffice) -> None:
    organization, thing = someone()
    await office.publish(organization, thing, 1)
    for _ in range(MOST_ATTEMPTS):
        assert await office.relay.relay_once() == 2
        await office.die_over_everything()
        office.clock.at += LEASE
    assert office.fates.given_up == []
    await office.until_quiet()
    assert office.fates.given_up == [(thing, 1, None)]
    assert await office.effects(thing) == []
    assert await office.run("select distinct state, last_error from messaging.deliveries") == [
        {"state": "dead", "last_error": "WorkerDied"}
    ]
    office.clock.at += timedelta(days=1)
    assert await office.relay.relay_once() == 0
    await office.relayed.replay(None, office.clock.now())
    await office.until_quiet()
    assert await office.effects(thing) == [1]


async def test_the_log_names_the_reason_by_its_code_or_its_kind_alone(office: PostOffice) -> None:
    organization, thing = someone()
    office.fates.poison.add((thing, 1))
    await office.publish(organization, thing, 1)
    with structlog.testing.capture_logs() as lines:
        await office.until_quiet()
    failed = [line for line in lines if line["event"] == "delivery_failed"]
    assert {line["reason"] for line in failed} == {"ValueError"}


async def test_what_failed_to_the_last_is_given_up_with_its_error(office: PostOffice) -> None:
    organization, thing = someone()
    office.fates.poison.add((thing, 1))
    await office.publish(organization, thing, 1)
    for _ in range(MOST_ATTEMPTS):
        assert office.fates.given_up == []
        await office.until_quiet()
        office.clock.at += timedelta(seconds=301)
    [(given_up, _, error)] = office.fates.given_up
    assert (given_up, type(error)) == (thing, ValueError)


async def test_a_delivery_that_nobody_survives_to_give_up_is_dead_all_the_same(office: PostOffice) -> None:
    organization, thing = someone()
    await office.publish(organization, thing, 1)
    while await office.relay.relay_once():
        await office.die_over_everything()
        office.clock.at += LEASE
        if await office.states() == {"dead": 1}:
            break
    assert await office.run("select distinct state, attempts, last_error from messaging.deliveries") == [
        {"state": "dead", "attempts": MOST_ATTEMPTS + 5, "last_error": "WorkerDied"}
    ]
    assert await office.relay.relay_once() == 0


async def test_a_delivery_is_begun_in_its_own_organisation_alone(office: PostOffice) -> None:
    organization, thing = someone()
    await office.publish(organization, thing, 1)
    await office.relay.relay_once()
    [(_, delivery, _), *_] = office.sent
    assert await office.received.begin(delivery, new_id(), office.clock.now()) is None
    assert await office.received.begin(delivery, None, office.clock.now()) is None
    await office.dispatcher(delivery, new_id())
    assert await office.effects(thing) == []


async def test_lists_come_in_pages(office: PostOffice) -> None:
    organization = new_id()
    for _ in range(5):
        await office.publish(organization, new_id(), 1)
    seen: list[UUID] = []
    cursor: str | None = None
    while True:
        page = await office.relayed.listed(PageRequest(cursor, 3), states=["due"])
        seen.extend(d.id for d in page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 10


async def test_through_the_real_broker_and_its_workers(office: PostOffice, app_valkey: Valkey) -> None:
    organization, thing = someone()
    broker = DeliveryBroker(app_valkey.url, ["default", "mail"], namespace=f"luneo:test:{new_id()}")
    loop, worked = asyncio.get_running_loop(), asyncio.Event()

    async def deliver(delivery_id: UUID, organization_id: UUID | None) -> None:
        # the workers' loop is another: what the post office opened belongs to ours
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(office.dispatcher(delivery_id, organization_id), loop))
        loop.call_soon_threadsafe(worked.set)

    async def nothing() -> None:
        return

    workers = broker.workers(deliver, threads={}, close=nothing)
    await asyncio.to_thread(workers.start)
    await office.publish(organization, thing, 1, 2, 3)
    async with asyncio.timeout(20):
        while (await office.states(), await office.states(Notifying.NAME)) != ({"done": 3}, {"done": 3}):
            office.sent.clear()
            await office.relay.relay_once()
            for sent in office.sent:
                await asyncio.to_thread(broker.send, *sent)
                await asyncio.to_thread(broker.send, *sent)  # at least once on the wire
            await asyncio.wait_for(worked.wait(), 10)
            worked.clear()
    await asyncio.to_thread(workers.stop, 5_000)
    broker.close()
    assert await office.effects(thing) == [1, 2, 3]
    assert sorted(await office.effects(thing, Notifying.NAME)) == [1, 2, 3]
