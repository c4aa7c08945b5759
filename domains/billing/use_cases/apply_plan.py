"""Put an organisation on a plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from domains.billing.ports.transactions import BillingTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyPlan:
    """Give `requested_by`'s organisation `plan` with exactly `add_ons` (quantity by slug)."""

    plan: str
    add_ons: Mapping[str, int] = field(default_factory=dict)
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class ApplyPlanHandler:
    """Handles `ApplyPlan`. It is for operators and for what a purchase causes; no customer reaches it directly."""

    transactions: BillingTransactions
    clock: Clock

    async def __call__(self, command: ApplyPlan) -> None:
        """Change plan and add-ons, and with them every quota, in one transaction.

        What is above a new limit stays; nothing more of it can be taken.
        Raises `NotFound` without an account, `UnknownPlan`, `AddOnNotAvailable`.
        """
        async with self.transactions(command.requested_by) as tx:
            subscription = await tx.subscriptions.of(command.requested_by.tenant)
            if subscription.change_plan(command.plan, command.add_ons):
                await tx.counters.apply(subscription.organization_id, subscription.allowances, self.clock.now())
