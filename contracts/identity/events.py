"""What identity publishes. No event holds an e-mail, a name or a secret: consumers that need them ask for them."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from shared_kernel.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUpRequested(Event):
    """Somebody wants an account and must prove the mailbox first. Belongs to no organisation: none exists yet."""

    TYPE: ClassVar[str] = "identity.sign_up_requested.v1"
    sign_up_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSignedUp(Event):
    """A person proved a mailbox and has an account now."""

    TYPE: ClassVar[str] = "identity.user_signed_up.v1"
    user_id: UUID
    organization_id: UUID
    locale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationCreated(Event):
    """An organisation exists, on the plan it began with."""

    TYPE: ClassVar[str] = "identity.organization_created.v1"
    organization_id: UUID
    created_by: UUID
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationUpdated(Event):
    """An organisation's name or language changed."""

    TYPE: ClassVar[str] = "identity.organization_updated.v1"
    organization_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberJoined(Event):
    """A person became a member of an organisation."""

    TYPE: ClassVar[str] = "identity.member_joined.v1"
    organization_id: UUID
    member_id: UUID
    user_id: UUID
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRoleChanged(Event):
    """A member has another role; it holds from the member's next request."""

    TYPE: ClassVar[str] = "identity.member_role_changed.v1"
    organization_id: UUID
    member_id: UUID
    user_id: UUID
    role_before: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRemoved(Event):
    """A person is no longer a member; their API keys of the organisation work no more."""

    TYPE: ClassVar[str] = "identity.member_removed.v1"
    organization_id: UUID
    member_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRevoked(Event):
    """A session ended before its time.

    `reason` is `logout`, `switch`, `revoked` (the person ended it from another device) or `reuse` (of an old refresh token).
    """

    TYPE: ClassVar[str] = "identity.session_revoked.v1"
    session_id: UUID
    user_id: UUID
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyCreated(Event):
    """An API key exists."""

    TYPE: ClassVar[str] = "identity.api_key_created.v1"
    organization_id: UUID
    api_key_id: UUID
    created_by: UUID
    sandbox: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRevoked(Event):
    """An API key works no more."""

    TYPE: ClassVar[str] = "identity.api_key_revoked.v1"
    organization_id: UUID
    api_key_id: UUID
