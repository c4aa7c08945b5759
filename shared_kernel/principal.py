"""Who is asking, for which organisation, and what they may do."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from shared_kernel.errors import PermissionDenied


class PrincipalKind(StrEnum):
    """How the caller proved who they are."""

    USER = "user"
    API_KEY = "api_key"
    SYSTEM = "system"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from. Address and user agent are personal data: never logged in clear."""

    ip_address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a use case.

    `id` is the user's, the API key's or, for the system, the process's own. `organization_id` is the tenant that row-level security is
    set to, `None` only before a person has chosen one. `sandbox` marks callers that must never spend money.
    `session_id` is there for people only. `unconfirmed` names the one permission of a caller that was let in by what its credential says,
    until the first transaction has confirmed it.
    """

    kind: PrincipalKind
    id: UUID | None
    organization_id: UUID | None
    permissions: frozenset[str] = frozenset()
    role: str | None = None
    session_id: UUID | None = None
    sandbox: bool = False
    unconfirmed: str | None = None
    origin: Origin = field(default_factory=Origin)

    @property
    def tenant(self) -> UUID:
        """The organisation acted for. Raises `PermissionDenied` when none was chosen."""
        if self.organization_id is None:
            raise PermissionDenied("Choose an organisation first")
        return self.organization_id

    def require(self, permission: str) -> None:
        """Raise `PermissionDenied` unless the caller holds `permission`."""
        if permission not in self.permissions:
            raise PermissionDenied(f"This needs the permission {permission}")

    @classmethod
    def system(cls, organization_id: UUID | None, *, name: str = "system") -> "Principal":
        """Return the principal of a background process acting for `organization_id`."""
        return cls(PrincipalKind.SYSTEM, None, organization_id, role=name)

    @classmethod
    def anonymous(cls, origin: Origin) -> "Principal":
        """Return the principal of a caller that has not said who they are."""
        return cls(PrincipalKind.ANONYMOUS, None, None, origin=origin)
