"""Reading trails."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from adapters.postgres.database import Database
from adapters.postgres.governance.rows import ENTRY, PERSONAL, SEAL, entry_of, seal_of
from domains.governance.model.audit_entry import AuditEntry
from domains.governance.model.audit_seal import AuditSeal
from domains.governance.ports.recorded_trail import EntryFilter, Position
from shared_kernel.pagination import ForeignCursor, Page, PageRequest
from shared_kernel.principal import Principal

# The policy compares with `is not distinct from`, which no index serves: the statements name the trail themselves.
_OF_ORGANIZATION: LiteralString = "organization_id = %(organization_id)s"
_OF_NOBODY: LiteralString = "organization_id is null"

_SEALED_BELOW: LiteralString = "select governance.audit_sealed_below()::text as sealed_below"

_SEALS: LiteralString = (
    "select "  # noqa: S608 - literals only
    + SEAL
    + """
  from governance.audit_seals
 where TRAIL and sequence > %(after)s
 order by sequence limit %(limit)s
"""
)

_ENTRIES: LiteralString = (
    "select "  # noqa: S608 - literals only
    + ENTRY
    + ","
    + PERSONAL
    + """
  from governance.audit_entries e
 where TRAIL and (e.transaction, e.id) > (%(transaction)s::xid8, %(id)s::uuid)
   and (%(below)s::xid8 is null or e.transaction < %(below)s::xid8)
 order by e.transaction, e.id limit %(limit)s
"""
)

_NEWEST: LiteralString = (
    "select "  # noqa: S608 - literals only
    + ENTRY
    + ","
    + PERSONAL
    + """
  from governance.audit_entries e
 where TRAIL and (%(before)s::uuid is null or e.id < %(before)s::uuid)
   and (%(action)s::text is null or e.action = %(action)s::text)
   and (%(target)s::text is null or e.target = %(target)s::text)
   and (%(target_id)s::uuid is null or e.target_id = %(target_id)s::uuid)
 order by e.id desc limit %(limit)s
"""
)

_TRAILS: LiteralString = """
select organization_id from governance.audit_entries union select organization_id from governance.audit_seals
 order by organization_id nulls last
"""


@dataclass(frozen=True, slots=True)
class PostgresRecordedTrail:
    """Implements `RecordedTrail`: one round trip per question; row-level security keeps to the principal's organisation."""

    database: Database

    async def sealed_below(self, principal: Principal) -> int:
        """Ask the look-up function, which sees all organisations."""
        row = await self.database.row(principal, _SEALED_BELOW)
        return int(row["sealed_below"]) if row else 0

    async def seals(self, principal: Principal, *, after: int, limit: int) -> Sequence[AuditSeal]:
        """Read by the index on organisation and sequence."""
        rows = await self.database.rows(
            principal, _of(principal, _SEALS), {"organization_id": principal.organization_id, "after": after, "limit": limit}
        )
        return [seal_of(row) for row in rows]

    async def entries(self, principal: Principal, *, after: Position, below: int | None, limit: int) -> Sequence[AuditEntry]:
        """Read by the index on organisation, transaction and id."""
        rows = await self.database.rows(
            principal,
            _of(principal, _ENTRIES),
            {
                "organization_id": principal.organization_id,
                "transaction": str(after[0]),
                "id": after[1],
                "below": None if below is None else str(below),
                "limit": limit,
            },
        )
        return [entry_of(row) for row in rows]

    async def newest(self, principal: Principal, which: EntryFilter, page: PageRequest) -> Page[AuditEntry]:
        """Read by the index on organisation and id."""
        rows = await self.database.rows(
            principal,
            _of(principal, _NEWEST),
            {
                "organization_id": principal.organization_id,
                "before": None if page.cursor is None else _decoded(page.cursor),
                "action": which.action,
                "target": which.target,
                "target_id": which.target_id,
                "limit": page.limit + 1,
            },
        )
        entries = tuple(entry_of(row) for row in rows[: page.limit])
        return Page(entries, _encoded(entries[-1].id) if len(rows) > page.limit else None)


@dataclass(frozen=True, slots=True)
class PostgresAuditedOrganizations:
    """Implements `AuditedOrganizations`; `platform` must act as `luneo_platform`."""

    platform: Database

    async def with_a_trail(self) -> Sequence[UUID | None]:
        """Read every organisation that occurs."""
        async with self.platform.connection() as connection:
            cursor = await connection.execute(_TRAILS)
            return [row["organization_id"] for row in await cursor.fetchall()]


def _of(principal: Principal, statement: LiteralString) -> LiteralString:
    return statement.replace("TRAIL", _OF_NOBODY if principal.organization_id is None else _OF_ORGANIZATION)


def _encoded(entry_id: UUID) -> str:
    return base64.urlsafe_b64encode(entry_id.bytes).rstrip(b"=").decode()


def _decoded(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise ForeignCursor from None
