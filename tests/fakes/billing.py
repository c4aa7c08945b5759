"""Billing in memory: one store, seen through the same ports as the Postgres adapters."""

import copy
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.billing.errors import CapacityGivenBack, QuotaExceeded, QuotaPeriodMissing, ReservationNotOpen
from contracts.billing.metrics import PERIODIC, Metric, shown
from domains.billing.model.catalogue import COUNTED, Allowances
from domains.billing.model.period import BillingPeriod
from domains.billing.model.quota import CounterReading, HeldLine, Hold, OpenReservation, SpentLine
from domains.billing.model.subscription import Subscription
from domains.billing.model.usage import UsageEvent
from domains.billing.ports.billing_reader import SubscriptionRecord, UsageTotal
from shared_kernel.aggregate import AuditNote
from shared_kernel.errors import Conflict, NotFound
from shared_kernel.events import Delivery, Event
from shared_kernel.pagination import ForeignCursor, Page, PageRequest
from shared_kernel.principal import Principal
from shared_kernel.unit_of_work import UnitOfWork


@dataclass
class Counter:
    start: datetime | None
    end: datetime | None
    limit: int | None
    ceiling: int | None
    taken: int = 0

    def covers(self, at: datetime) -> bool:
        return (self.start is None or self.start <= at) and (self.end is None or at < self.end)


@dataclass
class Reservation:
    cause: str
    at: datetime
    expires_at: datetime
    lines: list[tuple[HeldLine, datetime | None]]
    state: str = "open"


CounterKey = tuple[UUID, Metric, datetime | None]


@dataclass
class BillingStore:
    """What the database would hold; `published` and `noted` are what left with committed changes."""

    subscriptions: dict[UUID, Subscription] = field(default_factory=dict)
    counters: dict[CounterKey, Counter] = field(default_factory=dict)
    reservations: dict[tuple[UUID, UUID], Reservation] = field(default_factory=dict)
    usage: dict[tuple[UUID, UUID], UsageEvent] = field(default_factory=dict)
    published: list[Event] = field(default_factory=list)
    noted: list[AuditNote] = field(default_factory=list)

    def restore(self, before: "BillingStore") -> None:
        self.__dict__.update(before.__dict__)


@dataclass
class InMemoryUnit:
    principal: Principal
    store: BillingStore


@asynccontextmanager
async def in_memory_unit(store: BillingStore, principal: Principal) -> AsyncIterator[InMemoryUnit]:
    """A transaction: an error inside leaves nothing behind."""
    before = copy.deepcopy(store)
    try:
        yield InMemoryUnit(principal, store)
    except BaseException:
        store.restore(before)
        raise
    for subscription in store.subscriptions.values():
        store.published.extend(subscription.take_events())
        store.noted.extend(subscription.take_notes())


class InMemoryQuotaLedger:
    """Implements `QuotaLedger`."""

    def __init__(self, store: BillingStore) -> None:
        self._store = store

    async def hold(self, unit: UnitOfWork, hold: Hold) -> None:
        tenant = unit.principal.tenant
        if (tenant, hold.reservation_id) in self._store.reservations:
            raise Conflict
        wanted = [line for line in hold.lines if line.once_for is None or (tenant, line.event_id) not in self._store.usage]
        found = [(line, self._counter(tenant, line.metric, hold.at)) for line in sorted(wanted, key=lambda line: line.metric)]
        for line, counter in found:
            self._check(line.metric, counter, line.quantity, counter.limit if hold.within_plan else counter.ceiling)
        for line, counter in found:
            counter.taken += line.quantity
        self._store.reservations[tenant, hold.reservation_id] = Reservation(
            hold.cause, hold.at, hold.expires_at, [(line, counter.start) for line, counter in found]
        )

    async def settle(self, unit: UnitOfWork, *, reservation_id: UUID, spent: Sequence[SpentLine], at: datetime) -> None:  # noqa: ARG002
        tenant = unit.principal.tenant
        reservation = self._store.reservations.get((tenant, reservation_id))
        if reservation is None or reservation.state != "open":
            raise ReservationNotOpen
        reservation.state = "settled"
        said = {line.metric: line for line in spent}
        for line, start in reservation.lines:
            real = said.pop(line.metric, None) or SpentLine(metric=line.metric, quantity=line.quantity, event_id=line.event_id)
            written = self._write(tenant, reservation, reservation_id, real, line.event_id)
            self._store.counters[tenant, line.metric, start].taken -= line.quantity - (real.quantity if written else 0)
        for real in said.values():
            self._write(tenant, reservation, reservation_id, real, real.event_id)

    async def release(self, unit: UnitOfWork, *, reservation_id: UUID, at: datetime) -> None:  # noqa: ARG002
        self._give_up(unit.principal.tenant, reservation_id, "released")

    async def expire(self, unit: UnitOfWork, *, reservation_id: UUID, at: datetime) -> None:
        reservation = self._store.reservations.get((unit.principal.tenant, reservation_id))
        if reservation is not None and reservation.expires_at <= at:
            self._give_up(unit.principal.tenant, reservation_id, "expired")

    async def take(self, unit: UnitOfWork, event: UsageEvent, *, given_back_id: UUID) -> None:
        tenant = unit.principal.tenant
        if (tenant, given_back_id) in self._store.usage:
            raise CapacityGivenBack
        if (tenant, event.id) in self._store.usage:
            return
        counter = self._counter(tenant, event.metric, event.occurred_at)
        self._check(event.metric, counter, event.quantity, counter.ceiling)
        counter.taken += event.quantity
        self._store.usage[tenant, event.id] = event

    async def give_back(self, unit: UnitOfWork, event: UsageEvent, *, taken_id: UUID) -> None:
        tenant = unit.principal.tenant
        taken = self._store.usage.get((tenant, taken_id))
        if taken is None or (tenant, event.id) in self._store.usage:
            return
        quantity = min(-event.quantity, taken.quantity)
        self._store.counters[tenant, event.metric, None].taken -= quantity
        self._store.usage[tenant, event.id] = UsageEvent(
            id=event.id,
            metric=event.metric,
            quantity=-quantity,
            cause=event.cause,
            cause_id=event.cause_id,
            occurred_at=event.occurred_at,
        )

    def _counter(self, tenant: UUID, metric: Metric, at: datetime) -> Counter:
        for (owner, counted, _), counter in self._store.counters.items():
            if owner == tenant and counted is metric and counter.covers(at):
                return counter
        raise QuotaPeriodMissing

    @staticmethod
    def _check(metric: Metric, counter: Counter, quantity: int, bound: int | None) -> None:
        if bound is not None and counter.taken + quantity > bound:
            raise QuotaExceeded(
                "The plan's limit is reached",
                metric=metric.value,
                limit=None if counter.limit is None else shown(metric, counter.limit),
                resets_at=counter.end.strftime("%Y-%m-%dT%H:%M:%SZ") if counter.end else None,
            )

    def _write(self, tenant: UUID, reservation: Reservation, cause_id: UUID, real: SpentLine, event_id: UUID) -> bool:
        if (tenant, event_id) in self._store.usage:
            return False
        self._store.usage[tenant, event_id] = UsageEvent(
            id=event_id,
            metric=real.metric,
            quantity=real.quantity,
            cause=reservation.cause,
            cause_id=cause_id,
            occurred_at=reservation.at,
            estimated=real.estimated,
            cost_micro=real.cost_micro,
            currency=real.currency,
        )
        return True

    def _give_up(self, tenant: UUID, reservation_id: UUID, state: str) -> None:
        reservation = self._store.reservations.get((tenant, reservation_id))
        if reservation is None or reservation.state != "open":
            return
        reservation.state = state
        for line, start in reservation.lines:
            self._store.counters[tenant, line.metric, start].taken -= line.quantity


class InMemorySubscriptions:
    """Implements `Subscriptions`."""

    def __init__(self, store: BillingStore) -> None:
        self._store = store

    def add(self, subscription: Subscription) -> None:
        if subscription.organization_id in self._store.subscriptions:
            raise Conflict
        self._store.subscriptions[subscription.organization_id] = subscription

    async def of(self, organization_id: UUID) -> Subscription:
        if organization_id not in self._store.subscriptions:
            raise NotFound
        return self._store.subscriptions[organization_id]


class InMemoryQuotaCounters:
    """Implements `QuotaCounters`."""

    def __init__(self, store: BillingStore) -> None:
        self._store = store

    async def open(self, organization_id: UUID, allowances: Allowances, period: BillingPeriod) -> None:
        for metric in COUNTED:
            start, end = (period.start, period.end) if metric in PERIODIC else (None, None)
            counter = Counter(start, end, allowances[metric].limit, allowances[metric].ceiling)
            self._store.counters.setdefault((organization_id, metric, start), counter)

    async def apply(self, organization_id: UUID, allowances: Allowances, at: datetime) -> None:
        for (owner, metric, _), counter in self._store.counters.items():
            if owner == organization_id and (counter.end is None or counter.end > at):
                counter.limit, counter.ceiling = allowances[metric].limit, allowances[metric].ceiling


@dataclass
class InMemoryBillingTransaction:
    unit: UnitOfWork
    subscriptions: InMemorySubscriptions
    counters: InMemoryQuotaCounters


class InMemoryBillingTransactions:
    """Implements `BillingTransactions`."""

    def __init__(self, store: BillingStore) -> None:
        self._store = store

    def __call__(
        self,
        principal: Principal,
        *,
        completes: Delivery | None = None,  # noqa: ARG002
    ) -> AbstractAsyncContextManager[InMemoryBillingTransaction]:
        return self._open(principal)

    @asynccontextmanager
    async def _open(self, principal: Principal) -> AsyncIterator[InMemoryBillingTransaction]:
        async with in_memory_unit(self._store, principal) as unit:
            yield self.joining(unit)

    def joining(self, unit: UnitOfWork) -> InMemoryBillingTransaction:
        return InMemoryBillingTransaction(unit, InMemorySubscriptions(self._store), InMemoryQuotaCounters(self._store))


class InMemoryUsageEvents:
    """Implements `UsageEvents`."""

    def __init__(self, store: BillingStore) -> None:
        self._store = store

    async def record(self, organization_id: UUID, batch: Sequence[UsageEvent]) -> int:
        new = 0
        for event in batch:
            if (organization_id, event.id) in self._store.usage:
                continue
            new += 1
            self._store.usage[organization_id, event.id] = event
            for (owner, metric, _), counter in self._store.counters.items():
                if owner == organization_id and metric is event.metric and counter.covers(event.occurred_at):
                    counter.taken += event.quantity
        return new


class InMemoryExpiredReservations:
    """Implements `ExpiredReservations`."""

    def __init__(self, store: BillingStore) -> None:
        self._store = store

    async def due(self, at: datetime, *, limit: int) -> Sequence[OpenReservation]:
        due = [(r.expires_at, key) for key, r in self._store.reservations.items() if r.state == "open" and r.expires_at <= at]
        return tuple(OpenReservation(*key) for _, key in sorted(due)[:limit])


class InMemoryBillingReader:
    """Implements `BillingReader`."""

    def __init__(self, store: BillingStore) -> None:
        self._store = store

    async def subscription(self, principal: Principal) -> SubscriptionRecord:
        found = self._store.subscriptions.get(principal.tenant)
        if found is None:
            raise NotFound
        return SubscriptionRecord(
            plan=found.plan, add_ons=found.add_ons, status=found.status, anchor_day=found.anchor_day, started_at=found.started_at
        )

    async def counters(self, principal: Principal, at: datetime) -> tuple[SubscriptionRecord, Sequence[CounterReading]]:
        tenant = principal.tenant
        readings = [
            CounterReading(
                metric=metric,
                taken=counter.taken,
                reserved=sum(
                    line.quantity
                    for (holder, _), reservation in self._store.reservations.items()
                    for line, begun in reservation.lines
                    if holder == tenant and reservation.state == "open" and line.metric is metric and begun == start
                ),
            )
            for (owner, metric, start), counter in self._store.counters.items()
            if owner == tenant and counter.covers(at)
        ]
        return await self.subscription(principal), readings

    async def usage_totals(self, principal: Principal, start: datetime, end: datetime) -> Sequence[UsageTotal]:
        events = [e for (owner, _), e in self._store.usage.items() if owner == principal.tenant and start <= e.occurred_at < end]
        totals: list[UsageTotal] = []
        for metric in sorted({event.metric for event in events}):
            of_metric = [event for event in events if event.metric is metric]
            currencies = sorted({event.currency for event in of_metric if event.currency})
            for place, currency in enumerate(currencies or [None]):
                part = [e for e in of_metric if e.currency == currency or (place == 0 and e.currency is None)]
                totals.append(
                    UsageTotal(
                        metric=metric,
                        quantity=sum(e.quantity for e in part),
                        estimated=any(e.estimated for e in part),
                        cost_micro=sum(e.cost_micro or 0 for e in part),
                        currency=currency,
                    )
                )
        return totals

    async def usage_events(self, principal: Principal, page: PageRequest) -> Page[UsageEvent]:
        events = sorted(
            (e for (owner, _), e in self._store.usage.items() if owner == principal.tenant),
            key=lambda e: (e.occurred_at, e.id),
            reverse=True,
        )
        places = {str(event.id): place for place, event in enumerate(events, start=1)}
        if page.cursor is not None and page.cursor not in places:
            raise ForeignCursor
        after = 0 if page.cursor is None else places[page.cursor]
        items = events[after : after + page.limit]
        return Page(tuple(items), str(items[-1].id) if len(events) > after + page.limit else None)
