"""Whether a credential still stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts.identity.permissions import Role
from domains.identity.model.organization import OrganizationStatus
from domains.identity.model.session import SessionKind
from domains.identity.ports.tokens import ApiKeyClaims
from shared_kernel.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStanding:
    """A session that was not revoked.

    `role` is `None` when its person is no member of the organisation that was asked for, `status` when there is none such.
    """

    user_id: UUID
    kind: SessionKind
    role: Role | None
    status: OrganizationStatus | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyStanding:
    """A key in force, and its maker's role now."""

    api_key_id: UUID
    scopes: frozenset[str]
    role: Role


class Standing(Protocol):
    """Asks the database anew at each request, in one round trip: a revocation holds from the very next one."""

    async def of_session(self, session_id: UUID, organization_id: UUID | None) -> SessionStanding | None:
        """Return how a session stands with respect to an organisation, `None` when it is unknown, revoked or over."""
        ...

    async def confirm(self, unit: UnitOfWork, *, permission: str, roles: Sequence[Role]) -> None:
        """Let `unit` fail unless its principal's session was not revoked, its organisation is active, and its role is one of `roles`.

        Raises `Unauthenticated`, `OrganizationSuspended`, or `PermissionDenied` that names `permission`; in a pipeline when that is left.
        """
        ...

    async def of_api_key(self, claims: ApiKeyClaims, *, at: datetime) -> ApiKeyStanding:
        """Return how a key stands, and meter one API call in the same round trip.

        Raises `Unauthenticated` for a key that is unknown, revoked or over or whose maker left, `OrganizationSuspended`, `QuotaExceeded`;
        nothing is metered then.
        """
        ...
