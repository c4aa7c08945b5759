"""Show what was used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domains.billing.model.period import BillingPeriod
from domains.billing.ports.billing_reader import BillingReader, UsageTotal
from shared_kernel.clock import Clock
from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class GetUsage:
    """Usage from `start` (included) to `end` (excluded); what is missing is the current billing period's."""

    start: datetime | None = None
    end: datetime | None = None
    requested_by: Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageView:
    """The usage of a span of time, by metric."""

    start: datetime
    end: datetime
    totals: Sequence[UsageTotal]


@dataclass(frozen=True, slots=True)
class GetUsageHandler:
    """Answers `GetUsage`."""

    reader: BillingReader
    clock: Clock

    async def __call__(self, query: GetUsage) -> UsageView:
        """Return the totals. Raises `NotFound` without an account, `InvalidInput` for a span that ends before it begins."""
        start, end = query.start, query.end
        if start is None or end is None:
            record = await self.reader.subscription(query.requested_by)
            period = BillingPeriod.containing(record.anchor_day, self.clock.now())
            start, end = start or period.start, end or period.end
        if start >= end:
            raise InvalidInput(FieldError("from", "invalid", "must be before `to`"))
        return UsageView(start=start, end=end, totals=await self.reader.usage_totals(query.requested_by, start, end))
