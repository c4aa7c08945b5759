"""What callers may not ask of the ledger."""

from collections.abc import Sequence

import pytest

from contracts.billing.commands import ReservationLine, UsageLine
from contracts.billing.metrics import Metric
from domains.billing.use_cases.get_usage import GetUsage, GetUsageHandler
from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.identifiers import new_id
from tests.fakes.billing import BillingStore
from tests.port_contracts.quotas import BEGIN, BillingWorld, give_back, opened, reserve, settle, take
from tests.unit.billing.test_ledger_in_memory import in_memory_world


@pytest.fixture
def world() -> BillingWorld:
    return in_memory_world(BillingStore())


@pytest.mark.parametrize(
    "lines",
    [
        [ReservationLine(metric=Metric.TOKENS_IN)],
        [ReservationLine(metric=Metric.MESSAGES_AI, quantity=0)],
        [ReservationLine(metric=Metric.MESSAGES_AI), ReservationLine(metric=Metric.MESSAGES_AI)],
    ],
)
async def test_a_wrong_reservation_is_a_defect(world: BillingWorld, lines: Sequence[ReservationLine]) -> None:
    someone = await opened(world)
    with pytest.raises(ValueError, match=r"counter|at least|once"):
        await reserve(world, someone, lines)


@pytest.mark.parametrize(
    "usage",
    [
        [UsageLine(metric=Metric.TOKENS_IN, quantity=-1)],
        [UsageLine(metric=Metric.TOKENS_IN, quantity=1), UsageLine(metric=Metric.TOKENS_IN, quantity=2)],
    ],
)
async def test_wrong_usage_is_a_defect(world: BillingWorld, usage: Sequence[UsageLine]) -> None:
    someone = await opened(world)
    turn = await reserve(world, someone)
    with pytest.raises(ValueError, match=r"negative|once"):
        await settle(world, someone, turn, usage)


async def test_only_capacities_are_given_back(world: BillingWorld) -> None:
    someone = await opened(world)
    with pytest.raises(ValueError, match="not a capacity"):
        await give_back(world, someone, Metric.API_CALLS, new_id())
    with pytest.raises(ValueError, match="no counter"):
        await take(world, someone, Metric.TOOL_CALLS, new_id())


async def test_usage_is_the_current_periods_unless_asked_otherwise(world: BillingWorld) -> None:
    someone = await opened(world)
    usage = GetUsageHandler(world.reader, world.clock)
    view = await usage(GetUsage(requested_by=someone))
    assert (view.start.isoformat(), view.end.isoformat()) == ("2026-01-31T00:00:00+00:00", "2026-02-28T00:00:00+00:00")
    with pytest.raises(InvalidInput) as refusal:
        await usage(GetUsage(requested_by=someone, start=BEGIN, end=BEGIN))
    assert refusal.value.errors == (FieldError("from", "invalid", "must be before `to`"),)
