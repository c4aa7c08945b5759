"""The book of usage, written in bulk."""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg.types.numeric import Int8

from adapters.postgres.database import Database, tenant
from domains.billing.model.usage import UsageEvent
from shared_kernel.clock import Clock

_RECORD: LiteralString = """
with written as (
  insert into billing.usage_events
         (organization_id, id, metric, quantity, estimated, cost_micro, currency, cause, cause_id, occurred_at, recorded_at)
  select %(organization_id)s, u.id, u.metric, u.quantity, u.estimated, u.cost_micro, u.currency, u.cause, u.cause_id, u.occurred_at, %(at)s
    from unnest(%(ids)b::uuid[], %(metrics)s::text[], %(quantities)b::bigint[], %(estimated)b::boolean[],
                %(costs)s::bigint[], %(currencies)s::text[], %(causes)s::text[], %(cause_ids)b::uuid[], %(occurred_at)b::timestamptz[])
      as u (id, metric, quantity, estimated, cost_micro, currency, cause, cause_id, occurred_at)
  on conflict (organization_id, id) do nothing
  returning metric, quantity, occurred_at
), counters as materialized (
  select c.metric, c.period_start, c.period_end from billing.quota_counters c
   where c.organization_id = %(organization_id)s and c.metric = any(%(distinct)s::text[]) and c.period_end > %(first)s
), grown as materialized (
  select c.metric, c.period_start, sum(w.quantity)::bigint as quantity
    from written w join counters c on c.metric = w.metric and w.occurred_at >= c.period_start and w.occurred_at < c.period_end
   group by c.metric, c.period_start
), locked as materialized (
  select g.metric, g.period_start, g.quantity
    from grown g
    join billing.quota_counters c on c.organization_id = %(organization_id)s and c.metric = g.metric and c.period_start = g.period_start
   order by c.metric, c.period_start
     for update of c
), raised as (
  update billing.quota_counters c set taken = c.taken + l.quantity
    from locked l
   where c.organization_id = %(organization_id)s and c.metric = l.metric and c.period_start = l.period_start
)
select count(*) as new from written
"""


class PostgresUsageEvents:
    """Implements `UsageEvents`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def record(self, organization_id: UUID, batch: Sequence[UsageEvent]) -> int:
        """See `UsageEvents.record`. One round trip for the whole batch."""
        if not batch:
            return 0
        at: datetime = self._clock.now()
        row = await self._database.row(
            tenant(organization_id),
            _RECORD,
            {
                "organization_id": organization_id,
                "at": at,
                "first": min(event.occurred_at for event in batch),
                "distinct": list({event.metric.value for event in batch}),
                "ids": [event.id for event in batch],
                "metrics": [event.metric.value for event in batch],
                "quantities": [Int8(event.quantity) for event in batch],
                "estimated": [event.estimated for event in batch],
                "costs": [event.cost_micro for event in batch],
                "currencies": [event.currency for event in batch],
                "causes": [event.cause for event in batch],
                "cause_ids": [event.cause_id for event in batch],
                "occurred_at": [event.occurred_at for event in batch],
            },
        )
        return int(row["new"]) if row else 0
