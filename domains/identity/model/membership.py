"""A person's place in an organisation."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from contracts.identity.events import MemberJoined, MemberRemoved, MemberRoleChanged
from contracts.identity.permissions import Role
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.errors import Conflict
from shared_kernel.identifiers import new_id


class LastOwnerMustStay(Conflict):
    """An organisation has at least one owner."""

    code = "last_owner_must_stay"
    title = "The last owner must stay; make somebody else owner first"


@dataclass(eq=False, kw_only=True)
class Membership(Aggregate):
    """A person in an organisation, with one role."""

    AGGREGATE: ClassVar[str] = "member"

    id: UUID
    organization_id: UUID
    user_id: UUID
    role: Role
    joined_at: datetime
    version: int = 1

    @classmethod
    def join(cls, *, organization_id: UUID, user_id: UUID, role: Role, at: datetime) -> "Membership":
        """Return a new member."""
        member = cls(id=new_id(), organization_id=organization_id, user_id=user_id, role=role, joined_at=at)
        member.record(MemberJoined(organization_id=organization_id, member_id=member.id, user_id=user_id, role=role.value))
        member.note(AuditNote(action="member.joined", after={"user_id": str(user_id), "role": role.value}))
        return member

    def change_role(self, role: Role, *, owners: int) -> None:
        """Give the member another role. `owners` is how many owners the organisation has now. Raises `LastOwnerMustStay`."""
        if role is self.role:
            return
        self._must_not_be_last_owner(owners)
        before, self.role = self.role, role
        self.record(
            MemberRoleChanged(
                organization_id=self.organization_id, member_id=self.id, user_id=self.user_id, role_before=before.value, role=role.value
            )
        )
        self.note(AuditNote(action="member.role_changed", before={"role": before.value}, after={"role": role.value}))

    def leave(self, *, owners: int) -> None:
        """End the membership, which is then to be removed. `owners` as in `change_role`. Raises `LastOwnerMustStay`."""
        self._must_not_be_last_owner(owners)
        self.record(MemberRemoved(organization_id=self.organization_id, member_id=self.id, user_id=self.user_id))
        self.note(AuditNote(action="member.removed", before={"user_id": str(self.user_id), "role": self.role.value}))

    def _must_not_be_last_owner(self, owners: int) -> None:
        if self.role is Role.OWNER and owners <= 1:
            raise LastOwnerMustStay
