"""Events and deliveries.

Both may belong to no organisation (a person signs up before having one), so their policy compares with `is not distinct from`.

A delivery is `due` until the relay sends it, `sent` while it waits in a queue, `running` while a worker has it, then `done`, or `dead`. At
`due_at` it is the relay's again: to be sent, to be sent anew because the queue may have lost it, or to be given to another worker because
its own has been silent for a lease. `attempts` counts the workers that began it, `sends` how often it was sent since the last one did.
"""

from sqlalchemy import TIMESTAMP, Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, SmallInteger, Table, Text, text

from adapters.postgres.mapping import Json, identifier, metadata, moment

SCHEMA = "messaging"

events = Table(
    "events",
    metadata,
    identifier(primary_key=True),
    identifier("organization_id", nullable=True),
    Column("type", Text, nullable=False),
    Column("aggregate", Text, nullable=False),
    identifier("aggregate_id"),
    Column("aggregate_version", Integer, nullable=False),
    Column("ordinal", SmallInteger, nullable=False),
    Column("payload", Json, nullable=False),
    moment("occurred_at"),
    Column("request_id", Text),
    schema=SCHEMA,
)
Index("ix_events_organization_id", events.c.organization_id, events.c.id)

deliveries = Table(
    "deliveries",
    metadata,
    identifier(primary_key=True),
    Column("event_id", ForeignKey("messaging.events.id", ondelete="CASCADE"), nullable=False),
    identifier("organization_id", nullable=True),
    Column("consumer", Text, nullable=False),
    Column("queue", Text, nullable=False),
    identifier("aggregate_id"),
    Column("aggregate_version", Integer, nullable=False),
    Column("ordinal", SmallInteger, nullable=False),
    Column("ordered", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("sends", SmallInteger, nullable=False, server_default=text("0")),
    moment("due_at"),
    moment("finished_at", nullable=True),
    Column("last_error", Text),
    CheckConstraint("state in ('due', 'sent', 'running', 'done', 'dead')", name="state_known"),
    schema=SCHEMA,
)
Index("uq_deliveries_event_id_consumer", deliveries.c.event_id, deliveries.c.consumer, unique=True)
Index("ix_deliveries_due", deliveries.c.due_at, postgresql_where=text("state in ('due', 'sent', 'running')"))
Index(
    "ix_deliveries_order",
    deliveries.c.consumer,
    deliveries.c.aggregate_id,
    deliveries.c.aggregate_version,
    deliveries.c.ordinal,
    postgresql_where=text("state <> 'done'"),
)

ticks = Table(
    "ticks",
    metadata,
    Column("job", Text, primary_key=True),
    Column("due_at", TIMESTAMP(timezone=True), primary_key=True),
    schema=SCHEMA,
)
