"""Deliveries: claimed by the relay, loaded and finished by consumers, listed and replayed by operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from adapters.postgres.database import Database
from shared_kernel.clock import Clock
from shared_kernel.errors import NotFound
from shared_kernel.events import Delivery
from shared_kernel.pagination import Page, PageRequest
from shared_kernel.principal import Principal

LEASE = timedelta(seconds=30)
MOST_ATTEMPTS = 10
_FIRST_DELAY_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 300.0
_ERROR_LENGTH = 500

_CLAIM: LiteralString = """
with claimed as (
  select d.id, d.attempts >= %(most)s as given_up
    from messaging.deliveries d
   where d.state in ('due', 'sent') and d.due_at <= %(now)s
     and (not d.ordered or not exists (
       select 1 from messaging.deliveries e
        where e.consumer = d.consumer and e.aggregate_id = d.aggregate_id and e.state <> 'done'
          and (e.aggregate_version, e.ordinal) < (d.aggregate_version, d.ordinal)))
   order by d.due_at limit %(limit)s for update of d skip locked
)
update messaging.deliveries d
   set state = case when c.given_up then 'dead' else 'sent' end,
       attempts = d.attempts + case when c.given_up then 0 else 1 end,
       due_at = %(lease)s
  from claimed c where d.id = c.id
returning d.id, d.organization_id, d.consumer, d.queue, d.attempts, d.state
"""
_UNSEND: LiteralString = """
update messaging.deliveries set state = 'due', attempts = attempts - 1, due_at = %(at)s where id = any(%(ids)s) and state = 'sent'
"""
_LAG: LiteralString = """
select coalesce(extract(epoch from %(now)s - min(due_at) filter (where state = 'due')), 0)::float8 as lag,
       (select count(*) from messaging.deliveries where state = 'dead') as dead
  from messaging.deliveries where state in ('due', 'sent')
"""
_LOAD: LiteralString = """
select d.consumer, d.attempts, d.event_id, e.type, e.payload
  from messaging.deliveries d join messaging.events e on e.id = d.event_id
 where d.id = %(id)s and d.state in ('due', 'sent')
   and (not d.ordered or not exists (
     select 1 from messaging.deliveries b
      where b.consumer = d.consumer and b.aggregate_id = d.aggregate_id and b.state <> 'done'
        and (b.aggregate_version, b.ordinal) < (d.aggregate_version, d.ordinal)))
"""
_FINISH: LiteralString = """
update messaging.deliveries set state = 'done', finished_at = %(now)s, last_error = null where id = %(id)s and state in ('due', 'sent')
"""
_FAIL: LiteralString = """
update messaging.deliveries set state = %(state)s, due_at = %(at)s, last_error = %(error)s where id = %(id)s and state in ('due', 'sent')
"""
_EXTEND: LiteralString = "update messaging.deliveries set due_at = %(lease)s where id = %(id)s and state = 'sent'"
_LIST: LiteralString = """
select d.id, d.organization_id, d.consumer, d.state, d.attempts, d.due_at, d.last_error, e.type, e.occurred_at, d.aggregate_id
  from messaging.deliveries d join messaging.events e on e.id = d.event_id
 where d.state = any(%(states)s) and (%(before)s::uuid is null or d.id < %(before)s)
 order by d.id desc limit %(limit)s
"""
_REPLAY: LiteralString = """
update messaging.deliveries set state = 'due', attempts = 0, due_at = %(now)s, last_error = null
 where state = 'dead' and (%(id)s::uuid is null or id = %(id)s)
"""
_PURGE: LiteralString = """
delete from messaging.ticks where due_at < %(before)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that is the relay's to send."""

    id: UUID
    organization_id: UUID | None
    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDelivery:
    """A delivery with its event, as the consumer gets it."""

    delivery: Delivery
    event_type: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDelivery:
    """A delivery as operators see it."""

    id: UUID
    organization_id: UUID | None
    consumer: str
    state: str
    attempts: int
    due_at: datetime
    last_error: str | None
    event_type: str
    occurred_at: datetime
    aggregate_id: UUID


class RelayedDeliveries:
    """What the relay does, in the relay's role over all organisations."""

    def __init__(self, relay: Database) -> None:
        self._relay = relay
        self._everybody = Principal.system(None, name="relay")

    async def claim(self, now: datetime, *, limit: int = 100) -> list[ClaimedDelivery]:
        """Take what is due, or was sent and not finished within its lease; what was tried 10 times becomes a dead letter."""
        rows = await self._relay.rows(self._everybody, _CLAIM, {"now": now, "lease": now + LEASE, "limit": limit, "most": MOST_ATTEMPTS})
        return [ClaimedDelivery(id=r["id"], organization_id=r["organization_id"], queue=r["queue"]) for r in rows if r["state"] == "sent"]

    async def unsend(self, ids: Sequence[UUID], at: datetime) -> None:
        """Put claimed deliveries back, due at `at`: the broker did not take them."""
        await self._relay.rows(self._everybody, _UNSEND, {"ids": list(ids), "at": at})

    async def lag(self, now: datetime) -> tuple[float, int]:
        """Return how old the oldest due delivery is, in seconds, and how many dead letters there are."""
        row = await self._relay.row(self._everybody, _LAG, {"now": now})
        return (max(row["lag"], 0.0), row["dead"]) if row else (0.0, 0)

    async def listed(self, page: PageRequest, *, states: Sequence[str]) -> Page[ListedDelivery]:
        """Return deliveries in `states`, newest first."""
        before = UUID(page.cursor) if page.cursor else None
        rows = await self._relay.rows(self._everybody, _LIST, {"states": list(states), "before": before, "limit": page.limit + 1})
        names = ("id", "organization_id", "consumer", "state", "attempts", "due_at", "last_error", "occurred_at", "aggregate_id")
        items = tuple(ListedDelivery(event_type=r["type"], **{n: r[n] for n in names}) for r in rows[: page.limit])
        return Page(items, str(items[-1].id) if len(rows) > page.limit else None)

    async def replay(self, delivery_id: UUID | None, now: datetime) -> int:
        """Make a dead letter, or all of them, due again; return how many. Raises `NotFound` for an id that is not one."""
        async with self._relay.pipeline(self._everybody) as pipeline:
            pending = await pipeline.queue(_REPLAY, {"id": delivery_id, "now": now})
        if delivery_id is not None and pending.count == 0:
            raise NotFound("There is no dead letter with this id")
        return pending.count


class ReceivedDeliveries:
    """What a consumer does with its deliveries, in the app's role and the delivery's organisation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, delivery_id: UUID, organization_id: UUID | None) -> LoadedDelivery | None:
        """Return the delivery with its event, or `None` when it was finished or an earlier one of its aggregate was not."""
        row = await self._database.row(Principal.system(organization_id), _LOAD, {"id": delivery_id})
        if row is None:
            return None
        delivery = Delivery(
            id=delivery_id, event_id=row["event_id"], organization_id=organization_id, consumer=row["consumer"], attempt=row["attempts"]
        )
        return LoadedDelivery(delivery=delivery, event_type=row["type"], payload=row["payload"])

    async def finish(self, delivery: Delivery, now: datetime) -> None:
        """Mark it done when its effect's transaction did not: handlers without a transaction, or with a repeatable effect elsewhere."""
        await self._database.rows(Principal.system(delivery.organization_id), _FINISH, {"id": delivery.id, "now": now})

    async def fail(self, delivery: Delivery, error: str, now: datetime) -> bool:
        """Try again later, twice as late each time; give up after 10 attempts. Returns whether it was given up."""
        dead = delivery.attempt >= MOST_ATTEMPTS
        delay = min(_FIRST_DELAY_SECONDS * 2 ** (delivery.attempt - 1), _LONGEST_DELAY_SECONDS)
        await self._database.rows(
            Principal.system(delivery.organization_id),
            _FAIL,
            {"id": delivery.id, "state": "dead" if dead else "due", "at": now + timedelta(seconds=delay), "error": error[:_ERROR_LENGTH]},
        )
        return dead

    async def extend(self, delivery: Delivery, now: datetime) -> None:
        """Keep a delivery that takes long from being sent again."""
        await self._database.rows(Principal.system(delivery.organization_id), _EXTEND, {"id": delivery.id, "lease": now + LEASE})


class PostgresWorkLease:
    """The lease that long work keeps extending."""

    def __init__(self, received: ReceivedDeliveries, clock: Clock) -> None:
        self._received = received
        self._clock = clock

    async def extend(self, delivery: Delivery) -> None:
        """Start the delivery's lease anew."""
        await self._received.extend(delivery, self._clock.now())


class Ticks:
    """Claims of the clock: each tick of a job runs on one replica."""

    def __init__(self, platform: Database) -> None:
        self._platform = platform

    async def claim(self, job: str, due_at: datetime) -> bool:
        """Return whether this process is the one to run `job` for `due_at`."""
        async with self._platform.pipeline(Principal.system(None, name="scheduler")) as pipeline:
            pending = await pipeline.queue(
                "insert into messaging.ticks (job, due_at) values (%(job)s, %(due)s) on conflict do nothing", {"job": job, "due": due_at}
            )
        return pending.count == 1

    async def purge(self, before: datetime) -> None:
        """Forget old ticks, and idempotency keys whose day is over."""
        async with self._platform.pipeline(Principal.system(None, name="scheduler")) as pipeline:
            await pipeline.queue(_PURGE, {"before": before})
            await pipeline.queue("delete from luneo.idempotent_requests where created_at < %(before)s", {"before": before})
            await pipeline.queue("delete from luneo.personal_idempotent_requests where created_at < %(before)s", {"before": before})
