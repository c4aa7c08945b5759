"""Appending to the trail, inside the transaction of the change."""

import json
from collections.abc import Sequence
from typing import LiteralString

from psycopg.types.json import Jsonb

from adapters.postgres.database import Pipeline
from adapters.postgres.unit_of_work import UnitOfWorkScope
from contracts.governance.commands import AuditedChange
from domains.governance.model.audit_entry import NewEntry, new_entry
from domains.governance.model.canonical_json import time_text
from shared_kernel.identifiers import new_id
from shared_kernel.unit_of_work import UnitOfWork

# One statement for all entries and their personal values; the database adds the organisation and the transaction's number.
_APPEND: LiteralString = """
with trail as (
  select nullif(current_setting('luneo.organization_id', true), '')::uuid as organization_id
), appended as (
  insert into governance.audit_entries (id, organization_id, recorded_at, actor_kind, actor_id, actor_role, action, target, target_id,
  before, after,
                                        commitments, request_id)
  select (e->>'id')::uuid, trail.organization_id, (e->>'recorded_at')::timestamptz, e->>'actor_kind', (e->>'actor_id')::uuid,
  e->>'actor_role',
         e->>'action', e->>'target', (e->>'target_id')::uuid, e->'before', e->'after', e->'commitments', e->>'request_id'
    from trail, jsonb_array_elements(%(entries)s) e
)
insert into governance.audit_personal_values (entry_id, field, organization_id, salt, value)
select (p->>'entry_id')::uuid, p->>'field', trail.organization_id, decode(p->>'salt', 'hex'), p->>'value'
  from trail, jsonb_array_elements(%(personal)s) p
"""


class PostgresAuditTrail:
    """Implements `contracts.governance.commands.AuditTrail` on an open unit of work or pipeline."""

    async def append(self, unit: UnitOfWork, changes: Sequence[AuditedChange]) -> None:
        """Append `changes` with one statement, without a lock."""
        if not isinstance(unit, Pipeline | UnitOfWorkScope):
            raise TypeError("the audit trail joins transactions of Postgres alone")
        if not changes:
            return
        entries = [new_entry(new_id(), unit.principal, change) for change in changes]
        await unit.connection.execute(
            _APPEND,
            {
                "entries": Jsonb([_columns(entry) for entry in entries], _dumps),
                "personal": Jsonb(
                    [
                        {"entry_id": str(entry.id), "field": field, "salt": kept.salt.hex(), "value": kept.value}
                        for entry in entries
                        for field, kept in entry.personal.items()
                    ],
                    _dumps,
                ),
            },
        )


def _columns(entry: NewEntry) -> dict[str, object]:
    principal = entry.principal
    return {
        "id": str(entry.id),
        "recorded_at": time_text(entry.at),
        "actor_kind": str(principal.kind),
        "actor_id": None if principal.id is None else str(principal.id),
        "actor_role": principal.role,
        "action": entry.action,
        "target": entry.target,
        "target_id": str(entry.target_id),
        "before": entry.before,
        "after": entry.after,
        "commitments": entry.commitments,
        "request_id": entry.request_id,
    }


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
