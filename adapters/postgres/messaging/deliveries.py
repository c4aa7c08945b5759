"""Deliveries: claimed by the relay, begun and finished by workers, listed and replayed by operators. `tables` says what they go through."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from adapters.postgres.database import Database
from shared_kernel.errors import NotFound
from shared_kernel.events import Delivery
from shared_kernel.pagination import Page, PageRequest
from shared_kernel.principal import Principal

LEASE = timedelta(seconds=10)
"""A worker that has been silent for so long has lost its delivery."""
BEAT_SECONDS = LEASE.total_seconds() / 4
"""How often a worker speaks up while it works: it may miss three times."""
MOST_ATTEMPTS = 10
_MOST_FAREWELLS = 5
_FIRST_RESEND = timedelta(seconds=10)
_LATEST_RESEND = timedelta(seconds=300)
_FIRST_DELAY_SECONDS = 1.0
_LONGEST_DELAY_SECONDS = 300.0
_ERROR_LENGTH = 500

# What waits in a queue is sent anew ever more rarely: a copy is only of use when the queue has lost the one before.
_CLAIM: LiteralString = """
with claimed as (
  select d.id, d.attempts >= %(most)s as dead
    from messaging.deliveries d
   where d.state in ('due', 'sent', 'running') and d.due_at <= %(now)s
     and (not d.ordered or not exists (
       select 1 from messaging.deliveries e
        where e.consumer = d.consumer and e.aggregate_id = d.aggregate_id and e.state <> 'done'
          and (e.aggregate_version, e.ordinal) < (d.aggregate_version, d.ordinal)))
   order by d.due_at limit %(limit)s for update of d skip locked
)
update messaging.deliveries d
   set state = case when c.dead then 'dead' else 'sent' end,
       last_error = case when c.dead then coalesce(d.last_error, 'WorkerDied') else d.last_error end,
       sends = least(d.sends + 1, 10),
       due_at = %(now)s + least(%(resend)s * power(2, d.sends), %(latest_resend)s)
  from claimed c where d.id = c.id
returning d.id, d.organization_id, d.consumer, d.queue, d.attempts, d.state
"""
_UNSEND: LiteralString = """
update messaging.deliveries set state = 'due', sends = greatest(sends - 1, 0), due_at = %(at)s where id = any(%(ids)s) and state = 'sent'
"""
_LAG: LiteralString = """
select coalesce(extract(epoch from %(now)s - min(due_at) filter (where state = 'due')), 0)::float8 as lag,
       (select count(*) from messaging.deliveries where state = 'dead') as dead
  from messaging.deliveries where state in ('due', 'sent', 'running')
"""
_BEGIN: LiteralString = """
with begun as (
  update messaging.deliveries d set state = 'running', attempts = d.attempts + 1, sends = 0, due_at = %(lease)s
   where d.id = %(id)s and (d.state in ('due', 'sent') or (d.state = 'running' and d.due_at <= %(now)s))
     and (not d.ordered or not exists (
       select 1 from messaging.deliveries b
        where b.consumer = d.consumer and b.aggregate_id = d.aggregate_id and b.state <> 'done'
          and (b.aggregate_version, b.ordinal) < (d.aggregate_version, d.ordinal)))
  returning d.consumer, d.attempts, d.event_id
)
select b.consumer, b.attempts, b.event_id, e.type, e.payload from begun b join messaging.events e on e.id = b.event_id
"""
_FINISH: LiteralString = """
update messaging.deliveries set state = 'done', finished_at = %(now)s, last_error = null
 where id = %(id)s and state in ('due', 'sent', 'running')
"""
# the rest is said by the worker that has the delivery, and by no other that had it before
_FAIL: LiteralString = """
update messaging.deliveries set state = %(state)s, due_at = %(at)s, last_error = %(error)s
 where id = %(id)s and state = 'running' and attempts = %(attempt)s
"""
_EXTEND: LiteralString = """
update messaging.deliveries set due_at = %(lease)s where id = %(id)s and state = 'running' and attempts = %(attempt)s returning 1
"""
_LIST: LiteralString = """
select d.id, d.organization_id, d.consumer, d.state, d.attempts, d.due_at, d.last_error, e.type, e.occurred_at, d.aggregate_id
  from messaging.deliveries d join messaging.events e on e.id = d.event_id
 where d.state = any(%(states)s) and (%(before)s::uuid is null or d.id < %(before)s)
 order by d.id desc limit %(limit)s
"""
_REPLAY: LiteralString = """
update messaging.deliveries set state = 'due', attempts = 0, sends = 0, due_at = %(now)s, last_error = null
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
class BegunDelivery:
    """A delivery with its event, as a worker gets it for an attempt."""

    delivery: Delivery
    event_type: str
    payload: dict[str, Any]

    @property
    def is_last_attempt(self) -> bool:
        """Whether there will be no other."""
        return self.delivery.attempt >= MOST_ATTEMPTS

    @property
    def is_over(self) -> bool:
        """Whether it was tried often enough already: the last attempt's worker died."""
        return self.delivery.attempt > MOST_ATTEMPTS


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
        """Take what is due, what its queue may have lost, and what its worker has let go of.

        Where even the workers that were to give it up have died, five of them, it becomes a dead letter here.
        """
        rows = await self._relay.rows(
            self._everybody,
            _CLAIM,
            {
                "now": now,
                "resend": _FIRST_RESEND,
                "latest_resend": _LATEST_RESEND,
                "limit": limit,
                "most": MOST_ATTEMPTS + _MOST_FAREWELLS,
            },
        )
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

    async def begin(self, delivery_id: UUID, organization_id: UUID | None, now: datetime) -> BegunDelivery | None:
        """Begin an attempt, which holds the delivery for a lease.

        Returns `None` when the delivery is finished, when another worker holds it, or when an earlier one of its aggregate is not finished.
        """
        row = await self._database.row(Principal.system(organization_id), _BEGIN, {"id": delivery_id, "now": now, "lease": now + LEASE})
        if row is None:
            return None
        delivery = Delivery(
            id=delivery_id, event_id=row["event_id"], organization_id=organization_id, consumer=row["consumer"], attempt=row["attempts"]
        )
        return BegunDelivery(delivery=delivery, event_type=row["type"], payload=row["payload"])

    async def extend(self, delivery: Delivery, now: datetime) -> bool:
        """Hold it for another lease; return whether this attempt still had it."""
        held = await self._database.row(
            Principal.system(delivery.organization_id),
            _EXTEND,
            {"id": delivery.id, "attempt": delivery.attempt, "lease": now + LEASE},
        )
        return held is not None

    async def finish(self, delivery: Delivery, now: datetime) -> None:
        """Mark it done when its effect's transaction did not: handlers without a transaction, or with a repeatable effect elsewhere."""
        await self._database.rows(Principal.system(delivery.organization_id), _FINISH, {"id": delivery.id, "now": now})

    async def fail(self, delivery: Delivery, error: str, now: datetime) -> None:
        """Try again later, twice as late each time."""
        delay = min(_FIRST_DELAY_SECONDS * 2 ** (delivery.attempt - 1), _LONGEST_DELAY_SECONDS)
        await self._end(delivery, "due", error, now + timedelta(seconds=delay))

    async def bury(self, delivery: Delivery, error: str, now: datetime) -> None:
        """Make it a dead letter."""
        await self._end(delivery, "dead", error, now)

    async def _end(self, delivery: Delivery, state: str, error: str, at: datetime) -> None:
        await self._database.rows(
            Principal.system(delivery.organization_id),
            _FAIL,
            {"id": delivery.id, "attempt": delivery.attempt, "state": state, "at": at, "error": error[:_ERROR_LENGTH]},
        )


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
