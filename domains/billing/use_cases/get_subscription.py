"""Show an organisation's subscription."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from contracts.billing.metrics import Metric
from domains.billing.model.catalogue import Allowance, Plan, allowances_of, plan_named
from domains.billing.model.period import BillingPeriod
from domains.billing.model.subscription import SubscriptionStatus
from domains.billing.ports.billing_reader import BillingReader
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionView:
    """A subscription with what it gives, in the period around now."""

    plan: Plan
    add_ons: Mapping[str, int]
    status: SubscriptionStatus
    anchor_day: int
    started_at: datetime
    period: BillingPeriod
    allowances: Mapping[Metric, Allowance]


@dataclass(frozen=True, slots=True)
class GetSubscriptionHandler:
    """Answers what the caller's organisation has bought."""

    reader: BillingReader
    clock: Clock

    async def __call__(self, requested_by: Principal) -> SubscriptionView:
        """Return the organisation's subscription. Raises `NotFound` without an account."""
        record = await self.reader.subscription(requested_by)
        plan = plan_named(record.plan)
        return SubscriptionView(
            plan=plan,
            add_ons=record.add_ons,
            status=record.status,
            anchor_day=record.anchor_day,
            started_at=record.started_at,
            period=BillingPeriod.containing(record.anchor_day, self.clock.now()),
            allowances=allowances_of(plan, record.add_ons),
        )
