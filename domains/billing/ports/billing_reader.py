"""What is read of billing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contracts.billing.metrics import Metric
from contracts.billing.plans import PlanSlug
from domains.billing.model.quota import CounterReading
from domains.billing.model.subscription import SubscriptionStatus
from domains.billing.model.usage import UsageEvent
from shared_kernel.pagination import Page, PageRequest
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRecord:
    """A subscription as it is stored."""

    plan: PlanSlug
    add_ons: dict[str, int]
    status: SubscriptionStatus
    anchor_day: int
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotal:
    """The sum of a metric's usage events; `estimated` when one of them was. Without a cost, `currency` is `None` and `cost_micro` 0."""

    metric: Metric
    quantity: int
    estimated: bool
    cost_micro: int
    currency: str | None


class BillingReader(Protocol):
    """Reads the caller's organisation, one round trip each."""

    async def subscription(self, principal: Principal) -> SubscriptionRecord:
        """Return the organisation's subscription. Raises `NotFound`."""
        ...

    async def counters(self, principal: Principal, at: datetime) -> tuple[SubscriptionRecord, Sequence[CounterReading]]:
        """Return the subscription with the counters of the period around `at`; a counter that was not opened is missing.

        Raises `NotFound`.
        """
        ...

    async def usage_totals(self, principal: Principal, start: datetime, end: datetime) -> Sequence[UsageTotal]:
        """Return the usage between `start` (included) and `end` (excluded), by metric and currency."""
        ...

    async def usage_events(self, principal: Principal, page: PageRequest) -> Page[UsageEvent]:
        """Return a page of usage events, the newest first. Raises `InvalidInput` for a cursor that is none."""
        ...
