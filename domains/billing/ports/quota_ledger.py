"""The ledger of quotas."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domains.billing.model.quota import Hold, SpentLine
from domains.billing.model.usage import UsageEvent
from shared_kernel.unit_of_work import UnitOfWork


class QuotaLedger(Protocol):
    """Counters and reservations of one organisation, changed inside the caller's unit of work.

    Two books must agree at every moment: what a counter has taken is the sum of the usage events of its metric and period and of what
    open reservations
    hold of it. Counters are locked in the order of their metrics, so that two units cannot wait for each other.
    """

    async def hold(self, unit: UnitOfWork, hold: Hold) -> None:
        """Hold all lines or none. Raises `QuotaExceeded`, `QuotaPeriodMissing`, and `Conflict` for a reservation that exists."""
        ...

    async def settle(self, unit: UnitOfWork, *, reservation_id: UUID, spent: Sequence[SpentLine], at: datetime) -> None:
        """Turn the held lines and `spent` into usage events, and give back what was not used. Raises `ReservationNotOpen`."""
        ...

    async def release(self, unit: UnitOfWork, *, reservation_id: UUID, at: datetime) -> None:
        """Give the held lines back to the counters they came from; nothing when the reservation is not open."""
        ...

    async def expire(self, unit: UnitOfWork, *, reservation_id: UUID, at: datetime) -> None:
        """Release a reservation as expired when it is open and its time is up at `at`."""
        ...

    async def take(self, unit: UnitOfWork, event: UsageEvent, *, given_back_id: UUID) -> None:
        """Count `event` and write it, once. Raises `QuotaExceeded`, `QuotaPeriodMissing`, `CapacityGivenBack`."""
        ...

    async def give_back(self, unit: UnitOfWork, event: UsageEvent, *, taken_id: UUID) -> None:
        """Write `event` (of a negative quantity) and lower the counter by at most what the event `taken_id` took, once."""
        ...
