"""Subscriptions, counters, reservations and usage events.

A capacity's counter spans all time (`-infinity` to `infinity`), so that one condition finds the counter of any metric at any moment.
"""

from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.engine import Dialect

from adapters.postgres.mapping import Json, identifier, mappings, metadata, moment
from contracts.billing.plans import PlanSlug
from domains.billing.model.subscription import Subscription, SubscriptionStatus

SCHEMA = "billing"
E = TypeVar("E", bound=StrEnum)


class _Words(TypeDecorator[Any], Generic[E]):
    """A `StrEnum` kept as text."""

    impl = Text
    cache_ok = True

    def __init__(self, enumeration: type[E]) -> None:
        super().__init__()
        self.enumeration = enumeration

    def process_result_value(self, value: Any | None, dialect: Dialect) -> E | None:  # noqa: ANN401, ARG002 - SQLAlchemy's signature
        """Return the member for the stored word."""
        return None if value is None else self.enumeration(value)


subscriptions = Table(
    "subscriptions",
    metadata,
    identifier("organization_id"),
    identifier("id"),
    Column("plan", _Words(PlanSlug), nullable=False),
    Column("add_ons", Json, nullable=False),
    Column("status", _Words(SubscriptionStatus), nullable=False),
    Column("anchor_day", SmallInteger, nullable=False),
    moment("started_at"),
    Column("version", Integer, nullable=False),
    PrimaryKeyConstraint("organization_id", "id"),
    UniqueConstraint("organization_id"),
    CheckConstraint("anchor_day between 1 and 31", name="anchor_day_of_a_month"),
    schema=SCHEMA,
)

quota_counters = Table(
    "quota_counters",
    metadata,
    identifier("organization_id"),
    Column("metric", Text, nullable=False),
    moment("period_start"),
    moment("period_end"),
    Column("limit_value", BigInteger),
    Column("ceiling", BigInteger),
    Column("taken", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("organization_id", "metric", "period_start"),
    CheckConstraint("taken >= 0", name="taken_not_negative"),
    schema=SCHEMA,
)

reservations = Table(
    "reservations",
    metadata,
    identifier("organization_id"),
    identifier("id"),
    Column("cause", Text, nullable=False),
    Column("state", Text, nullable=False),
    moment("reserved_at"),
    moment("expires_at"),
    moment("closed_at", nullable=True),
    PrimaryKeyConstraint("organization_id", "id"),
    CheckConstraint("state in ('open', 'settled', 'released', 'expired')", name="state_known"),
    schema=SCHEMA,
)
Index("ix_reservations_open", reservations.c.organization_id, postgresql_where=text("state = 'open'"))
Index("ix_reservations_expiring", reservations.c.expires_at, postgresql_where=text("state = 'open'"))

reservation_lines = Table(
    "reservation_lines",
    metadata,
    identifier("organization_id"),
    identifier("reservation_id"),
    Column("metric", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    moment("period_start"),
    identifier("event_id"),
    Column("once_for", Uuid()),
    PrimaryKeyConstraint("organization_id", "reservation_id", "metric"),
    ForeignKeyConstraint(
        ["organization_id", "reservation_id"], ["billing.reservations.organization_id", "billing.reservations.id"], ondelete="CASCADE"
    ),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    schema=SCHEMA,
)

usage_events = Table(
    "usage_events",
    metadata,
    identifier("organization_id"),
    identifier("id"),
    Column("metric", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("cost_micro", BigInteger),
    Column("currency", Text),
    Column("cause", Text, nullable=False),
    identifier("cause_id"),
    moment("occurred_at"),
    moment("recorded_at"),
    PrimaryKeyConstraint("organization_id", "id"),
    CheckConstraint("(cost_micro is null) = (currency is null)", name="cost_has_currency"),
    schema=SCHEMA,
)
Index("ix_usage_events_organization_id_occurred_at_id", usage_events.c.organization_id, usage_events.c.occurred_at, usage_events.c.id)

mappings.map_imperatively(Subscription, subscriptions, version_id_col=subscriptions.c.version)
