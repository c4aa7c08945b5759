"""What billing does for the other contexts: implements `contracts.billing`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.billing.commands import ReservationLine, UsageLine
from contracts.billing.metrics import CAPACITIES, PERIODIC, Metric
from contracts.billing.queries import Entitlement
from domains.billing.model.catalogue import allowances_of, plan_named
from domains.billing.model.quota import HeldLine, Hold, SpentLine
from domains.billing.model.subscription import Subscription
from domains.billing.model.usage import MICRO, UsageEvent, given_back_id, usage_id
from domains.billing.ports.billing_reader import BillingReader
from domains.billing.ports.quota_ledger import QuotaLedger
from domains.billing.ports.transactions import BillingTransactions
from domains.billing.use_cases.open_periods import OpenPeriods, OpenPeriodsHandler
from shared_kernel.principal import Principal
from shared_kernel.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class QuotasFacade:
    """Implements `contracts.billing.commands.Quotas`: says which events a reservation will become; the ledger does the counting."""

    ledger: QuotaLedger
    open_periods_handler: OpenPeriodsHandler

    async def reserve(
        self,
        unit: UnitOfWork,
        *,
        reservation_id: UUID,
        cause: str,
        lines: Sequence[ReservationLine],
        at: datetime,
        expires_at: datetime,
        within_plan: bool = False,
    ) -> None:
        """See `Quotas.reserve`. Raises `ValueError` for two lines of one metric, a metric without counter, or a quantity below 1."""
        if len({line.metric for line in lines}) != len(lines):
            raise ValueError("a reservation holds each metric once")
        held = tuple(
            HeldLine(
                metric=_counted(line.metric),
                quantity=_positive(line.quantity),
                event_id=usage_id(line.once_for or reservation_id, line.metric),
                once_for=line.once_for,
            )
            for line in lines
        )
        await self.ledger.hold(
            unit, Hold(reservation_id=reservation_id, cause=cause, lines=held, at=at, expires_at=expires_at, within_plan=within_plan)
        )

    async def settle(self, unit: UnitOfWork, *, reservation_id: UUID, usage: Sequence[UsageLine], at: datetime) -> None:
        """See `Quotas.settle`. Raises `ValueError` for two lines of one metric or a negative quantity."""
        if len({line.metric for line in usage}) != len(usage):
            raise ValueError("usage names each metric once")
        spent = tuple(
            SpentLine(
                metric=line.metric,
                quantity=_not_negative(line.quantity),
                event_id=usage_id(reservation_id, line.metric),
                estimated=line.estimated,
                cost_micro=line.cost.amount * MICRO + line.cost_micro if line.cost else None,
                currency=line.cost.currency if line.cost else None,
            )
            for line in usage
        )
        await self.ledger.settle(unit, reservation_id=reservation_id, spent=spent, at=at)

    async def release(self, unit: UnitOfWork, *, reservation_id: UUID, at: datetime) -> None:
        """See `Quotas.release`."""
        await self.ledger.release(unit, reservation_id=reservation_id, at=at)

    async def take(self, unit: UnitOfWork, *, metric: Metric, quantity: int, cause: str, cause_id: UUID, at: datetime) -> None:
        """See `Quotas.take`. Raises `ValueError` for a metric without counter or a quantity below 1."""
        event = UsageEvent(
            id=usage_id(cause_id, metric),
            metric=_counted(metric),
            quantity=_positive(quantity),
            cause=cause,
            cause_id=cause_id,
            occurred_at=at,
        )
        await self.ledger.take(unit, event, given_back_id=given_back_id(cause_id, metric))

    async def give_back(self, unit: UnitOfWork, *, metric: Metric, quantity: int, cause_id: UUID, at: datetime) -> None:
        """See `Quotas.give_back`. Raises `ValueError` for a metric that is no capacity or a quantity below 1."""
        if metric not in CAPACITIES:
            raise ValueError(f"{metric} is not a capacity: what was used of it is used")
        event = UsageEvent(
            id=given_back_id(cause_id, metric),
            metric=metric,
            quantity=-_positive(quantity),
            cause="given_back",
            cause_id=cause_id,
            occurred_at=at,
        )
        await self.ledger.give_back(unit, event, taken_id=usage_id(cause_id, metric))

    async def open_periods(self, organization_id: UUID) -> None:
        """See `Quotas.open_periods`."""
        await self.open_periods_handler(OpenPeriods(organization_id=organization_id))


@dataclass(frozen=True, slots=True)
class BillingAccountsFacade:
    """Implements `contracts.billing.commands.BillingAccounts`."""

    transactions: BillingTransactions

    async def open(self, unit: UnitOfWork, *, organization_id: UUID, plan: str, at: datetime) -> None:
        """See `BillingAccounts.open`."""
        tx = self.transactions.joining(unit)
        subscription = Subscription.open(organization_id=organization_id, plan=plan, at=at)
        tx.subscriptions.add(subscription)
        await tx.counters.open(organization_id, subscription.allowances, subscription.period(at))


@dataclass(frozen=True, slots=True)
class EntitlementsFacade:
    """Implements `contracts.billing.queries.Entitlements`: one query, never cached, so that a change counts at once."""

    reader: BillingReader

    async def of(self, organization_id: UUID) -> Entitlement:
        """See `Entitlements.of`. Raises `NotFound` without an account."""
        record = await self.reader.subscription(Principal.system(organization_id))
        plan = plan_named(record.plan)
        return Entitlement(
            plan=plan.slug.value,
            features=frozenset(feature.value for feature in plan.features),
            limits={metric: allowance.limit for metric, allowance in allowances_of(plan, record.add_ons).items()},
            agent_rate_per_minute=plan.agent_rate_per_minute,
        )


def _counted(metric: Metric) -> Metric:
    if metric not in PERIODIC and metric not in CAPACITIES:
        raise ValueError(f"{metric} has no counter")
    return metric


def _positive(quantity: int) -> int:
    if quantity < 1:
        raise ValueError("a quantity is at least 1")
    return quantity


def _not_negative(quantity: int) -> int:
    if quantity < 0:
        raise ValueError("a used quantity is not negative")
    return quantity
