"""The end of a membership."""

from dataclasses import dataclass
from uuid import UUID

from contracts.billing.commands import Quotas
from contracts.billing.metrics import Metric
from domains.identity.ports.transactions import IdentityTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMember:
    """End a membership, one's own too. With `expected_version` only if nobody saved since that version was read."""

    member_id: UUID
    expected_version: int | None = None
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class RemoveMemberHandler:
    """Removes a member."""

    transactions: IdentityTransactions
    quotas: Quotas
    clock: Clock

    async def __call__(self, command: RemoveMember) -> None:
        """Remove the member and free the seat; sessions and keys of theirs are refused here from their next request on.

        Raises `NotFound`, `Conflict` for another version, `LastOwnerMustStay`, also when two owners leave at once.
        """
        async with self.transactions(command.requested_by) as tx:
            owners = await tx.memberships.lock_owners()
            member = await tx.memberships.get(command.member_id)
            member.must_be_at(command.expected_version)
            member.leave(owners=owners)
            await tx.memberships.remove(member)
            await self.quotas.give_back(tx.unit, metric=Metric.TEAM_MEMBERS, quantity=1, cause_id=member.id, at=self.clock.now())
