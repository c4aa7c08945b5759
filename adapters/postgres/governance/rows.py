"""Rows to entries and seals."""

from datetime import UTC
from typing import LiteralString

from adapters.postgres.database import Row
from domains.governance.model.audit_entry import AuditEntry, PersonalValue
from domains.governance.model.audit_seal import AuditSeal

ENTRY: LiteralString = """
e.id, e.organization_id, e.transaction::text as transaction, e.recorded_at, e.actor_kind, e.actor_id, e.actor_role, e.action, e.target,
e.target_id,
e.before, e.after, e.commitments, e.request_id"""

SEAL: LiteralString = """
organization_id, sequence, sealed_below::text as sealed_below, leaves, merkle_root, previous_hash, seal_hash, sealed_at"""

PERSONAL: LiteralString = """
coalesce((select jsonb_object_agg(p.field, jsonb_build_array(encode(p.salt, 'hex'), p.value))
            from governance.audit_personal_values p
           where p.entry_id = e.id and p.organization_id is not distinct from e.organization_id), '{}') as personal"""


def entry_of(row: Row) -> AuditEntry:
    """Return the entry in a row of `ENTRY`, with the personal values of `PERSONAL` when they were selected."""
    personal: dict[str, list[str]] = row.get("personal") or {}
    return AuditEntry(
        id=row["id"],
        organization_id=row["organization_id"],
        transaction=int(row["transaction"]),
        recorded_at=row["recorded_at"].astimezone(UTC),
        actor_kind=row["actor_kind"],
        actor_id=row["actor_id"],
        actor_role=row["actor_role"],
        action=row["action"],
        target=row["target"],
        target_id=row["target_id"],
        before=row["before"],
        after=row["after"],
        commitments=row["commitments"],
        request_id=row["request_id"],
        personal={field: PersonalValue(bytes.fromhex(salt), value) for field, (salt, value) in personal.items()},
    )


def seal_of(row: Row) -> AuditSeal:
    """Return the seal in a row of `SEAL`."""
    return AuditSeal(
        organization_id=row["organization_id"],
        sequence=row["sequence"],
        sealed_below=int(row["sealed_below"]),
        leaves=bytes(row["leaves"]),
        merkle_root=bytes(row["merkle_root"]),
        previous_hash=bytes(row["previous_hash"]),
        seal_hash=bytes(row["seal_hash"]),
        sealed_at=row["sealed_at"].astimezone(UTC),
    )
