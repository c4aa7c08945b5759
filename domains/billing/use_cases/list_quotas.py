"""Show what is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.billing.metrics import CAPACITIES, PERIODIC, Metric
from domains.billing.model.catalogue import allowances_of, plan_named
from domains.billing.model.period import BillingPeriod
from domains.billing.model.quota import CounterReading
from domains.billing.ports.billing_reader import BillingReader
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaView:
    """One quota: `used` for good, `reserved` by what runs now, and how much of both is `overage` beyond the limit.

    `period` is `None` for a capacity, which does not start anew, and for `upload_mb`, which is not counted.
    """

    metric: Metric
    limit: int | None
    used: int
    reserved: int
    overage: int
    period_start: datetime | None
    period_end: datetime | None


@dataclass(frozen=True, slots=True)
class ListQuotasHandler:
    """Answers how much the caller's organisation has used of what it has."""

    reader: BillingReader
    clock: Clock

    async def __call__(self, requested_by: Principal) -> Sequence[QuotaView]:
        """Return every enforced metric, in the catalogue's order. Raises `NotFound` without an account.

        A period in which nothing was counted yet shows as unused.
        """
        at = self.clock.now()
        record, counters = await self.reader.counters(requested_by, at)
        period = BillingPeriod.containing(record.anchor_day, at)
        read = {counter.metric: counter for counter in counters}
        return tuple(
            _view(metric, allowance.limit, read.get(metric), period)
            for metric, allowance in allowances_of(plan_named(record.plan), record.add_ons).items()
        )


def _view(metric: Metric, limit: int | None, counter: CounterReading | None, period: BillingPeriod) -> QuotaView:
    counts = metric in PERIODIC or metric in CAPACITIES
    taken = counter.taken if counter and counts else 0
    reserved = counter.reserved if counter and counts else 0
    return QuotaView(
        metric=metric,
        limit=limit,
        used=taken - reserved,
        reserved=reserved,
        overage=max(0, taken - limit) if limit is not None else 0,
        period_start=period.start if metric in PERIODIC else None,
        period_end=period.end if metric in PERIODIC else None,
    )
