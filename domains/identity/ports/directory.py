"""What is looked up before it is known which organisation is acted for: the listed look-ups across tenants."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts.identity.permissions import Role
from domains.identity.model.email import Email
from domains.identity.model.names import Locale
from domains.identity.model.organization import OrganizationStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What signing in needs to know of a person."""

    user_id: UUID
    email: str
    full_name: str
    locale: Locale
    password_hash: str
    platform_admin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An organisation as one of its members sees it in the list of their own."""

    organization_id: UUID
    name: str
    slug: str
    locale: Locale
    status: OrganizationStatus
    role: Role
    created_at: datetime


class Directory(Protocol):
    """Finds people by e-mail, and the organisations of a person."""

    async def account(self, email: Email) -> Account | None:
        """Return the account with `email`, if there is one."""
        ...

    async def account_of(self, user_id: UUID) -> Account | None:
        """Return the account of a person, if there is one."""
        ...

    async def places(self, user_id: UUID) -> tuple[Place, ...]:
        """Return the organisations that a person is a member of, oldest membership first."""
        ...

    async def organization_with_slug(self, slug: str) -> UUID | None:
        """Return the organisation with `slug`, if there is one."""
        ...
