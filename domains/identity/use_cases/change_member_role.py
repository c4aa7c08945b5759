"""Another role for a member."""

from dataclasses import dataclass
from uuid import UUID

from contracts.identity.permissions import Role
from domains.identity.ports.transactions import IdentityTransactions
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMemberRole:
    """Give a member another role."""

    member_id: UUID
    role: Role
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class ChangeMemberRoleHandler:
    """Changes a membership."""

    transactions: IdentityTransactions

    async def __call__(self, command: ChangeMemberRole) -> None:
        """Change the role from the member's next request on.

        Raises `NotFound`, `LastOwnerMustStay`, also when two owners step down at once.
        """
        async with self.transactions(command.requested_by) as tx:
            owners = await tx.memberships.lock_owners()
            (await tx.memberships.get(command.member_id)).change_role(command.role, owners=owners)
