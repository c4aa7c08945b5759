"""Another role for a member."""

from dataclasses import dataclass
from uuid import UUID

from contracts.identity.permissions import Role
from domains.identity.ports.transactions import IdentityTransactions
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMemberRole:
    """Give a member another role. With `expected_version` only if nobody saved since that version was read."""

    member_id: UUID
    role: Role
    expected_version: int | None = None
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class ChangeMemberRoleHandler:
    """Changes a membership."""

    transactions: IdentityTransactions

    async def __call__(self, command: ChangeMemberRole) -> None:
        """Change the role from the member's next request on.

        Raises `NotFound`, `Conflict` for another version, `LastOwnerMustStay`, also when two owners step down at once.
        """
        async with self.transactions(command.requested_by) as tx:
            owners = await tx.memberships.lock_owners()
            member = await tx.memberships.get(command.member_id)
            member.must_be_at(command.expected_version)
            member.change_role(command.role, owners=owners)
