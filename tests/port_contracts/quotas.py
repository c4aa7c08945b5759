"""What every quota ledger does, whatever it is made of.

A world is a whole billing context on one kind of storage; the suite's classes are inherited by the tests of each world, which give a
fixture `world`.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from contracts.billing.commands import ReservationLine, UsageLine
from contracts.billing.errors import CapacityGivenBack, QuotaExceeded, QuotaPeriodMissing, ReservationNotOpen
from contracts.billing.metrics import Metric
from domains.billing.model.usage import UsageEvent, usage_id
from domains.billing.ports.billing_reader import BillingReader
from domains.billing.ports.expired_reservations import ExpiredReservations
from domains.billing.ports.quota_ledger import QuotaLedger
from domains.billing.ports.transactions import BillingTransactions
from domains.billing.ports.usage_events import UsageEvents
from domains.billing.use_cases.apply_plan import ApplyPlan, ApplyPlanHandler
from domains.billing.use_cases.expire_reservations import ExpireReservations, ExpireReservationsHandler
from domains.billing.use_cases.facade import BillingAccountsFacade, EntitlementsFacade, QuotasFacade
from domains.billing.use_cases.ingest_usage import IngestUsage, IngestUsageHandler
from domains.billing.use_cases.list_quotas import ListQuotasHandler, QuotaView
from domains.billing.use_cases.open_periods import OpenPeriodsHandler
from shared_kernel.errors import Conflict, InvalidInput, NotFound
from shared_kernel.identifiers import new_id
from shared_kernel.money import Money
from shared_kernel.pagination import PageRequest
from shared_kernel.principal import Principal
from shared_kernel.unit_of_work import UnitOfWork

BEGIN = datetime(2026, 1, 31, 9, tzinfo=UTC)
HOLD_FOR = timedelta(minutes=3)
EUR = "EUR"


class MovableClock:
    def __init__(self, at: datetime = BEGIN) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


Unit = Callable[[Principal], AbstractAsyncContextManager[UnitOfWork]]


class BillingWorld:
    """A billing context on the given ports. `unit` joins as a turn does, `account_unit` as a sign-up does."""

    def __init__(
        self,
        *,
        clock: MovableClock,
        transactions: BillingTransactions,
        ledger: QuotaLedger,
        reader: BillingReader,
        usage_events: UsageEvents,
        expired: ExpiredReservations,
        unit: Unit,
        account_unit: Unit,
    ) -> None:
        open_periods = OpenPeriodsHandler(transactions, clock)
        self.clock = clock
        self.reader = reader
        self.usage_events = usage_events
        self.unit = unit
        self.account_unit = account_unit
        self.quotas = QuotasFacade(ledger, open_periods)
        self.accounts = BillingAccountsFacade(transactions)
        self.entitlements = EntitlementsFacade(reader)
        self.apply_plan = ApplyPlanHandler(transactions, clock)
        self.expire = ExpireReservationsHandler(expired, transactions, ledger, clock)
        self.ingest = IngestUsageHandler(open_periods, usage_events)


async def opened(world: BillingWorld, plan: str = "free") -> Principal:
    """A new organisation on `plan`."""
    principal = Principal.system(new_id())
    async with world.account_unit(principal) as unit:
        await world.accounts.open(unit, organization_id=principal.tenant, plan=plan, at=world.clock.now())
    return principal


async def reserve(
    world: BillingWorld,
    principal: Principal,
    lines: Sequence[ReservationLine] = (ReservationLine(metric=Metric.MESSAGES_AI),),
    *,
    reservation_id: UUID | None = None,
    within_plan: bool = False,
) -> UUID:
    reservation_id = reservation_id or new_id()
    at = world.clock.now()
    async with world.unit(principal) as unit:
        await world.quotas.reserve(
            unit, reservation_id=reservation_id, cause="turn", lines=lines, at=at, expires_at=at + HOLD_FOR, within_plan=within_plan
        )
    return reservation_id


async def settle(world: BillingWorld, principal: Principal, reservation_id: UUID, usage: Sequence[UsageLine] = ()) -> None:
    async with world.unit(principal) as unit:
        await world.quotas.settle(unit, reservation_id=reservation_id, usage=usage, at=world.clock.now())


async def release(world: BillingWorld, principal: Principal, reservation_id: UUID) -> None:
    async with world.unit(principal) as unit:
        await world.quotas.release(unit, reservation_id=reservation_id, at=world.clock.now())


async def take(world: BillingWorld, principal: Principal, metric: Metric, cause_id: UUID, quantity: int = 1) -> None:
    async with world.unit(principal) as unit:
        await world.quotas.take(unit, metric=metric, quantity=quantity, cause="made", cause_id=cause_id, at=world.clock.now())


async def give_back(world: BillingWorld, principal: Principal, metric: Metric, cause_id: UUID, quantity: int = 1) -> None:
    async with world.unit(principal) as unit:
        await world.quotas.give_back(unit, metric=metric, quantity=quantity, cause_id=cause_id, at=world.clock.now())


async def quota(world: BillingWorld, principal: Principal, metric: Metric) -> QuotaView:
    views = await ListQuotasHandler(world.reader, world.clock)(principal)
    return next(view for view in views if view.metric is metric)


async def events(world: BillingWorld, principal: Principal) -> list[UsageEvent]:
    """Every usage event, the newest first."""
    found: list[UsageEvent] = []
    cursor: str | None = None
    while True:
        page = await world.reader.usage_events(principal, PageRequest(cursor, 100))
        found.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return found


def of(found: Sequence[UsageEvent], metric: Metric) -> list[UsageEvent]:
    return [event for event in found if event.metric is metric]


class QuotasContract:
    """Reserve, settle, release, expire."""

    async def test_what_is_reserved_shows_as_reserved_and_is_used_once_settled(self, world: BillingWorld) -> None:
        someone = await opened(world)
        turn = await reserve(world, someone)
        held = await quota(world, someone, Metric.MESSAGES_AI)
        await settle(world, someone, turn)
        settled = await quota(world, someone, Metric.MESSAGES_AI)
        assert (held.used, held.reserved, held.limit) == (0, 1, 1_000)
        assert (settled.used, settled.reserved) == (1, 0)

    async def test_settling_writes_one_event_per_metric_with_its_cost_and_the_moment_of_the_reservation(self, world: BillingWorld) -> None:
        someone = await opened(world)
        turn = await reserve(world, someone)
        reserved_at = world.clock.now()
        world.clock.at += timedelta(seconds=20)
        cost = UsageLine(metric=Metric.TOKENS_OUT, quantity=12, estimated=True, cost=Money(0, EUR), cost_micro=250_000)
        await settle(world, someone, turn, [UsageLine(metric=Metric.TOKENS_IN, quantity=345), cost])
        found = await events(world, someone)
        assert {event.metric: event.quantity for event in found} == {
            Metric.MESSAGES_AI: 1,
            Metric.TOKENS_IN: 345,
            Metric.TOKENS_OUT: 12,
        }
        assert {(event.cause, event.cause_id, event.occurred_at) for event in found} == {("turn", turn, reserved_at)}
        assert all(event.id == usage_id(turn, event.metric) for event in found)
        (out,) = of(found, Metric.TOKENS_OUT)
        assert (out.estimated, out.cost_micro, out.currency) == (True, 250_000, EUR)

    async def test_what_was_held_too_much_is_given_back_and_its_cost_kept(self, world: BillingWorld) -> None:
        someone = await opened(world)
        turn = await reserve(world, someone, [ReservationLine(metric=Metric.MESSAGES_AI, quantity=10)])
        await settle(world, someone, turn, [UsageLine(metric=Metric.MESSAGES_AI, quantity=4, cost=Money(2, EUR))])
        assert (await quota(world, someone, Metric.MESSAGES_AI)).used == 4
        (event,) = await events(world, someone)
        assert (event.quantity, event.cost_micro) == (4, 2_000_000)

    @pytest.mark.parametrize("end", ["settled", "released", "expired"])
    async def test_a_reservation_ends_once(self, world: BillingWorld, end: str) -> None:
        someone = await opened(world)
        turn = await reserve(world, someone)
        if end == "settled":
            await settle(world, someone, turn)
        elif end == "released":
            await release(world, someone, turn)
        else:
            world.clock.at += HOLD_FOR
            assert await world.expire(ExpireReservations()) >= 1
        after = await quota(world, someone, Metric.MESSAGES_AI)
        with pytest.raises(ReservationNotOpen):
            await settle(world, someone, turn, [UsageLine(metric=Metric.TOKENS_IN, quantity=5)])
        await release(world, someone, turn)
        world.clock.at += HOLD_FOR
        await world.expire(ExpireReservations())
        assert await quota(world, someone, Metric.MESSAGES_AI) == after
        assert after.used == (1 if end == "settled" else 0)
        assert len(await events(world, someone)) == after.used

    async def test_a_reservation_that_never_was_cannot_be_settled_and_releasing_it_changes_nothing(self, world: BillingWorld) -> None:
        someone = await opened(world)
        with pytest.raises(ReservationNotOpen):
            await settle(world, someone, new_id())
        await release(world, someone, new_id())
        assert await events(world, someone) == []

    async def test_a_reservation_is_made_once(self, world: BillingWorld) -> None:
        someone = await opened(world)
        turn = await reserve(world, someone)
        with pytest.raises(Conflict):
            await reserve(world, someone, reservation_id=turn)
        assert (await quota(world, someone, Metric.MESSAGES_AI)).reserved == 1

    async def test_what_is_not_over_does_not_expire(self, world: BillingWorld) -> None:
        someone = await opened(world)
        turn = await reserve(world, someone)
        world.clock.at += HOLD_FOR - timedelta(seconds=1)
        await world.expire(ExpireReservations())
        await settle(world, someone, turn)
        assert (await quota(world, someone, Metric.MESSAGES_AI)).used == 1

    async def test_one_line_that_does_not_fit_refuses_the_whole_reservation(self, world: BillingWorld) -> None:
        someone = await opened(world)
        with pytest.raises(QuotaExceeded) as refusal:
            await reserve(
                world,
                someone,
                [ReservationLine(metric=Metric.MESSAGES_AI), ReservationLine(metric=Metric.CONVERSATIONS, quantity=101)],
            )
        assert dict(refusal.value.extra) == {"metric": "conversations", "limit": 100, "resets_at": "2026-02-28T00:00:00Z"}
        assert (await quota(world, someone, Metric.MESSAGES_AI)).reserved == 0
        assert (await quota(world, someone, Metric.CONVERSATIONS)).reserved == 0

    async def test_a_free_plan_stops_at_its_limit(self, world: BillingWorld) -> None:
        someone = await opened(world)
        await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS, quantity=100)])
        with pytest.raises(QuotaExceeded):
            await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS)])

    async def test_a_paid_plan_runs_into_overage_up_to_its_ceiling(self, world: BillingWorld) -> None:
        someone = await opened(world, "pro")
        await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS, quantity=2_999)])
        assert (await quota(world, someone, Metric.CONVERSATIONS)).overage == 999
        await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS)])
        with pytest.raises(QuotaExceeded) as refusal:
            await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS)])
        assert refusal.value.extra["limit"] == 2_000

    async def test_within_plan_stops_where_overage_would_begin(self, world: BillingWorld) -> None:
        someone = await opened(world, "pro")
        await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS, quantity=2_000)], within_plan=True)
        with pytest.raises(QuotaExceeded):
            await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS)], within_plan=True)

    async def test_unlimited_is_counted_and_never_refused(self, world: BillingWorld) -> None:
        someone = await opened(world, "enterprise")
        await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS, quantity=10**9)], within_plan=True)
        view = await quota(world, someone, Metric.CONVERSATIONS)
        assert (view.limit, view.reserved, view.overage) == (None, 10**9, 0)

    async def test_once_for_is_paid_once(self, world: BillingWorld) -> None:
        someone = await opened(world)
        conversation = new_id()
        lines = [ReservationLine(metric=Metric.CONVERSATIONS, once_for=conversation), ReservationLine(metric=Metric.MESSAGES_AI)]
        for _ in range(3):
            await settle(world, someone, await reserve(world, someone, lines))
        assert (await quota(world, someone, Metric.CONVERSATIONS)).used == 1
        assert (await quota(world, someone, Metric.MESSAGES_AI)).used == 3
        (event,) = of(await events(world, someone), Metric.CONVERSATIONS)
        assert event.id == usage_id(conversation, Metric.CONVERSATIONS)

    async def test_once_for_held_twice_is_given_back_by_the_second(self, world: BillingWorld) -> None:
        someone = await opened(world)
        lines = [ReservationLine(metric=Metric.CONVERSATIONS, once_for=new_id())]
        first, second = await reserve(world, someone, lines), await reserve(world, someone, lines)
        assert (await quota(world, someone, Metric.CONVERSATIONS)).reserved == 2
        await settle(world, someone, first)
        await settle(world, someone, second)
        view = await quota(world, someone, Metric.CONVERSATIONS)
        assert (view.used, view.reserved) == (1, 0)

    async def test_once_for_is_held_again_when_the_first_was_released(self, world: BillingWorld) -> None:
        someone = await opened(world)
        lines = [ReservationLine(metric=Metric.CONVERSATIONS, once_for=new_id())]
        await release(world, someone, await reserve(world, someone, lines))
        await settle(world, someone, await reserve(world, someone, lines))
        assert (await quota(world, someone, Metric.CONVERSATIONS)).used == 1

    async def test_a_new_period_is_opened_when_it_is_needed_and_starts_empty(self, world: BillingWorld) -> None:
        someone = await opened(world)
        await settle(world, someone, await reserve(world, someone))
        world.clock.at = datetime(2026, 2, 28, tzinfo=UTC)
        with pytest.raises(QuotaPeriodMissing):
            await reserve(world, someone)
        assert (await quota(world, someone, Metric.MESSAGES_AI)).used == 0
        await world.quotas.open_periods(someone.tenant)
        await world.quotas.open_periods(someone.tenant)
        await settle(world, someone, await reserve(world, someone))
        view = await quota(world, someone, Metric.MESSAGES_AI)
        assert (view.used, view.period_start, view.period_end) == (
            1,
            datetime(2026, 2, 28, tzinfo=UTC),
            datetime(2026, 3, 31, tzinfo=UTC),
        )

    async def test_what_is_held_over_midnight_belongs_to_the_period_that_held_it(self, world: BillingWorld) -> None:
        world.clock.at = datetime(2026, 1, 31, tzinfo=UTC)
        someone = await opened(world)
        world.clock.at = datetime(2026, 2, 27, 23, 59, 59, tzinfo=UTC)
        kept, dropped = await reserve(world, someone), await reserve(world, someone)
        world.clock.at = datetime(2026, 2, 28, 0, 0, 5, tzinfo=UTC)
        await world.quotas.open_periods(someone.tenant)
        await settle(world, someone, kept)
        await release(world, someone, dropped)
        assert (await quota(world, someone, Metric.MESSAGES_AI)).used == 0
        (event,) = await events(world, someone)
        assert event.occurred_at == datetime(2026, 2, 27, 23, 59, 59, tzinfo=UTC)
        world.clock.at = datetime(2026, 2, 27, 23, 59, 59, tzinfo=UTC)
        view = await quota(world, someone, Metric.MESSAGES_AI)
        assert (view.used, view.reserved) == (1, 0)

    async def test_another_organisation_cannot_settle_or_release_a_reservation(self, world: BillingWorld) -> None:
        someone, stranger = await opened(world), await opened(world)
        turn = await reserve(world, someone)
        with pytest.raises(ReservationNotOpen):
            await settle(world, stranger, turn)
        await release(world, stranger, turn)
        assert (await quota(world, someone, Metric.MESSAGES_AI)).reserved == 1

    async def test_a_failing_unit_leaves_nothing_behind(self, world: BillingWorld) -> None:
        someone = await opened(world)
        at = world.clock.now()
        lines = [ReservationLine(metric=Metric.MESSAGES_AI)]

        async def reserve_and_fail() -> None:
            async with world.unit(someone) as unit:
                await world.quotas.reserve(unit, reservation_id=new_id(), cause="turn", lines=lines, at=at, expires_at=at + HOLD_FOR)
                await world.quotas.settle(unit, reservation_id=new_id(), usage=(), at=at)

        with pytest.raises(ReservationNotOpen):
            await reserve_and_fail()
        assert (await quota(world, someone, Metric.MESSAGES_AI)).reserved == 0


class CapacitiesContract:
    """Take and give back."""

    async def test_a_capacity_is_taken_until_it_is_given_back(self, world: BillingWorld) -> None:
        someone = await opened(world)
        agent = new_id()
        await take(world, someone, Metric.AGENTS, agent)
        with pytest.raises(QuotaExceeded) as refusal:
            await take(world, someone, Metric.AGENTS, new_id())
        assert dict(refusal.value.extra) == {"metric": "agents", "limit": 1, "resets_at": None}
        await give_back(world, someone, Metric.AGENTS, agent)
        await take(world, someone, Metric.AGENTS, new_id())
        view = await quota(world, someone, Metric.AGENTS)
        assert (view.used, view.period_start, view.period_end) == (1, None, None)

    async def test_one_cause_takes_once_and_gives_back_once(self, world: BillingWorld) -> None:
        someone = await opened(world, "pro")
        await take(world, someone, Metric.AGENTS, new_id())
        agent = new_id()
        for _ in range(2):
            await take(world, someone, Metric.AGENTS, agent)
        assert (await quota(world, someone, Metric.AGENTS)).used == 2
        for _ in range(2):
            await give_back(world, someone, Metric.AGENTS, agent)
        assert (await quota(world, someone, Metric.AGENTS)).used == 1
        assert sorted(event.quantity for event in await events(world, someone)) == [-1, 1, 1]

    async def test_what_was_given_back_cannot_be_taken_for_the_same_cause(self, world: BillingWorld) -> None:
        someone = await opened(world)
        agent = new_id()
        await take(world, someone, Metric.AGENTS, agent)
        await give_back(world, someone, Metric.AGENTS, agent)
        with pytest.raises(CapacityGivenBack):
            await take(world, someone, Metric.AGENTS, agent)

    async def test_nothing_is_given_back_that_was_not_taken(self, world: BillingWorld) -> None:
        someone = await opened(world)
        document = new_id()
        await give_back(world, someone, Metric.STORAGE_GB, document, 7)
        await take(world, someone, Metric.STORAGE_GB, document, 1_000)
        await give_back(world, someone, Metric.STORAGE_GB, document, 5_000)
        assert (await quota(world, someone, Metric.STORAGE_GB)).used == 0

    async def test_storage_is_counted_in_bytes_and_refused_in_gigabytes(self, world: BillingWorld) -> None:
        someone = await opened(world)
        with pytest.raises(QuotaExceeded) as refusal:
            await take(world, someone, Metric.STORAGE_GB, new_id(), 500_000_001)
        assert refusal.value.extra["limit"] == 0.5

    async def test_a_plan_without_api_calls_refuses_the_first(self, world: BillingWorld) -> None:
        someone = await opened(world)
        with pytest.raises(QuotaExceeded) as refusal:
            await take(world, someone, Metric.API_CALLS, new_id())
        assert refusal.value.extra["limit"] == 0

    async def test_a_capacity_lasts_over_periods(self, world: BillingWorld) -> None:
        someone = await opened(world)
        agent = new_id()
        await take(world, someone, Metric.AGENTS, agent)
        world.clock.at += timedelta(days=90)
        assert (await quota(world, someone, Metric.AGENTS)).used == 1
        await give_back(world, someone, Metric.AGENTS, agent)
        assert (await quota(world, someone, Metric.AGENTS)).used == 0


class SubscriptionsContract:
    """Plans decide, at once."""

    async def test_a_new_plan_counts_in_the_same_moment(self, world: BillingWorld) -> None:
        someone = await opened(world)
        await take(world, someone, Metric.AGENTS, new_id())
        await world.apply_plan(ApplyPlan(plan="pro", add_ons={"extra_agents": 2}, requested_by=someone))
        view = await quota(world, someone, Metric.AGENTS)
        entitlement = await world.entitlements.of(someone.tenant)
        assert (view.limit, view.used) == (15, 1)
        assert (entitlement.plan, entitlement.limits[Metric.AGENTS], entitlement.agent_rate_per_minute) == ("pro", 15, 60)
        assert "api_access" in entitlement.features
        for _ in range(14):
            await take(world, someone, Metric.AGENTS, new_id())
        with pytest.raises(QuotaExceeded):
            await take(world, someone, Metric.AGENTS, new_id())

    async def test_what_is_above_a_smaller_plan_stays_and_nothing_more_can_be_taken(self, world: BillingWorld) -> None:
        someone = await opened(world, "pro")
        agents = [new_id() for _ in range(3)]
        for agent in agents:
            await take(world, someone, Metric.AGENTS, agent)
        await world.apply_plan(ApplyPlan(plan="free", requested_by=someone))
        view = await quota(world, someone, Metric.AGENTS)
        assert (view.limit, view.used, view.overage) == (1, 3, 2)
        with pytest.raises(QuotaExceeded):
            await take(world, someone, Metric.AGENTS, new_id())
        await give_back(world, someone, Metric.AGENTS, agents[0])

    async def test_a_closed_period_keeps_its_limits(self, world: BillingWorld) -> None:
        someone = await opened(world)
        world.clock.at = datetime(2026, 3, 1, tzinfo=UTC)
        await world.apply_plan(ApplyPlan(plan="enterprise", requested_by=someone))
        world.clock.at = BEGIN
        with pytest.raises(QuotaExceeded):
            await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS, quantity=101)])

    async def test_an_organisation_has_one_account(self, world: BillingWorld) -> None:
        someone = await opened(world)
        with pytest.raises(Conflict):
            async with world.account_unit(someone) as unit:
                await world.accounts.open(unit, organization_id=someone.tenant, plan="free", at=world.clock.now())

    async def test_without_an_account_there_is_nothing(self, world: BillingWorld) -> None:
        nobody = Principal.system(new_id())
        with pytest.raises(NotFound):
            await world.entitlements.of(nobody.tenant)
        with pytest.raises(NotFound):
            await world.quotas.open_periods(nobody.tenant)
        with pytest.raises(NotFound):
            await world.apply_plan(ApplyPlan(plan="pro", requested_by=nobody))


def used(metric: Metric, at: datetime, quantity: int = 1, **cost: object) -> UsageEvent:
    cause = new_id()
    return UsageEvent(
        id=usage_id(cause, metric),
        metric=metric,
        quantity=quantity,
        cause="late",
        cause_id=cause,
        occurred_at=at,
        **cost,  # type: ignore[arg-type]
    )


class UsageContract:
    """Late, in bulk, twice."""

    async def test_a_batch_counts_each_event_once(self, world: BillingWorld) -> None:
        someone = await opened(world)
        batch = [used(Metric.MESSAGES_AI, BEGIN) for _ in range(5)] + [used(Metric.TOKENS_IN, BEGIN, 40)]
        first = await world.ingest(IngestUsage(organization_id=someone.tenant, events=[*batch, batch[0]]))
        again = await world.ingest(IngestUsage(organization_id=someone.tenant, events=batch))
        assert (first, again) == (6, 0)
        assert (await quota(world, someone, Metric.MESSAGES_AI)).used == 5
        assert len(await events(world, someone)) == 6

    async def test_a_late_event_counts_in_the_period_in_which_it_happened(self, world: BillingWorld) -> None:
        someone = await opened(world)
        world.clock.at = datetime(2026, 3, 1, tzinfo=UTC)
        await world.ingest(IngestUsage(organization_id=someone.tenant, events=[used(Metric.MESSAGES_AI, BEGIN)]))
        assert (await quota(world, someone, Metric.MESSAGES_AI)).used == 0
        world.clock.at = BEGIN
        assert (await quota(world, someone, Metric.MESSAGES_AI)).used == 1

    async def test_what_has_happened_counts_even_beyond_the_limit(self, world: BillingWorld) -> None:
        someone = await opened(world)
        await world.ingest(IngestUsage(organization_id=someone.tenant, events=[used(Metric.CONVERSATIONS, BEGIN, 150)]))
        view = await quota(world, someone, Metric.CONVERSATIONS)
        assert (view.used, view.overage) == (150, 50)

    async def test_totals_are_by_metric_in_a_span_of_time(self, world: BillingWorld) -> None:
        someone, stranger = await opened(world), await opened(world)
        hour = timedelta(hours=1)
        batch = [
            used(Metric.TOKENS_IN, BEGIN, 40, cost_micro=1_500_000, currency=EUR),
            used(Metric.TOKENS_IN, BEGIN + hour, 2, estimated=True),
            used(Metric.TOOL_CALLS, BEGIN, 3),
            used(Metric.TOOL_CALLS, BEGIN + 2 * hour, 9),
        ]
        await world.ingest(IngestUsage(organization_id=someone.tenant, events=batch))
        await world.ingest(IngestUsage(organization_id=stranger.tenant, events=[used(Metric.TOOL_CALLS, BEGIN, 100)]))
        totals = {total.metric: total for total in await world.reader.usage_totals(someone, BEGIN, BEGIN + 2 * hour)}
        assert set(totals) == {Metric.TOKENS_IN, Metric.TOOL_CALLS}
        tokens = totals[Metric.TOKENS_IN]
        assert (tokens.quantity, tokens.estimated, tokens.cost_micro, tokens.currency) == (42, True, 1_500_000, EUR)
        assert (totals[Metric.TOOL_CALLS].quantity, totals[Metric.TOOL_CALLS].currency) == (3, None)

    async def test_events_are_listed_page_by_page_newest_first(self, world: BillingWorld) -> None:
        someone = await opened(world)
        batch = [used(Metric.TOOL_CALLS, BEGIN + timedelta(seconds=n // 3), n + 1) for n in range(10)]
        await world.ingest(IngestUsage(organization_id=someone.tenant, events=batch))
        wanted = sorted(batch, key=lambda event: (event.occurred_at, event.id), reverse=True)
        first = await world.reader.usage_events(someone, PageRequest(None, 4))
        second = await world.reader.usage_events(someone, PageRequest(first.next_cursor, 4))
        last = await world.reader.usage_events(someone, PageRequest(second.next_cursor, 4))
        assert [*first.items, *second.items, *last.items] == wanted
        assert last.next_cursor is None

    @pytest.mark.parametrize(
        "cursor", ["nonsense", "é", "MjAyNi0wMS0zMXxub25l", "MjAyNi0wMS0zMVQwMDowMDowMHwwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDA"]
    )
    async def test_a_cursor_of_another_list_is_refused(self, world: BillingWorld, cursor: str) -> None:
        someone = await opened(world)
        with pytest.raises(InvalidInput):
            await world.reader.usage_events(someone, PageRequest(cursor))
