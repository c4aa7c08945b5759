"""One entry of the audit trail, and the commitments that stand for its personal values."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_bytes
from typing import Any
from uuid import UUID

from contracts.governance.commands import AuditedChange
from domains.governance.model.canonical_json import as_json, canonical_json, clean_text, time_text, uuid_text
from domains.governance.model.merkle_tree import leaf_hash
from shared_kernel.principal import Principal

ENTRY_FORMAT = "luneo.audit-entry.v1"
ORIGIN_ADDRESS = "origin.ip_address"
ORIGIN_USER_AGENT = "origin.user_agent"
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class PersonalValue:
    """A value that identifies a person, with the salt that hides it inside its commitment."""

    salt: bytes
    value: str

    @classmethod
    def of(cls, value: str) -> "PersonalValue":
        """Return `value` with a fresh random salt of 32 bytes."""
        return cls(token_bytes(_SALT_BYTES), clean_text(value))

    @property
    def commitment(self) -> str:
        """The hexadecimal HMAC-SHA-256 of the value under its salt (RFC 2104).

        With a secret random key of the hash's length HMAC is pseudo-random: once the salt is gone, the commitment says nothing about the
        value and cannot
        be searched for, while nobody can find another salt and value for it.
        """
        return hmac.digest(self.salt, self.value.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to which target, when, in which database transaction.

    `before` and `after` are JSON values. `commitments` names each personal field and its commitment; `personal` holds those values that
    have not been
    erased and that the reader may see: it is no part of what is sealed. `organization_id` is `None` for what people do before they have an
    organisation.
    """

    id: UUID
    organization_id: UUID | None
    transaction: int
    recorded_at: datetime
    actor_kind: str
    actor_id: UUID | None
    actor_role: str | None
    action: str
    target: str
    target_id: UUID
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    commitments: Mapping[str, str]
    request_id: str | None
    personal: Mapping[str, PersonalValue] = field(default_factory=dict)

    def sealed_content(self) -> dict[str, object]:
        """Return what the seal vouches for, as a JSON value."""
        return {
            "format": ENTRY_FORMAT,
            "id": str(self.id),
            "organization_id": uuid_text(self.organization_id),
            "transaction": str(self.transaction),
            "recorded_at": time_text(self.recorded_at),
            "actor_kind": self.actor_kind,
            "actor_id": uuid_text(self.actor_id),
            "actor_role": self.actor_role,
            "action": self.action,
            "target": self.target,
            "target_id": str(self.target_id),
            "before": as_json(self.before),
            "after": as_json(self.after),
            "commitments": self.commitments,
            "request_id": self.request_id,
        }

    def leaf_hash(self) -> bytes:
        """Return the entry's leaf in its batch's Merkle tree."""
        return leaf_hash(canonical_json(self.sealed_content()))

    def altered_personal_field(self) -> str | None:
        """Return the first personal field whose value is there but does not open its commitment, or `None`. An erased value is no fault."""
        for name, kept in sorted(self.personal.items()):
            committed = self.commitments.get(name)
            if committed is None or not hmac.compare_digest(kept.commitment, committed):
                return name
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """An entry about to be appended: what the database's transaction does not add itself."""

    id: UUID
    at: datetime
    principal: Principal
    action: str
    target: str
    target_id: UUID
    before: object
    after: object
    personal: Mapping[str, PersonalValue]
    request_id: str | None

    @property
    def commitments(self) -> dict[str, str]:
        """What the entry itself says of its personal values."""
        return {name: kept.commitment for name, kept in self.personal.items()}


def new_entry(entry_id: UUID, principal: Principal, change: AuditedChange) -> NewEntry:
    """Return the entry for a change that `principal` made.

    The origin's address and user agent are personal values too.
    """
    origin = principal.origin
    personal = dict(change.note.personal)
    if origin.ip_address is not None:
        personal[ORIGIN_ADDRESS] = origin.ip_address
    if origin.user_agent is not None:
        personal[ORIGIN_USER_AGENT] = origin.user_agent
    return NewEntry(
        id=entry_id,
        at=change.at,
        principal=principal,
        action=change.note.action,
        target=change.target,
        target_id=change.target_id,
        before=as_json(change.note.before),
        after=as_json(change.note.after),
        personal={clean_text(name): PersonalValue.of(value) for name, value in personal.items()},
        request_id=None if origin.request_id is None else clean_text(origin.request_id),
    )
