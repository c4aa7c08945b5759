"""What was used: events that are written once and never changed."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from contracts.billing.metrics import Metric

_USAGE = UUID("6d1f3a52-5f0e-5b0b-9a67-3c1d6a1c7b1e")
_GIVEN_BACK = UUID("0c8b1f0e-93b5-5d0e-8f0b-5f4f6ee6a2c4")

MICRO = 1_000_000
"""Costs are kept in millionths of the currency's minor unit: one turn often costs less than a cent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """`quantity` of `metric`, used at `occurred_at` because of the `cause` (`turn`, `api_call`) with the id `cause_id`.

    `id` derives from the cause, so that the same usage told twice is one event. A negative quantity gives a capacity back.
    `cost_micro` is what it cost us, in millionths of the minor unit of `currency`; both are `None` when that is unknown or nothing.
    """

    id: UUID
    metric: Metric
    quantity: int
    cause: str
    cause_id: UUID
    occurred_at: datetime
    estimated: bool = False
    cost_micro: int | None = None
    currency: str | None = None


def usage_id(cause_id: UUID, metric: Metric) -> UUID:
    """Return the id of the one usage event of `metric` that `cause_id` can have (UUID version 5)."""
    return uuid5(_USAGE, f"{cause_id}:{metric}")


def given_back_id(cause_id: UUID, metric: Metric) -> UUID:
    """Return the id of the event that gives back what `cause_id` took of `metric` (UUID version 5)."""
    return uuid5(_GIVEN_BACK, f"{cause_id}:{metric}")
