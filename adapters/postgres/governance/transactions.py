"""The sealer's transaction, as the role `luneo_platform`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from adapters.postgres.database import Connection, Database
from adapters.postgres.governance.rows import ENTRY, entry_of
from domains.governance.model.audit_seal import AuditSeal, Head
from domains.governance.ports.sealing import Batch, TransactionNumbersWentBack

_SEALER_LOCK: LiteralString = "select pg_try_advisory_xact_lock(4775310928) as mine"

# Read after the lock is held: in READ COMMITTED each statement sees what was committed before it began.
# No transaction below pg_snapshot_xmin is running (PostgreSQL documentation, section 9.27.9), so below it nothing can appear any more.
_WINDOW: LiteralString = """
select governance.audit_sealed_below()::text as sealed, pg_snapshot_xmin(pg_current_snapshot())::text as running
"""

# `limit` counts entries, but the bound falls between transactions, so that none is split.
_BOUND: LiteralString = """
select e.transaction::text as transaction from governance.audit_entries e
 where e.transaction >= %(sealed)s::xid8 and e.transaction < %(running)s::xid8
 order by e.transaction, e.id offset %(limit)s limit 1
"""

_ENTRIES: LiteralString = (
    "select "  # noqa: S608 - literals only
    + ENTRY
    + """
  from governance.audit_entries e
 where e.transaction >= %(sealed)s::xid8 and e.transaction < %(bound)s::xid8
 order by e.transaction, e.id
"""
)

_HEADS: LiteralString = """
select h.organization_id, h.sequence, h.seal_hash, h.sealed_below::text as sealed_below
  from unnest(%(organization_ids)s::uuid[]) o (id)
 cross join lateral (
   select s.* from governance.audit_seals s where s.organization_id = o.id order by s.sequence desc limit 1
 ) h
union all
(select s.organization_id, s.sequence, s.seal_hash, s.sealed_below::text from governance.audit_seals s
  where %(tenantless)s and s.organization_id is null order by s.sequence desc limit 1)
"""

_ADD: LiteralString = """
insert into governance.audit_seals (seal_hash, organization_id, sequence, sealed_below, leaves, merkle_root, previous_hash, sealed_at)
select * from unnest(%(seal_hash)s::bytea[], %(organization_id)s::uuid[], %(sequence)s::bigint[], %(sealed_below)s::xid8[],
%(leaves)s::bytea[],
                     %(merkle_root)s::bytea[], %(previous_hash)s::bytea[], %(sealed_at)s::timestamptz[])
"""


@dataclass(frozen=True, slots=True)
class PostgresSealing:
    """Implements `SealingTransactions`."""

    platform: Database

    def __call__(self) -> AbstractAsyncContextManager["PostgresSealingTransaction"]:
        """Return a transaction; `platform` must act as `luneo_platform`."""
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator["PostgresSealingTransaction"]:
        async with self.platform.connection() as connection, connection.transaction():
            yield PostgresSealingTransaction(connection)


@dataclass(frozen=True, slots=True)
class PostgresSealingTransaction:
    """Implements `SealingTransaction`. A handful of statements, however many entries and organisations there are."""

    connection: Connection

    async def next_batch(self, limit: int) -> Batch | None:
        """Return the next batch; one sealer at a time, by an advisory lock that ends with the transaction."""
        lock = await (await self.connection.execute(_SEALER_LOCK)).fetchone()
        if lock is None or not lock["mine"]:
            return None
        window = await (await self.connection.execute(_WINDOW)).fetchone()
        if window is None or int(window["running"]) == int(window["sealed"]):
            return None
        if int(window["running"]) < int(window["sealed"]):
            raise TransactionNumbersWentBack(
                f"transaction {window['sealed']} was sealed, but the database has only reached {window['running']}: "
                "it was restored from a logical dump; advance it with pg_resetwal --next-transaction-id before starting again"
            )
        beyond = await (await self.connection.execute(_BOUND, {**window, "limit": limit})).fetchone()
        bound = window["running"]
        if beyond is not None:
            first = await (await self.connection.execute(_BOUND, {**window, "limit": 0})).fetchone()
            first_transaction = int(first["transaction"]) if first else 0
            bound = str(max(int(beyond["transaction"]), first_transaction + 1))
        cursor = await self.connection.execute(_ENTRIES, {"sealed": window["sealed"], "bound": bound})
        entries = [entry_of(row) for row in await cursor.fetchall()]
        return Batch(entries, int(bound)) if entries else None

    async def heads(self, organization_ids: Sequence[UUID | None]) -> dict[UUID | None, Head]:
        """Return the head of each chain."""
        cursor = await self.connection.execute(
            _HEADS, {"organization_ids": [o for o in organization_ids if o is not None], "tenantless": None in organization_ids}
        )
        return {
            row["organization_id"]: Head(row["sequence"], bytes(row["seal_hash"]), int(row["sealed_below"]))
            for row in await cursor.fetchall()
        }

    async def add(self, seals: Sequence[AuditSeal]) -> None:
        """Add the seals with one statement."""
        await self.connection.execute(
            _ADD,
            {
                "seal_hash": [s.seal_hash for s in seals],
                "organization_id": [s.organization_id for s in seals],
                "sequence": [s.sequence for s in seals],
                "sealed_below": [str(s.sealed_below) for s in seals],
                "leaves": [s.leaves for s in seals],
                "merkle_root": [s.merkle_root for s in seals],
                "previous_hash": [s.previous_hash for s in seals],
                "sealed_at": [s.sealed_at for s in seals],
            },
        )
