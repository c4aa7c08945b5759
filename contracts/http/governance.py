"""The audit trail over HTTP."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from contracts.http.base import Example, Response


class AuditActorBody(Response, frozen=True):
    """Who did it: `user`, `api_key`, `system` or `anonymous`, its id, and the role it acted in."""

    EXAMPLE: ClassVar[Example] = {"kind": "user", "role": "owner"}

    kind: str
    id: UUID | None
    role: str | None


class AuditEventBody(Response, frozen=True):
    """One entry of the audit trail.

    `before` and `after` are what changed. `personal` holds the values that identify a person (also `origin.ip_address` and
    `origin.user_agent`), only for callers who may manage settings and only until they are erased; `commitments` names them all and stays.
    """

    EXAMPLE: ClassVar[Example] = {
        "action": "agent.edited",
        "target": "agent",
        "before": {"tone": "formal"},
        "after": {"tone": "friendly"},
        "personal": {"origin.ip_address": "203.0.113.7"},
        "commitments": {"origin.ip_address": "5d41402abc4b2a76b9719d911017c592ae2f4f1c3b1f0d6a7e8c9b0a1d2e3f40"},
        "request_id": "0192f0c1-7a4e-7c3b-9d52-5b8f0e6a1c2d",
    }

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

    EXAMPLE: ClassVar[Example] = {"sequence": 41, "count": 512}

    sequence: int
    count: int
    sealed_at: datetime | None


class AuditFaultBody(Response, frozen=True):
    """The first thing that is wrong.

    `kind` is `entry_changed`, `entry_missing`, `entry_added`, `entry_unsealed`, `personal_value_changed`, `seal_changed`, `seal_missing`,
    `chain_broken` or `head_missing`. An exported file that is verified offline can also be `file_damaged`.
    """

    EXAMPLE: ClassVar[Example] = {"kind": "entry_changed", "sequence": 12, "detail": "An entry differs from what was sealed"}

    kind: str
    sequence: int | None
    entry_id: UUID | None
    detail: str


class AuditVerificationBody(Response, frozen=True):
    """Whether the trail is whole. Keep `head`: with it, later verification proves that nothing up to here was rewritten since."""

    EXAMPLE: ClassVar[Example] = {"unsealed_count": 0, "head": "41:5d41402abc4b2a76b9719d911017c592", "fault": None}

    ok: bool
    sealed_up_to: AuditSealedBody
    unsealed_count: int
    head: str | None
    fault: AuditFaultBody | None
