"""Writing events and their deliveries in the transaction of the change, and marking a delivery done in the transaction of its effect."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from adapters.postgres.database import Executing
from adapters.postgres.refusals import register
from shared_kernel.errors import AlreadyDelivered
from shared_kernel.events import Delivery, Event
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One consumer of one event type.

    `ordered` consumers get an aggregate's events strictly one after the other. `queue` names the worker queue that carries it.
    """

    consumer: str
    queue: str = "default"
    ordered: bool = False


Subscribers = Mapping[str, Sequence[Subscriber]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """An event with the aggregate it came from, ready to be written."""

    event: Event
    aggregate: str
    aggregate_id: UUID
    aggregate_version: int
    ordinal: int


def encode_event(event: Event) -> dict[str, Any]:
    """Return the event's fields as JSON values."""
    values: dict[str, Any] = msgspec.to_builtins({f.name: getattr(event, f.name) for f in fields(event)})
    return values


def decode_event(payload: Mapping[str, Any], event_type: type[Event]) -> Event:
    """Return the event that `payload` was made from. Raises `msgspec.ValidationError` when it does not fit the type."""
    return msgspec.convert(payload, event_type, strict=False)


_INSERT_EVENTS: LiteralString = """
insert into messaging.events (id, organization_id, type, aggregate, aggregate_id, aggregate_version, ordinal, payload,
occurred_at, request_id)
select (e->>'id')::uuid, nullif(current_setting('luneo.organization_id', true), '')::uuid, e->>'type', e->>'aggregate',
(e->>'aggregate_id')::uuid,
       (e->>'aggregate_version')::int, (e->>'ordinal')::smallint, e->'payload', %(at)s, %(request_id)s
  from jsonb_array_elements(%(events)s) e
"""

_INSERT_DELIVERIES: LiteralString = """
insert into messaging.deliveries (id, event_id, organization_id, consumer, queue, aggregate_id, aggregate_version, ordinal,
ordered, state, due_at)
select (d->>'id')::uuid, (d->>'event_id')::uuid, nullif(current_setting('luneo.organization_id', true), '')::uuid,
d->>'consumer', d->>'queue',
       (d->>'aggregate_id')::uuid, (d->>'aggregate_version')::int, (d->>'ordinal')::smallint, (d->>'ordered')::boolean, 'due', %(at)s
  from jsonb_array_elements(%(deliveries)s) d
"""

_FINISH: LiteralString = """
with finished as (
  update messaging.deliveries set state = 'done', finished_at = %(at)s, last_error = null
   where id = %(id)s and state in ('due', 'sent', 'running') returning 1
) select luneo.require(exists (select 1 from finished), 'already_delivered')
"""

register("already_delivered", lambda _: AlreadyDelivered())


class Outbox:
    """Knows who subscribes to what."""

    def __init__(self, subscribers: Subscribers) -> None:
        self._subscribers = subscribers

    async def write(self, connection: Executing, principal: Principal, records: Iterable[EventRecord], at: datetime) -> bool:
        """Write events with their deliveries on `connection`'s transaction; return whether anybody subscribes.

        Two statements at most, however many events there are.
        """
        events: list[dict[str, Any]] = []
        deliveries: list[dict[str, Any]] = []
        for record in records:
            event_id = str(new_id())
            place = {
                "aggregate_id": str(record.aggregate_id),
                "aggregate_version": record.aggregate_version,
                "ordinal": record.ordinal,
            }
            events.append(
                {"id": event_id, "type": record.event.TYPE, "aggregate": record.aggregate, "payload": encode_event(record.event), **place}
            )
            deliveries.extend(
                {"id": str(new_id()), "event_id": event_id, "consumer": s.consumer, "queue": s.queue, "ordered": s.ordered, **place}
                for s in self._subscribers.get(record.event.TYPE, ())
            )
        if events:
            written = Jsonb(events, msgspec.json.encode)
            await connection.execute(_INSERT_EVENTS, {"events": written, "at": at, "request_id": principal.origin.request_id})
        if deliveries:
            await connection.execute(_INSERT_DELIVERIES, {"deliveries": Jsonb(deliveries, msgspec.json.encode), "at": at})
        return bool(deliveries)

    async def finish(self, connection: Executing, delivery: Delivery, at: datetime) -> None:
        """Mark `delivery` done on `connection`'s transaction; the transaction fails as `AlreadyDelivered` when it was."""
        await connection.execute(_FINISH, {"id": delivery.id, "at": at})
