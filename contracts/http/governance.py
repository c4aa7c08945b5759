"""The audit trail over HTTP."""

from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.http.base import Response


class AuditActorBody(Response, frozen=True):
    """Who did it: `user`, `api_key`, `system` or `anonymous`, its id, and the role it acted in."""

    kind: str
    id: UUID | None
    role: str | None


class AuditEventBody(Response, frozen=True):
    """One entry of the audit trail.

    `before` and `after` are what changed. `personal` holds the values that identify a person (also `origin.ip_address` and
    `origin.user_agent`), only for callers who may manage settings and only until they are erased; `commitments` names them all and stays.
    """

    id: UUID
    recorded_at: datetime
    actor: AuditActorBody
    action: str
    target: str
    target_id: UUID
    before: dict[str, Any]
    after: dict[str, Any]
    personal: dict[str, str]
    commitments: dict[str, str]
    request_id: str | None


class AuditEventList(Response, frozen=True):
    """Entries, newest first."""

    items: list[AuditEventBody]
    next_cursor: str | None


class AuditSealedBody(Response, frozen=True):
    """Up to where the trail is sealed: the newest seal's number, when it was made, and how many entries it and those before it cover."""

    sequence: int
    count: int
    sealed_at: datetime | None


class AuditFaultBody(Response, frozen=True):
    """The first thing that is wrong.

    `kind` is `entry_changed`, `entry_missing`, `entry_added`, `entry_unsealed`, `personal_value_changed`, `seal_changed`, `seal_missing`,
    `chain_broken` or `head_missing`. An exported file that is verified offline can also be `file_damaged`.
    """

    kind: str
    sequence: int | None
    entry_id: UUID | None
    detail: str


class AuditVerificationBody(Response, frozen=True):
    """Whether the trail is whole. Keep `head`: with it, later verification proves that nothing up to here was rewritten since."""

    ok: bool
    sealed_up_to: AuditSealedBody
    unsealed_count: int
    head: str | None
    fault: AuditFaultBody | None
