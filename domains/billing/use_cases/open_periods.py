"""Open the current period's counters."""

from dataclasses import dataclass
from uuid import UUID

from domains.billing.ports.transactions import BillingTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPeriods:
    """Open what `organization_id` needs to be counted now."""

    organization_id: UUID


@dataclass(frozen=True, slots=True)
class OpenPeriodsHandler:
    """Handles `OpenPeriods`."""

    transactions: BillingTransactions
    clock: Clock

    async def __call__(self, command: OpenPeriods) -> None:
        """Open the counters of the period around now that do not exist yet, with the limits of this moment. Idempotent.

        The subscription is locked meanwhile, so that a change of plan cannot miss a counter.
        Raises `NotFound` without an account.
        """
        async with self.transactions(Principal.system(command.organization_id)) as tx:
            subscription = await tx.subscriptions.of(command.organization_id)
            period = subscription.period(self.clock.now())
            await tx.counters.open(subscription.organization_id, subscription.allowances, period)
