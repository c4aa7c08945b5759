"""Whatever happens to the ledger, in whatever order, the two books agree and no plan is overdrawn.

The machine keeps its own account of what it did, simply, and compares it with what the ledger shows after every step.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from contracts.billing.commands import ReservationLine, UsageLine
from contracts.billing.errors import CapacityGivenBack, QuotaExceeded, QuotaPeriodMissing, ReservationNotOpen
from contracts.billing.metrics import CAPACITIES, PERIODIC, Metric
from domains.billing.model.catalogue import COUNTED, allowances_of, plan_named
from domains.billing.use_cases.apply_plan import ApplyPlan
from domains.billing.use_cases.expire_reservations import ExpireReservations
from domains.billing.use_cases.ingest_usage import IngestUsage
from domains.billing.use_cases.list_quotas import ListQuotasHandler
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal
from tests.fakes.billing import BillingStore
from tests.port_contracts.quotas import HOLD_FOR, BillingWorld, events, give_back, opened, release, reserve, settle, take, used
from tests.unit.billing.test_ledger_in_memory import in_memory_world

T = TypeVar("T")
HELD = (Metric.CONVERSATIONS, Metric.MESSAGES_AI)
PLANS = st.sampled_from(["free", "pro", "business", "enterprise"])
ORGANISATIONS = st.integers(0, 1)


@dataclass
class Held:
    """What the machine believes of one reservation."""

    quantities: dict[Metric, int]
    once_for: UUID | None
    expires_at: Any
    open: bool = True


@dataclass
class Tenant:
    """What the machine believes of one organisation."""

    principal: Principal
    plan: str
    add_ons: dict[str, int] = field(default_factory=dict)
    held: dict[UUID, Held] = field(default_factory=dict)
    paid: set[UUID] = field(default_factory=set)
    taken: dict[UUID, tuple[Metric, int]] = field(default_factory=dict)
    given_back: set[UUID] = field(default_factory=set)
    messages: int = 0


class QuotaLedgerMachine(RuleBasedStateMachine):
    """Several organisations, one clock."""

    reservations: Bundle[tuple[int, UUID]] = Bundle("reservations")
    things: Bundle[tuple[int, Metric, UUID]] = Bundle("things")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = self.new_world()
        self.tenants: list[Tenant] = []
        self.conversation = new_id()

    def new_world(self) -> BillingWorld:
        """The ledger under test."""
        return in_memory_world(BillingStore())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.runner.close()

    @initialize()
    def accounts(self) -> None:
        for plan in ("free", "pro"):
            self.tenants.append(Tenant(self.run(opened(self.world, plan)), plan))

    # ------------------------------------------------------------------------------------------------- what happens

    @rule(
        target=reservations,
        who=ORGANISATIONS,
        messages=st.sampled_from([1, 2, 400, 9_000, 12_000]),
        in_conversation=st.booleans(),
        within_plan=st.booleans(),
    )
    def reserve(self, who: int, messages: int, in_conversation: bool, within_plan: bool) -> Any:
        tenant = self.tenants[who]
        thing = self.conversation if in_conversation else None
        lines = [ReservationLine(metric=Metric.MESSAGES_AI, quantity=messages)]
        quantities = {Metric.MESSAGES_AI: messages}
        if thing is not None:
            lines.append(ReservationLine(metric=Metric.CONVERSATIONS, once_for=thing))
            if thing not in tenant.paid:
                quantities[Metric.CONVERSATIONS] = 1
        shown = self.shown(tenant)
        try:
            turn = self.run(reserve(self.world, tenant.principal, lines, within_plan=within_plan))
        except QuotaPeriodMissing:
            self.run(self.world.quotas.open_periods(tenant.principal.tenant))
            return multiple()
        except QuotaExceeded as refusal:
            metric = Metric(str(refusal.extra["metric"]))
            bound = self.bound(tenant, metric, within_plan=within_plan)
            assert bound is not None
            assert sum(shown[metric]) + quantities[metric] > bound
            return multiple()
        for metric, quantity in quantities.items():
            bound = self.bound(tenant, metric, within_plan=within_plan)
            assert bound is None or sum(shown[metric]) + quantity <= bound
        tenant.held[turn] = Held(quantities, thing, self.world.clock.now() + HOLD_FOR)
        return who, turn

    @rule(reservation=reservations, share=st.floats(0, 1), tokens=st.integers(0, 9))
    def settle(self, reservation: tuple[int, UUID], share: float, tokens: int) -> None:
        who, turn = reservation
        tenant = self.tenants[who]
        held = tenant.held[turn]
        messages = round(held.quantities[Metric.MESSAGES_AI] * share)
        usage = [UsageLine(metric=Metric.MESSAGES_AI, quantity=messages), UsageLine(metric=Metric.TOKENS_IN, quantity=tokens)]
        try:
            self.run(settle(self.world, tenant.principal, turn, usage))
        except ReservationNotOpen:
            assert not held.open
            return
        assert held.open
        held.open = False
        tenant.messages += messages
        if held.once_for is not None:
            tenant.paid.add(held.once_for)

    @rule(who=ORGANISATIONS)
    def two_turns_at_once_begin_one_conversation(self, who: int) -> None:
        turns = [self.reserve(who, 1, in_conversation=True, within_plan=False) for _ in range(2)]
        for turn in turns:
            if isinstance(turn, tuple):
                self.settle(turn, 1.0, 0)
        self.conversation = new_id()

    @rule(reservation=reservations)
    def release(self, reservation: tuple[int, UUID]) -> None:
        who, turn = reservation
        self.run(release(self.world, self.tenants[who].principal, turn))
        self.tenants[who].held[turn].open = False

    @rule(reservation=reservations, other=ORGANISATIONS)
    def meddle(self, reservation: tuple[int, UUID], other: int) -> None:
        who, turn = reservation
        if who == other:
            return
        self.run(release(self.world, self.tenants[other].principal, turn))
        try:
            self.run(settle(self.world, self.tenants[other].principal, turn))
        except ReservationNotOpen:
            return
        raise AssertionError("another organisation settled a reservation")

    @rule()
    def expire(self) -> None:
        self.run(self.world.expire(ExpireReservations()))
        for tenant in self.tenants:
            for held in tenant.held.values():
                if held.expires_at <= self.world.clock.now():
                    held.open = False

    @rule(target=things, who=ORGANISATIONS, metric=st.sampled_from(sorted(CAPACITIES)), quantity=st.integers(1, 4))
    def take(self, who: int, metric: Metric, quantity: int) -> Any:
        cause = new_id()
        return (who, metric, cause) if self.taken(who, metric, cause, quantity) else multiple()

    @rule(thing=things, quantity=st.integers(1, 4))
    def take_again(self, thing: tuple[int, Metric, UUID], quantity: int) -> None:
        who, metric, cause = thing
        before = self.shown(self.tenants[who])[metric]
        try:
            self.run(take(self.world, self.tenants[who].principal, metric, cause, quantity))
        except CapacityGivenBack:
            assert cause in self.tenants[who].given_back
        assert self.shown(self.tenants[who])[metric] == before

    @rule(thing=things, quantity=st.integers(1, 6))
    def give_back(self, thing: tuple[int, Metric, UUID], quantity: int) -> None:
        who, metric, cause = thing
        tenant = self.tenants[who]
        self.run(give_back(self.world, tenant.principal, metric, cause, quantity))
        if cause not in tenant.given_back:
            tenant.given_back.add(cause)
            tenant.taken[cause] = (metric, max(0, tenant.taken[cause][1] - quantity))

    @rule(who=ORGANISATIONS, plan=PLANS, bought=st.integers(0, 2))
    def change_plan(self, who: int, plan: str, bought: int) -> None:
        tenant = self.tenants[who]
        add_ons = {"extra_agents": bought} if bought and plan != "free" else {}
        self.run(self.world.apply_plan(ApplyPlan(plan=plan, add_ons=add_ons, requested_by=tenant.principal)))
        tenant.plan, tenant.add_ons = plan, add_ons

    @rule(who=ORGANISATIONS, quantity=st.integers(1, 3), twice=st.booleans())
    def ingest(self, who: int, quantity: int, twice: bool) -> None:
        tenant = self.tenants[who]
        event = used(Metric.MESSAGES_AI, self.world.clock.now() - timedelta(minutes=1), quantity)
        batch = [event, event] if twice else [event]
        assert self.run(self.world.ingest(IngestUsage(organization_id=tenant.principal.tenant, events=batch))) == 1
        tenant.messages += quantity

    @rule(minutes=st.sampled_from([1, 1, 1, 1, 2, 2, 5, 60 * 24 * 29]))
    def time_passes(self, minutes: int) -> None:
        self.world.clock.at += timedelta(minutes=minutes)

    # ------------------------------------------------------------------------------------------- what is always true

    @invariant()
    def nothing_is_lost_or_counted_twice(self) -> None:
        for tenant in self.tenants:
            shown = self.shown(tenant)
            for metric in CAPACITIES:
                assert shown[metric] == (sum(q for m, q in tenant.taken.values() if m is metric), 0)
            for metric in HELD:
                assert shown[metric][1] <= sum(h.quantities.get(metric, 0) for h in tenant.held.values() if h.open)
            found = self.run(events(self.world, tenant.principal))
            assert len({event.id for event in found}) == len(found)
            assert sum(e.quantity for e in found if e.metric is Metric.CONVERSATIONS) == len(tenant.paid)
            assert sum(e.quantity for e in found if e.metric is Metric.MESSAGES_AI) == tenant.messages

    @invariant()
    def the_counters_are_the_events_and_what_is_held(self) -> None:
        for tenant in self.tenants:
            views = self.run(ListQuotasHandler(self.world.reader, self.world.clock)(tenant.principal))
            found = self.run(events(self.world, tenant.principal))
            for view in views:
                if view.metric not in COUNTED:
                    continue
                in_period = [
                    e.quantity
                    for e in found
                    if e.metric is view.metric
                    and (view.period_start is None or view.period_end is None or view.period_start <= e.occurred_at < view.period_end)
                ]
                assert view.used == sum(in_period)
                assert view.reserved >= 0
                assert view.limit == allowances_of(plan_named(tenant.plan), tenant.add_ons)[view.metric].limit
                assert (view.period_start is None) == (view.metric not in PERIODIC)

    # ------------------------------------------------------------------------------------------------------ helpers

    def shown(self, tenant: Tenant) -> dict[Metric, tuple[int, int]]:
        views = self.run(ListQuotasHandler(self.world.reader, self.world.clock)(tenant.principal))
        return {view.metric: (view.used, view.reserved) for view in views}

    @staticmethod
    def bound(tenant: Tenant, metric: Metric, *, within_plan: bool) -> int | None:
        allowance = allowances_of(plan_named(tenant.plan), tenant.add_ons)[metric]
        return allowance.limit if within_plan else allowance.ceiling

    def taken(self, who: int, metric: Metric, cause: UUID, quantity: int) -> bool:
        tenant = self.tenants[who]
        before = self.shown(tenant)[metric][0]
        bound = self.bound(tenant, metric, within_plan=False)
        try:
            self.run(take(self.world, tenant.principal, metric, cause, quantity))
        except QuotaExceeded:
            assert bound is not None
            assert before + quantity > bound
            return False
        assert bound is None or before + quantity <= bound
        tenant.taken[cause] = (metric, quantity)
        return True


TestQuotaLedger = QuotaLedgerMachine.TestCase
TestQuotaLedger.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
