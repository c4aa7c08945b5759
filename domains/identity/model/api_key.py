"""A key that programs call with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from contracts.identity.events import ApiKeyCreated, ApiKeyRevoked
from contracts.identity.permissions import Permission
from domains.identity.model.names import named
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.errors import FieldError, InvalidInput

MAXIMUM_SCOPES = 100
#: Ends from here on mean "never", which is said by giving none; in another time zone they would fall off the calendar.
END_OF_TIME_YEAR = 9999
DEFAULT_SCOPES = (
    Permission.CONVERSATIONS_VIEW,
    Permission.CONVERSATIONS_REPLY,
    Permission.AGENTS_VIEW,
    Permission.KNOWLEDGE_VIEW,
)


@dataclass(eq=False, kw_only=True)
class ApiKey(Aggregate):
    """A key of one organisation, made by one of its members.

    It may do what its `scopes` and its maker's role both allow at the moment of the call, and nothing once the maker has left. Only the
    SHA-256 of
    the key is kept; `prefix_shown` recognises it in lists.
    """

    AGGREGATE: ClassVar[str] = "api_key"

    id: UUID
    organization_id: UUID
    name: str
    prefix_shown: str
    digest: bytes
    scopes: list[str]
    sandbox: bool
    created_by: UUID
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    version: int = 1

    @classmethod
    def create(
        cls,
        *,
        key_id: UUID,
        organization_id: UUID,
        name: str,
        prefix_shown: str,
        digest: bytes,
        scopes: Sequence[str] | None,
        sandbox: bool,
        created_by: UUID,
        expires_at: datetime | None,
        at: datetime,
    ) -> "ApiKey":
        """Return a new key.

        Raises `InvalidInput` for an unknown or missing scope, more than 100 of them, or an end that is not in the future, or in the
        year 9999 or later.
        """
        if expires_at is not None and expires_at <= at:
            raise InvalidInput(FieldError("expires_at", "not_in_future", "The key must end in the future"))
        if expires_at is not None and expires_at.year >= END_OF_TIME_YEAR:
            raise InvalidInput(FieldError("expires_at", "too_far", f"Give an end before {END_OF_TIME_YEAR}, or none for a key without one"))
        key = cls(
            id=key_id,
            organization_id=organization_id,
            name=named(name, field="name"),
            prefix_shown=prefix_shown,
            digest=digest,
            scopes=checked_scopes(scopes),
            sandbox=sandbox,
            created_by=created_by,
            created_at=at,
            expires_at=expires_at,
        )
        key.record(ApiKeyCreated(organization_id=organization_id, api_key_id=key_id, created_by=created_by, sandbox=sandbox))
        key.note(AuditNote(action="api_key.created", after={"name": key.name, "scopes": list(key.scopes), "sandbox": sandbox}))
        return key

    def revoke(self, at: datetime) -> None:
        """End the key: its next call is refused. A key that is over stays as it is."""
        if self.revoked_at is not None:
            return
        self.revoked_at = at
        self.record(ApiKeyRevoked(organization_id=self.organization_id, api_key_id=self.id))
        self.note(AuditNote(action="api_key.revoked", before={"name": self.name}))


def checked_scopes(scopes: Sequence[str] | None) -> list[str]:
    """Return `scopes` in the list's order without repetitions; the default ones for `None`. Raises `InvalidInput`."""
    if scopes is None:
        return [scope.value for scope in DEFAULT_SCOPES]
    if not 1 <= len(scopes) <= MAXIMUM_SCOPES:
        raise InvalidInput(FieldError("scopes", "scope_count", f"A key has 1 to {MAXIMUM_SCOPES} scopes"))
    known = {permission.value for permission in Permission}
    unknown = sorted(set(scopes) - known)
    if unknown:
        named = ", ".join(repr(scope[:60]) for scope in unknown)
        raise InvalidInput(FieldError("scopes", "scope_unknown", f"There is no permission {named}; choose from {', '.join(sorted(known))}"))
    return [permission.value for permission in Permission if permission.value in scopes]
