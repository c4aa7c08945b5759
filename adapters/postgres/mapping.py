"""The one registry of tables and mappings, and the column types that they share."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, MetaData, Uuid
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import registry

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING_CONVENTION)
mappings = registry(metadata=metadata)

Json = JSONB(none_as_null=True)


def identifier(name: str = "id", *, primary_key: bool = False, nullable: bool = False) -> Column[UUID]:
    """Return a UUID column."""
    return Column(name, Uuid(), primary_key=primary_key, nullable=nullable)


def moment(name: str, *, nullable: bool = False) -> Column[datetime]:
    """Return a `timestamptz` column."""
    return Column(name, TIMESTAMP(timezone=True), nullable=nullable)
