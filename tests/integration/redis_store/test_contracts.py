"""The Redis adapters keep the contracts of their ports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.redis_store.connection import RedisConnection
from adapters.redis_store.leased_rate_limits import LeasedRateLimits
from adapters.redis_store.rate_limits import RedisRateLimits
from adapters.redis_store.turn_event_log import KEPT_SECONDS, RedisTurnEventLog
from adapters.redis_store.turn_stop_signals import RedisTurnStopSignals
from adapters.redis_store.wake_ups import RedisWakeUps
from shared_kernel.identifiers import new_id
from tests.integration.redis_store.valkey import Valkey
from tests.port_contracts.rate_limits_contract import RateLimitsContract, rule
from tests.port_contracts.turn_event_log_contract import TurnEventLogContract, delta
from tests.port_contracts.turn_stop_signals_contract import TurnStopSignalsContract
from tests.port_contracts.wake_ups_contract import WakeUpsContract


@asynccontextmanager
async def connected(valkey: Valkey) -> AsyncIterator[RedisConnection]:
    """Connect for the length of the block."""
    connection = RedisConnection(valkey.url, environment="test", timeout_seconds=2)
    try:
        yield connection
    finally:
        await connection.aclose()


class _OnValkey:
    server: Valkey

    @pytest.fixture(autouse=True)
    def _served(self, valkey: Valkey) -> None:
        self.server = valkey


class TestRedisRateLimits(_OnValkey, RateLimitsContract):
    """The adapter."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[RedisRateLimits]:
        """Connect and return it."""

        def fell_back() -> None:
            raise AssertionError("Redis was there")

        async with connected(self.server) as connection:
            yield RedisRateLimits(connection, on_fallback=fell_back)

    async def test_time_gives_back_and_keys_expire(self) -> None:
        async with self.open() as limits, connected(self.server) as connection:
            organization = new_id()
            rules = [rule(10, key=str(organization), window=1)]
            for _ in range(10):
                await limits.check(rules)
            assert not (await limits.check(rules)).allowed
            key = connection.tenant_key(organization, "rl", "messages")
            assert key == f"luneo:test:org:{organization}:rl:messages"
            assert 0 < await connection.run(lambda redis: redis.pttl(key)) <= 1000
            async with asyncio.timeout(1):
                while not (await limits.check(rules)).allowed:  # noqa: ASYNC110 - what is waited for is time
                    await asyncio.sleep(0.02)

    async def test_a_clock_that_was_set_back_holds_nobody_for_longer_than_the_window(self) -> None:
        async with self.open() as limits, connected(self.server) as connection:
            organization = new_id()
            few = rule(10, key=str(organization), window=60)
            key = connection.tenant_key(organization, "rl", "messages")

            async def refused_before() -> None:
                seconds, micros = await connection.run(lambda redis: redis.time())
                an_hour_on = (seconds + 3_600) * 1_000_000 + micros
                await connection.run(lambda redis: redis.set(key, str(an_hour_on)))

            await refused_before()
            refused = await limits.check([few])
            assert (refused.allowed, refused.retry_after, refused.reset_seconds) == (False, 6, 60)
            await refused_before()
            assert (await limits.take(few, permits=3, returned=0)).decision.retry_after == 6
            await refused_before()
            assert (await limits.take(few, permits=3, returned=2)).granted == 2
            await refused_before()
            await limits.give_back([few])
            assert (await limits.check([few])).allowed
            assert not (await limits.check([few])).allowed

    async def test_no_address_is_kept_in_clear(self) -> None:
        async with self.open() as limits, connected(self.server) as connection:
            await limits.check([rule(key="203.0.113.99", name="by_address"), rule(key=f"{new_id()}:someone@example.org")])
            keys = await connection.run(lambda redis: redis.keys("*"))
            assert any(b"by_address" in key for key in keys)
            assert not any(b"203.0.113" in key or b"example.org" in key for key in keys)


class TestLeasedRateLimits(_OnValkey, RateLimitsContract):
    """Leases on the adapter."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LeasedRateLimits]:
        """Connect and return it."""

        def fell_back() -> None:
            raise AssertionError("Redis was there")

        async with connected(self.server) as connection:
            yield LeasedRateLimits(RedisRateLimits(connection, on_fallback=fell_back))

    async def test_two_processes_together_let_through_what_the_rule_says(self) -> None:
        async with self.open() as one, self.open() as other:
            rules = [rule(500, window=50_000)]
            allowed = 0
            for _ in range(8):
                decisions = await asyncio.gather(*(limits.check(rules) for _ in range(40) for limits in (one, other)))
                allowed += sum(decision.allowed for decision in decisions)
            while (await one.check(rules)).allowed or (await other.check(rules)).allowed:
                allowed += 1
            assert 500 - 2 * 5 <= allowed <= 500, "one lease per process may be held back"


class TestRedisTurnEventLog(_OnValkey, TurnEventLogContract):
    """The adapter."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[RedisTurnEventLog]:
        """Connect and return it."""
        async with connected(self.server) as connection:
            yield RedisTurnEventLog(connection)

    async def test_a_log_lives_for_an_hour(self) -> None:
        async with connected(self.server) as connection:
            organization, turn = new_id(), new_id()
            await RedisTurnEventLog(connection).append(organization, turn, [delta(1)])
            left = await connection.run(lambda redis: redis.ttl(connection.tenant_key(organization, "turn", turn)))
            assert KEPT_SECONDS - 5 <= left <= KEPT_SECONDS

    async def test_waiting_longer_than_the_time_out_of_commands_is_no_failure(self) -> None:
        connection = RedisConnection(self.server.url, environment="test", timeout_seconds=0.1)
        log = RedisTurnEventLog(connection)
        assert [event async for event in log.read(new_id(), new_id(), 0, idle_seconds=0.4)] == []
        assert connection.is_up
        await connection.aclose()


class TestRedisTurnStopSignals(_OnValkey, TurnStopSignalsContract):
    """The adapter."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[RedisTurnStopSignals]:
        """Connect and return it."""
        async with connected(self.server) as connection:
            yield RedisTurnStopSignals(connection)


class TestRedisWakeUps(_OnValkey, WakeUpsContract):
    """The adapter."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[RedisWakeUps]:
        """Connect and return it."""
        async with connected(self.server) as connection:
            wake_ups = RedisWakeUps(connection)
            yield wake_ups
            await wake_ups.aclose()

    async def test_a_storm_of_nudges_becomes_one_message_in_twenty_milliseconds(self) -> None:
        async with self.open() as near, connected(self.server) as connection:
            channel = connection.key("wake", "relay")
            arrived: list[float] = []
            ready = asyncio.Event()

            async def count() -> None:
                async for message in connection.messages(channel):
                    ready.set()
                    if message is not None:
                        arrived.append(asyncio.get_running_loop().time())

            counter = asyncio.create_task(count())
            await ready.wait()
            started = asyncio.get_running_loop().time()
            while (spent := asyncio.get_running_loop().time() - started) < 0.2:
                for _ in range(50):
                    near.notify("relay")
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.1)
            counter.cancel()
            assert 2 <= len(arrived) <= spent / 0.02 + 2

    async def test_another_process_is_woken(self) -> None:
        async with self.open() as here, self.open() as there:
            while await there.wait("relay", 0.1):
                continue
            waiter = asyncio.create_task(there.wait("relay", 5))
            here.notify("relay")
            assert await asyncio.wait_for(waiter, 1)
