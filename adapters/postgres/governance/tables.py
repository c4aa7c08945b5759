"""Entries, their personal values, and seals.

All three belong to no organisation when people act before having one. The app may add entries and read everything of its own organisation;
nobody but the owner
may change one, and only the platform role may erase a personal value.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, LargeBinary, Table, Text, UniqueConstraint, func
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

from adapters.postgres.mapping import Json, identifier, metadata, moment

SCHEMA = "governance"


class TransactionNumber(UserDefinedType[int]):
    """`xid8`: a transaction's number, which never wraps around (PostgreSQL documentation, section 8.19)."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401 - SQLAlchemy's own signature
        """Return the type's name in SQL."""
        return "xid8"


ischema_names["xid8"] = TransactionNumber

audit_entries = Table(
    "audit_entries",
    metadata,
    identifier(primary_key=True),
    identifier("organization_id", nullable=True),
    Column("transaction", TransactionNumber(), nullable=False, server_default=func.pg_current_xact_id()),
    moment("recorded_at"),
    Column("actor_kind", Text, nullable=False),
    identifier("actor_id", nullable=True),
    Column("actor_role", Text),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    identifier("target_id"),
    Column("before", Json, nullable=False),
    Column("after", Json, nullable=False),
    Column("commitments", Json, nullable=False),
    Column("request_id", Text),
    UniqueConstraint("organization_id", "id", postgresql_nulls_not_distinct=True),
    schema=SCHEMA,
)
Index("ix_audit_entries_transaction_id", audit_entries.c.transaction, audit_entries.c.id)
Index(
    "ix_audit_entries_organization_id_transaction_id",
    audit_entries.c.organization_id,
    audit_entries.c.transaction,
    audit_entries.c.id,
)

audit_personal_values = Table(
    "audit_personal_values",
    metadata,
    identifier("entry_id", primary_key=True),
    Column("field", Text, primary_key=True),
    identifier("organization_id", nullable=True),
    Column("salt", LargeBinary, nullable=False),
    Column("value", Text, nullable=False),
    ForeignKeyConstraint(["organization_id", "entry_id"], ["governance.audit_entries.organization_id", "governance.audit_entries.id"]),
    schema=SCHEMA,
)
Index("ix_audit_personal_values_organization_id", audit_personal_values.c.organization_id, audit_personal_values.c.entry_id)

audit_seals = Table(
    "audit_seals",
    metadata,
    Column("seal_hash", LargeBinary, primary_key=True),
    identifier("organization_id", nullable=True),
    Column("sequence", BigInteger, nullable=False),
    Column("sealed_below", TransactionNumber(), nullable=False),
    Column("leaves", LargeBinary, nullable=False),
    Column("merkle_root", LargeBinary, nullable=False),
    Column("previous_hash", LargeBinary, nullable=False),
    moment("sealed_at"),
    UniqueConstraint("organization_id", "sequence", postgresql_nulls_not_distinct=True),
    schema=SCHEMA,
)
Index("ix_audit_seals_sealed_below", audit_seals.c.sealed_below)
