"""Holding quantities before they are spent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.billing.metrics import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLine:
    """How much of a metric is held, and the id of the usage event that settling it will write.

    With `once_for` (the thing that pays once) nothing is held when that event exists already.
    """

    metric: Metric
    quantity: int
    event_id: UUID
    once_for: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A reservation to be made: all of its lines or none. `within_plan` means: up to the limit, never into overage."""

    reservation_id: UUID
    cause: str
    lines: Sequence[HeldLine]
    at: datetime
    expires_at: datetime
    within_plan: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentLine:
    """What was really used of a metric when a reservation is settled; `event_id` is for metrics that were not held."""

    metric: Metric
    quantity: int
    event_id: UUID
    estimated: bool = False
    cost_micro: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterReading:
    """What was taken of a metric in the period around now, and how much of it is still only held by open reservations."""

    metric: Metric
    taken: int
    reserved: int


@dataclass(frozen=True, slots=True)
class OpenReservation:
    """A reservation that nobody has settled or released."""

    organization_id: UUID
    id: UUID
