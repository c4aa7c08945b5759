"""Give back what was held too long."""

from dataclasses import dataclass

from domains.billing.ports.expired_reservations import ExpiredReservations
from domains.billing.ports.quota_ledger import QuotaLedger
from domains.billing.ports.transactions import BillingTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireReservations:
    """Expire at most `limit` reservations whose time is up."""

    limit: int = 500


@dataclass(frozen=True, slots=True)
class ExpireReservationsHandler:
    """Handles `ExpireReservations`; the scheduler calls it."""

    expired: ExpiredReservations
    transactions: BillingTransactions
    ledger: QuotaLedger
    clock: Clock

    async def __call__(self, command: ExpireReservations) -> int:
        """Expire each reservation in a transaction of its own organisation; return how many were due.

        One that was settled or released meanwhile is left as it is.
        """
        at = self.clock.now()
        due = await self.expired.due(at, limit=command.limit)
        for reservation in due:
            async with self.transactions(Principal.system(reservation.organization_id)) as tx:
                await self.ledger.expire(tx.unit, reservation_id=reservation.id, at=at)
        return len(due)
