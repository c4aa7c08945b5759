"""Lists and details that are shown as they are stored."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts.identity.permissions import Role
from domains.identity.model.names import Locale
from domains.identity.model.organization import OrganizationStatus
from domains.identity.model.session import SessionKind
from shared_kernel.pagination import Page, PageRequest
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationRow:
    """The organisation acted for."""

    id: UUID
    name: str
    slug: str
    locale: Locale
    status: OrganizationStatus
    created_at: datetime
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRow:
    """A person, as they see themselves."""

    id: UUID
    email: str
    full_name: str
    locale: Locale
    platform_admin: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """A member of the organisation, as the others see them."""

    id: UUID
    user_id: UUID
    email: str
    full_name: str
    role: Role
    joined_at: datetime
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRow:
    """An API key without its secret."""

    id: UUID
    name: str
    prefix_shown: str
    scopes: tuple[str, ...]
    sandbox: bool
    created_by: UUID
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A signed-in device. `last_seen_at` is exact to within the life of an access token."""

    id: UUID
    kind: SessionKind
    remembered: bool
    user_agent: str | None
    started_at: datetime
    last_seen_at: datetime
    expires_at: datetime


class IdentityReading(Protocol):
    """Reads for the principal: of its organisation, or of itself."""

    async def person(self, principal: Principal) -> PersonRow:
        """Return the person who asks. Raises `NotFound` for an API key."""
        ...

    async def organization(self, principal: Principal) -> OrganizationRow:
        """Return the organisation acted for. Raises `NotFound`."""
        ...

    async def members(self, principal: Principal, page: PageRequest) -> Page[MemberRow]:
        """Return members, oldest first. Raises `InvalidInput` for a cursor that is not ours."""
        ...

    async def member(self, principal: Principal, member_id: UUID) -> MemberRow:
        """Return one member. Raises `NotFound`."""
        ...

    async def api_keys(self, principal: Principal, page: PageRequest) -> Page[ApiKeyRow]:
        """Return API keys, newest first, revoked ones too. Raises `InvalidInput` for a cursor that is not ours."""
        ...

    async def api_key(self, principal: Principal, api_key_id: UUID) -> ApiKeyRow:
        """Return one API key. Raises `NotFound`."""
        ...

    async def sessions(self, principal: Principal, page: PageRequest, *, at: datetime) -> Page[SessionRow]:
        """Return the devices on which the person is signed in, newest first. Raises `InvalidInput` for a cursor that is not ours."""
        ...
