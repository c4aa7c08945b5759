"""What other contexts ask of billing inside their own transaction: the closed list of the ADR on transactions.

Every method queues its statements on the caller's unit of work. In a pipeline a refusal is raised when the pipeline is left, in an
ordinary transaction at the call; either way the whole transaction fails with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts.billing.metrics import Metric
from shared_kernel.money import Money
from shared_kernel.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationLine:
    """How much of a metric to hold.

    With `once_for` nothing is held when the metric was already paid for that thing (a conversation is counted once, however many turns it
    has).
    """

    metric: Metric
    quantity: int = 1
    once_for: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine:
    """What was really used of a metric. `estimated` marks a count that the provider did not give.

    What it cost us is `cost` plus `cost_micro` millionths of the currency's minor unit (0–999,999): one turn often costs less than a cent.
    """

    metric: Metric
    quantity: int
    estimated: bool = False
    cost: Money | None = None
    cost_micro: int = 0


class Quotas(Protocol):
    """Reserve before the spend; settle or release after it, exactly once."""

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
        """Hold `lines` until `expires_at`.

        `cause` says what for (`turn`). With `within_plan` nothing may run into overage (sandbox callers).
        Raises `QuotaExceeded` when a line does not fit, `QuotaPeriodMissing` when the current period was not opened.
        """
        ...

    async def settle(self, unit: UnitOfWork, *, reservation_id: UUID, usage: Sequence[UsageLine], at: datetime) -> None:
        """Make the held lines used for good, and write one usage event per held line and per line of `usage`.

        A line of `usage` for a held metric says what was really used of it: what was held too much is given back. The events carry the
        moment of the reservation, so that they belong to the period that paid for them.
        Event ids derive from the reservation and the metric (from `once_for` and the metric where given), so a repetition cannot bill
        twice.
        Raises `ReservationNotOpen` when it was settled, released or expired before.
        """
        ...

    async def release(self, unit: UnitOfWork, *, reservation_id: UUID, at: datetime) -> None:
        """Give the held lines back. A reservation that is no longer open is left as it is."""
        ...

    async def take(self, unit: UnitOfWork, *, metric: Metric, quantity: int, cause: str, cause_id: UUID, at: datetime) -> None:
        """Reserve and settle at once: a capacity for a thing made in this transaction, or one API call. One usage event, id from the cause.

        The second call for one cause changes nothing. What was given back needs a new cause to be taken again.
        Raises `QuotaExceeded`, `QuotaPeriodMissing`, and `CapacityGivenBack` for a cause whose capacity was given back.
        """
        ...

    async def give_back(self, unit: UnitOfWork, *, metric: Metric, quantity: int, cause_id: UUID, at: datetime) -> None:
        """Free a capacity when the thing that took it is deleted: at most what this cause took.

        The second call for one cause changes nothing.
        """
        ...

    async def open_periods(self, organization_id: UUID) -> None:
        """Open the current period's counters, in a transaction of its own. Idempotent."""
        ...


class BillingAccounts(Protocol):
    """Where an organisation's billing begins."""

    async def open(self, unit: UnitOfWork, *, organization_id: UUID, plan: str, at: datetime) -> None:
        """Open the account of a new organisation on `plan` (a slug of the catalogue) with all its counters.

        `unit` must be a unit of work (not a pipeline) of that very organisation. Raises `UnknownPlan`, and `Conflict` when there is one
        already.
        """
        ...
