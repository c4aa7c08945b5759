"""The quota ledger: one statement for each move, sent on whatever transaction the caller has.

Every statement refuses by itself (`luneo.require`), because in a pipeline nobody looks at its result before the transaction commits.
A data-modifying CTE that hangs off an update writes nothing, silently, when that row is gone: each of those is checked.

Counters are locked by a CTE of their own, in the order of their metrics, before they are checked and changed: what it returns is the newest
version of the rows, also when it had to wait for them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import LiteralString, cast
from uuid import UUID

import psycopg
from psycopg.types.numeric import Int8

from adapters.postgres.database import Pipeline
from adapters.postgres.refusals import register, translated
from adapters.postgres.unit_of_work import UnitOfWorkScope
from contracts.billing.errors import CapacityGivenBack, QuotaExceeded, QuotaPeriodMissing, ReservationNotOpen
from contracts.billing.metrics import Metric, shown
from domains.billing.model.quota import Hold, SpentLine
from domains.billing.model.usage import UsageEvent
from shared_kernel.errors import Conflict, LuneoError
from shared_kernel.unit_of_work import UnitOfWork

# A subquery that gives a value is looked up by its key; `not exists` may be answered by hashing all events of the organisation.
# `within_plan` compares with the limit, everybody else with the ceiling; a null bound is no bound.
_HOLD: LiteralString = """
with wanted as materialized (
  select w.metric, w.quantity, w.event_id, w.once_for
    from unnest(%(metrics)s::text[], %(quantities)s::bigint[], %(event_ids)s::uuid[], %(once_for)s::uuid[])
      as w (metric, quantity, event_id, once_for)
   where w.once_for is null
      or (select 1 from billing.usage_events e where e.organization_id = %(organization_id)s and e.id = w.event_id) is null
), locked as materialized (
  select w.metric, w.quantity, w.event_id, w.once_for, c.period_start, c.period_end, c.limit_value,
         c.taken + w.quantity > case when %(within_plan)s then c.limit_value else c.ceiling end as refused
    from wanted w
    join billing.quota_counters c
      on c.organization_id = %(organization_id)s and c.metric = w.metric and c.period_start <= %(at)s and c.period_end > %(at)s
   order by c.metric
     for update of c
), raised as (
  update billing.quota_counters c set taken = c.taken + l.quantity
    from locked l
   where c.organization_id = %(organization_id)s and c.metric = l.metric and c.period_start = l.period_start
), reserved as (
  insert into billing.reservations (organization_id, id, cause, state, reserved_at, expires_at)
  values (%(organization_id)s, %(id)s, %(cause)s, 'open', %(at)s, %(expires_at)s)
), held as (
  insert into billing.reservation_lines (organization_id, reservation_id, metric, quantity, period_start, event_id, once_for)
  select %(organization_id)s, %(id)s, metric, quantity, period_start, event_id, once_for from locked
)
select luneo.require((select count(*) from locked) = (select count(*) from wanted), 'quota_period_missing'),
       luneo.require(
         not exists (select from locked where refused), 'quota_exceeded',
         (select json_build_object(
                   'metric', metric, 'limit', limit_value,
                   'resets_at', case when isfinite(period_end)
                                     then to_char(period_end at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') end)::text
            from locked where refused order by metric limit 1))
"""

# `spare` is what was held and not used: less was spent than held, or the thing had been paid for by the time this was settled.
_SETTLE: LiteralString = """
with closed as materialized (
  update billing.reservations set state = 'settled', closed_at = %(at)s
   where organization_id = %(organization_id)s and id = %(id)s and state = 'open'
  returning id, cause, reserved_at
), spent as materialized (
  select s.metric, s.quantity, s.event_id, s.estimated, s.cost_micro, s.currency
    from unnest(%(metrics)s::text[], %(quantities)s::bigint[], %(event_ids)s::uuid[], %(estimated)s::boolean[],
                %(costs)s::bigint[], %(currencies)s::text[])
      as s (metric, quantity, event_id, estimated, cost_micro, currency)
), held as materialized (
  select l.metric, l.quantity, l.period_start, l.event_id, coalesce(s.quantity, l.quantity) as used,
         coalesce(s.estimated, false) as estimated, s.cost_micro, s.currency
    from closed c
    join billing.reservation_lines l on l.organization_id = %(organization_id)s and l.reservation_id = c.id
    left join spent s on s.metric = l.metric
), written as (
  insert into billing.usage_events
         (organization_id, id, metric, quantity, estimated, cost_micro, currency, cause, cause_id, occurred_at, recorded_at)
  select %(organization_id)s, u.event_id, u.metric, u.quantity, u.estimated, u.cost_micro, u.currency, c.cause, c.id, c.reserved_at, %(at)s
    from closed c
   cross join (select event_id, metric, used as quantity, estimated, cost_micro, currency from held
               union all
               select event_id, metric, quantity, estimated, cost_micro, currency from spent s
                where not exists (select from held h where h.metric = s.metric)) u
  on conflict (organization_id, id) do nothing
  returning id
), spare as materialized (
  select h.metric, h.period_start, h.quantity - case when w.id is null then 0 else h.used end as quantity
    from held h left join written w on w.id = h.event_id
   where w.id is null or h.used <> h.quantity
), locked as materialized (
  select s.metric, s.period_start, s.quantity
    from spare s
    join billing.quota_counters c on c.organization_id = %(organization_id)s and c.metric = s.metric and c.period_start = s.period_start
   order by c.metric
     for update of c
), given_back as (
  update billing.quota_counters c set taken = c.taken - l.quantity
    from locked l
   where c.organization_id = %(organization_id)s and c.metric = l.metric and c.period_start = l.period_start
)
select luneo.require(exists (select from closed), 'reservation_not_open')
"""

_GIVE_UP: LiteralString = """
with closed as materialized (
  update billing.reservations set state = %(state)s, closed_at = %(at)s
   where organization_id = %(organization_id)s and id = %(id)s and state = 'open' and expires_at <= %(expired_by)s::timestamptz
  returning id
), locked as materialized (
  select l.metric, l.period_start, l.quantity
    from closed r
    join billing.reservation_lines l on l.organization_id = %(organization_id)s and l.reservation_id = r.id
    join billing.quota_counters c on c.organization_id = %(organization_id)s and c.metric = l.metric and c.period_start = l.period_start
   order by c.metric
     for update of c
)
update billing.quota_counters c set taken = c.taken - l.quantity
  from locked l
 where c.organization_id = %(organization_id)s and c.metric = l.metric and c.period_start = l.period_start
"""

# The counter follows the event that was written, not the one that was meant to be: two calls for one cause at the same moment count once.
_TAKE: LiteralString = """
with known as materialized (
  select e.id from billing.usage_events e
   where e.organization_id = %(organization_id)s and e.id in (%(event_id)s, %(given_back_id)s)
), locked as materialized (
  select c.metric, c.period_start, c.period_end, c.limit_value, c.taken + %(quantity)s > c.ceiling as refused
    from billing.quota_counters c
   where c.organization_id = %(organization_id)s and c.metric = %(metric)s and c.period_start <= %(at)s and c.period_end > %(at)s
     and not exists (select from known)
     for update of c
), written as (
  insert into billing.usage_events (organization_id, id, metric, quantity, estimated, cause, cause_id, occurred_at, recorded_at)
  select %(organization_id)s, %(event_id)s, %(metric)s, %(quantity)s, false, %(cause)s, %(cause_id)s, %(at)s, %(at)s from locked
  on conflict (organization_id, id) do nothing
  returning id
), raised as (
  update billing.quota_counters c set taken = c.taken + %(quantity)s
    from locked l, written w
   where c.organization_id = %(organization_id)s and c.metric = l.metric and c.period_start = l.period_start
)
select luneo.require(not exists (select from known where id = %(given_back_id)s), 'capacity_given_back'),
       luneo.require(exists (select from known) or exists (select from locked), 'quota_period_missing'),
       luneo.require(
         not exists (select from locked where refused), 'quota_exceeded',
         (select json_build_object(
                   'metric', metric, 'limit', limit_value,
                   'resets_at', case when isfinite(period_end)
                                     then to_char(period_end at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') end)::text
            from locked))
"""

_GIVE_BACK: LiteralString = """
with written as (
  insert into billing.usage_events (organization_id, id, metric, quantity, estimated, cause, cause_id, occurred_at, recorded_at)
  select %(organization_id)s, %(event_id)s, e.metric, -least(%(quantity)s, e.quantity), false, %(cause)s, %(cause_id)s, %(at)s, %(at)s
    from billing.usage_events e
   where e.organization_id = %(organization_id)s and e.id = %(taken_id)s
  on conflict (organization_id, id) do nothing
  returning metric, quantity
)
update billing.quota_counters c set taken = c.taken + w.quantity
  from written w
 where c.organization_id = %(organization_id)s and c.metric = w.metric and c.period_start = '-infinity'
"""


class PostgresQuotaLedger:
    """Implements `QuotaLedger` on pipelines and on units of work alike."""

    async def hold(self, unit: UnitOfWork, hold: Hold) -> None:
        """See `QuotaLedger.hold`. One statement."""
        await _run(
            unit,
            _HOLD,
            {
                "id": hold.reservation_id,
                "cause": hold.cause,
                "at": hold.at,
                "expires_at": hold.expires_at,
                "within_plan": hold.within_plan,
                "metrics": _array(line.metric for line in hold.lines),
                "quantities": _array(line.quantity for line in hold.lines),
                "event_ids": _array(line.event_id for line in hold.lines),
                "once_for": _array(line.once_for for line in hold.lines),
            },
        )

    async def settle(self, unit: UnitOfWork, *, reservation_id: UUID, spent: Sequence[SpentLine], at: datetime) -> None:
        """See `QuotaLedger.settle`. One statement."""
        await _run(
            unit,
            _SETTLE,
            {
                "id": reservation_id,
                "at": at,
                "metrics": _array(line.metric for line in spent),
                "quantities": _array(line.quantity for line in spent),
                "event_ids": _array(line.event_id for line in spent),
                "estimated": _array(line.estimated for line in spent),
                "costs": _array(line.cost_micro for line in spent),
                "currencies": _array(line.currency for line in spent),
            },
        )

    async def release(self, unit: UnitOfWork, *, reservation_id: UUID, at: datetime) -> None:
        """See `QuotaLedger.release`. One statement."""
        await _run(unit, _GIVE_UP, {"id": reservation_id, "at": at, "state": "released", "expired_by": "infinity"})

    async def expire(self, unit: UnitOfWork, *, reservation_id: UUID, at: datetime) -> None:
        """See `QuotaLedger.expire`. One statement."""
        await _run(unit, _GIVE_UP, {"id": reservation_id, "at": at, "state": "expired", "expired_by": at})

    async def take(self, unit: UnitOfWork, event: UsageEvent, *, given_back_id: UUID) -> None:
        """See `QuotaLedger.take`. One statement."""
        await _run(unit, _TAKE, {**_moved(event), "given_back_id": given_back_id, "quantity": Int8(event.quantity)})

    async def give_back(self, unit: UnitOfWork, event: UsageEvent, *, taken_id: UUID) -> None:
        """See `QuotaLedger.give_back`. One statement."""
        await _run(unit, _GIVE_BACK, {**_moved(event), "taken_id": taken_id, "quantity": Int8(-event.quantity)})


def _moved(event: UsageEvent) -> dict[str, object]:
    return {
        "event_id": event.id,
        "metric": event.metric.value,
        "cause": event.cause,
        "cause_id": event.cause_id,
        "at": event.occurred_at,
    }


def _array(values: Iterable[object]) -> str:
    """Return an array's text form (PostgreSQL documentation, section 8.15.6) of ids, numbers, booleans and plain words.

    Much cheaper than psycopg's lists, and always the same parameter type, so that each statement is prepared once.
    """
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


async def _run(unit: UnitOfWork, statement: LiteralString, parameters: Mapping[str, object]) -> None:
    joined = cast("Pipeline | UnitOfWorkScope", unit)
    try:
        await joined.connection.execute(statement, {"organization_id": unit.principal.tenant, **parameters})
    except psycopg.Error as error:
        refusal = translated(error)
        if refusal is error:
            raise
        raise refusal from error


def _exceeded(detail: Mapping[str, object]) -> LuneoError:
    metric = Metric(str(detail["metric"]))
    limit = detail["limit"]
    seen = shown(metric, limit) if isinstance(limit, int) else None
    return QuotaExceeded(
        f"The plan's limit of {seen} for {metric} is reached", metric=metric.value, limit=seen, resets_at=detail["resets_at"]
    )


register("quota_exceeded", _exceeded)
register("quota_period_missing", lambda _: QuotaPeriodMissing())
register("reservation_not_open", lambda _: ReservationNotOpen())
register("capacity_given_back", lambda _: CapacityGivenBack())
for _constraint in ("pk_reservations", "pk_reservation_lines"):  # whichever CTE runs first
    register(_constraint, lambda _: Conflict("This was reserved already"))
