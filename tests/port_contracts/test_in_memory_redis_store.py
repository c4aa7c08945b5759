"""The fakes behave as the adapters do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fakes.rate_limits import InMemoryRateLimits
from tests.fakes.turn_event_log import InMemoryTurnEventLog
from tests.fakes.turn_stop_signals import InMemoryTurnStopSignals
from tests.fakes.wake_ups import InMemoryWakeUps
from tests.port_contracts.rate_limits_contract import RateLimitsContract, rule
from tests.port_contracts.turn_event_log_contract import TurnEventLogContract
from tests.port_contracts.turn_stop_signals_contract import TurnStopSignalsContract
from tests.port_contracts.wake_ups_contract import WakeUpsContract


class TestInMemoryRateLimits(RateLimitsContract):
    """The fake."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[InMemoryRateLimits]:
        """Return a new one."""
        yield InMemoryRateLimits()

    async def test_time_gives_back_evenly(self) -> None:
        limits, rules = InMemoryRateLimits(), [rule(3, window=30)]
        for _ in range(3):
            await limits.check(rules)
        limits.seconds += 9.9
        assert not (await limits.check(rules)).allowed
        limits.seconds += 0.1
        assert (await limits.check(rules)).allowed
        assert not (await limits.check(rules)).allowed
        limits.seconds += 1000
        assert (await limits.check(rules)).remaining == 2


class TestInMemoryTurnEventLog(TurnEventLogContract):
    """The fake."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[InMemoryTurnEventLog]:
        """Return a new one."""
        yield InMemoryTurnEventLog()


class TestInMemoryTurnStopSignals(TurnStopSignalsContract):
    """The fake."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[InMemoryTurnStopSignals]:
        """Return a new one."""
        yield InMemoryTurnStopSignals()


class TestInMemoryWakeUps(WakeUpsContract):
    """The fake."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[InMemoryWakeUps]:
        """Return a new one."""
        yield InMemoryWakeUps()
