"""The one registry of tables and mappings, and the column types that they share."""

from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Column, Dialect, MetaData, Text, TypeDecorator, Uuid
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

E = TypeVar("E", bound=StrEnum)


class Choice(TypeDecorator[E]):
    """A `StrEnum` in a text column."""

    impl = Text
    cache_ok = True

    def __init__(self, choices: type[E]) -> None:
        super().__init__()
        self.choices = choices

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the text to store."""
        return None if value is None else str(value.value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> E | None:  # noqa: ANN401, ARG002 - same
        """Return the member that was stored."""
        return None if value is None else self.choices(value)


def identifier(name: str = "id", *, primary_key: bool = False, nullable: bool = False) -> Column[UUID]:
    """Return a UUID column."""
    return Column(name, Uuid(), primary_key=primary_key, nullable=nullable)


def moment(name: str, *, nullable: bool = False) -> Column[datetime]:
    """Return a `timestamptz` column."""
    return Column(name, TIMESTAMP(timezone=True), nullable=nullable)
