"""Redis is killed, comes back empty, or is emptied: nothing waits for it and everything recovers by itself."""

import asyncio
import time
from uuid import UUID

import pytest

from adapters.redis_store.connection import RedisConnection, RedisUnavailable
from adapters.redis_store.rate_limits import RedisRateLimits
from adapters.redis_store.turn_event_log import RedisTurnEventLog
from adapters.redis_store.turn_stop_signals import RedisTurnStopSignals
from adapters.redis_store.wake_ups import RedisWakeUps
from adapters.redis_store.write_behind_turn_log import WriteBehindTurnLog
from domains.conversational_ai.ports.turn_event_log import TurnEventsMissing
from domains.conversational_ai.ports.turn_stop_signals import StopRequest
from shared_kernel.errors import Unavailable
from shared_kernel.identifiers import new_id
from tests.integration.redis_store.valkey import Valkey
from tests.port_contracts.rate_limits_contract import rule
from tests.port_contracts.turn_event_log_contract import delta, end, read_all


async def test_a_dead_redis_costs_microseconds_and_limits_still_hold(mortal_valkey: Valkey) -> None:
    changes: list[bool] = []
    fallbacks: list[None] = []
    connection = RedisConnection(mortal_valkey.url, environment="test", probe_seconds=0.1, on_availability=changes.append)
    limits = RedisRateLimits(connection, on_fallback=lambda: fallbacks.append(None))
    rules = [rule(5, window=3600)]
    assert (await limits.check(rules)).remaining == 4
    mortal_valkey.kill()

    started = time.perf_counter()
    decisions = [await limits.check(rules) for _ in range(1000)]
    assert time.perf_counter() - started < 0.5
    assert sum(decision.allowed for decision in decisions) == 5, "each process limits for itself"
    assert len(fallbacks) == 1000
    with pytest.raises(RedisUnavailable):
        await RedisTurnEventLog(connection).append(new_id(), new_id(), [delta(1)])
    with pytest.raises(Unavailable):
        await RedisTurnStopSignals(connection).request_stop(new_id(), new_id())

    mortal_valkey.start()
    await asyncio.wait_for(connection.until_up(), 3)
    assert changes == [False, True]
    assert (await limits.check(rules)).remaining == 4, "the new Redis counts again, from nothing"
    assert len(fallbacks) == 1000
    await connection.aclose()


async def test_starting_without_redis_is_possible(mortal_valkey: Valkey) -> None:
    mortal_valkey.kill()
    connection = RedisConnection(mortal_valkey.url, environment="test", probe_seconds=0.05)
    assert (await RedisRateLimits(connection).check([rule(5)])).allowed
    mortal_valkey.start()
    await asyncio.wait_for(connection.until_up(), 3)
    await RedisTurnEventLog(connection).append(new_id(), new_id(), [delta(1)])
    await connection.aclose()


async def test_an_emptied_redis_is_seen_as_a_gap_by_readers_and_forgotten_scripts_are_sent_again(mortal_valkey: Valkey) -> None:
    connection = RedisConnection(mortal_valkey.url, environment="test")
    log, limits = RedisTurnEventLog(connection), RedisRateLimits(connection)
    organization, turn = new_id(), new_id()
    await log.append(organization, turn, [delta(1), delta(2)])
    await limits.check([rule()])
    await connection.run(lambda redis: redis.flushall())
    await connection.run(lambda redis: redis.script_flush())
    assert not await log.exists(organization, turn)
    assert (await limits.check([rule()])).allowed
    await log.append(organization, turn, [delta(3), end(4)])
    with pytest.raises(TurnEventsMissing):
        await read_all(log, organization, turn, 0)
    assert await read_all(log, organization, turn, 2) == [delta(3), end(4)]
    await connection.aclose()


async def test_a_reader_learns_that_redis_died_and_the_writer_never_does(mortal_valkey: Valkey) -> None:
    dropped: list[int] = []
    noticed = asyncio.Event()

    def drop(count: int) -> None:
        dropped.append(count)
        noticed.set()

    connection = RedisConnection(mortal_valkey.url, environment="test", probe_seconds=0.1)
    log = RedisTurnEventLog(connection)
    writer = WriteBehindTurnLog(log, flush_seconds=0.01, on_dropped=drop)
    organization, turn = new_id(), new_id()
    writer.put(organization, turn, delta(1))
    stream = log.read(organization, turn, 0, idle_seconds=5)
    assert await anext(stream) == delta(1)

    following = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    mortal_valkey.kill()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(following, 2)
    writer.put(organization, turn, delta(2))
    await asyncio.wait_for(noticed.wait(), 2)
    assert dropped == [1]

    mortal_valkey.start()
    await asyncio.wait_for(connection.until_up(), 3)
    writer.put(organization, turn, delta(3))
    writer.put(organization, turn, end(4))
    await writer.aclose()
    assert sum(dropped) == 1
    with pytest.raises(TurnEventsMissing):
        await read_all(log, organization, turn, 1)
    assert await read_all(log, organization, turn, 2) == [delta(3), end(4)]
    await connection.aclose()


async def test_subscriptions_come_back_by_themselves(mortal_valkey: Valkey) -> None:
    connection = RedisConnection(mortal_valkey.url, environment="test", probe_seconds=0.1)
    wake_ups, stops = RedisWakeUps(connection), RedisTurnStopSignals(connection)
    heard: asyncio.Queue[StopRequest] = asyncio.Queue()

    async def listen() -> None:
        async for request in stops.subscribe_stops():
            heard.put_nowait(request)

    async def stop_until_heard(turn: UUID) -> None:
        async with asyncio.timeout(3):
            while heard.empty():
                await stops.request_stop(new_id(), turn)
                await asyncio.sleep(0.01)
        while not heard.empty():
            assert heard.get_nowait().turn_id == turn

    listener = asyncio.create_task(listen())
    await stop_until_heard(new_id())
    assert await wake_ups.wait("relay", 2), "a new subscription may have missed something"

    mortal_valkey.kill()
    started = time.perf_counter()
    wake_ups.notify("relay")
    assert await wake_ups.wait("relay", 1), "waiters of the same process need no Redis"
    assert not await wake_ups.wait("relay", 0.05)
    assert time.perf_counter() - started < 0.5

    mortal_valkey.start()
    await asyncio.wait_for(connection.until_up(), 3)
    assert await wake_ups.wait("relay", 2)
    while not heard.empty():
        heard.get_nowait()
    await stop_until_heard(new_id())
    listener.cancel()
    await wake_ups.aclose()
    await connection.aclose()


async def test_whoever_listens_ends_with_the_connection(mortal_valkey: Valkey) -> None:
    connection = RedisConnection(mortal_valkey.url, environment="test", probe_seconds=0.05)
    subscribed = asyncio.Event()

    async def listen() -> None:
        async for _ in connection.messages("channel"):
            subscribed.set()

    listening = asyncio.ensure_future(listen())
    await asyncio.wait_for(subscribed.wait(), 3)
    await connection.aclose()
    done, _ = await asyncio.wait({listening}, timeout=3)
    assert done, "a lost connection must not bring a closed one back to life"
    assert listening.cancelled()
