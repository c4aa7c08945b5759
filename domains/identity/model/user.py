"""A person with an account."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from contracts.identity.events import UserSignedUp
from domains.identity.model.email import Email
from domains.identity.model.names import Locale, named
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.identifiers import new_id


@dataclass(eq=False, kw_only=True)
class User(Aggregate):
    """A person whose mailbox is proven. Belongs to any number of organisations; `platform_admin` is set by operator tooling alone."""

    AGGREGATE: ClassVar[str] = "user"

    id: UUID
    email: str
    full_name: str
    password_hash: str
    locale: Locale
    created_at: datetime
    email_verified_at: datetime
    platform_admin: bool = False
    version: int = 1

    @classmethod
    def register(
        cls,
        *,
        email: Email,
        full_name: str,
        password_hash: str,
        locale: Locale,
        organization_id: UUID,
        at: datetime,
        platform_admin: bool = False,
    ) -> "User":
        """Return the account of a proven mailbox that begins in `organization_id`."""
        user = cls(
            id=new_id(),
            email=email.value,
            full_name=named(full_name, field="full_name"),
            password_hash=password_hash,
            locale=locale,
            created_at=at,
            email_verified_at=at,
            platform_admin=platform_admin,
        )
        user.record(UserSignedUp(user_id=user.id, organization_id=organization_id, locale=locale.value))
        user.note(
            AuditNote(
                action="user.signed_up",
                after={"locale": locale.value, "platform_admin": platform_admin},
                personal={"email": user.email, "full_name": user.full_name},
            )
        )
        return user

    def strengthen(self, password_hash: str) -> None:
        """Store the hash of the same password by today's parameters."""
        self.password_hash = password_hash
