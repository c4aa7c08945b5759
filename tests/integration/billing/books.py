"""Do the books agree?"""

from uuid import UUID

import psycopg

_DISAGREEMENTS = """
select c.organization_id, c.metric, c.period_start::text, c.taken, used.quantity as used, held.quantity as held
  from billing.quota_counters c
 cross join lateral (
   select coalesce(sum(e.quantity), 0) as quantity from billing.usage_events e
    where e.organization_id = c.organization_id and e.metric = c.metric and e.occurred_at >= c.period_start and e.occurred_at < c.period_end
 ) used
 cross join lateral (
   select coalesce(sum(l.quantity), 0) as quantity
     from billing.reservations r
     join billing.reservation_lines l on l.organization_id = r.organization_id and l.reservation_id = r.id
    where r.organization_id = c.organization_id and r.state = 'open' and l.metric = c.metric and l.period_start = c.period_start
 ) held
 where (%(organization_id)s::uuid is null or c.organization_id = %(organization_id)s)
   and c.taken <> used.quantity + held.quantity
"""


def disagreements(superuser_url: str, organization_id: UUID | None = None) -> list[tuple[object, ...]]:
    """Return the counters that are not the sum of their usage events and of what open reservations hold, of one organisation or of all."""
    with psycopg.connect(superuser_url) as connection:
        return list(connection.execute(_DISAGREEMENTS, {"organization_id": organization_id}).fetchall())
