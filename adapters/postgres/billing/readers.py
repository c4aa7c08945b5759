"""What is read of billing, one statement each."""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from adapters.postgres.database import Database, Row
from contracts.billing.metrics import Metric
from contracts.billing.plans import PlanSlug
from domains.billing.model.quota import CounterReading, OpenReservation
from domains.billing.model.subscription import SubscriptionStatus
from domains.billing.model.usage import UsageEvent
from domains.billing.ports.billing_reader import SubscriptionRecord, UsageTotal
from shared_kernel.errors import NotFound
from shared_kernel.pagination import ForeignCursor, Page, PageRequest
from shared_kernel.principal import Principal

_SUBSCRIPTION: LiteralString = """
select plan, add_ons, status, anchor_day, started_at from billing.subscriptions where organization_id = %(organization_id)s
"""

_COUNTERS: LiteralString = """
with held as materialized (
  select l.metric, l.period_start, sum(l.quantity)::bigint as quantity
    from billing.reservations r
    join billing.reservation_lines l on l.organization_id = r.organization_id and l.reservation_id = r.id
   where r.organization_id = %(organization_id)s and r.state = 'open'
   group by l.metric, l.period_start
)
select c.metric, c.taken, coalesce(h.quantity, 0) as reserved
  from billing.quota_counters c
  left join held h on h.metric = c.metric and h.period_start = c.period_start
 where c.organization_id = %(organization_id)s and c.period_start <= %(at)s and c.period_end > %(at)s
"""

_TOTALS: LiteralString = """
select metric, sum(quantity)::bigint as quantity, bool_or(estimated) as estimated,
       coalesce(sum(cost_micro), 0)::bigint as cost_micro, currency
  from billing.usage_events
 where organization_id = %(organization_id)s and occurred_at >= %(start)s and occurred_at < %(end)s
 group by metric, currency
 order by metric, currency
"""

_EVENTS: LiteralString = """
select id, metric, quantity, estimated, cost_micro, currency, cause, cause_id, occurred_at
  from billing.usage_events
 where organization_id = %(organization_id)s and (occurred_at, id) < (%(before)s::timestamptz, %(before_id)s)
 order by occurred_at desc, id desc
 limit %(limit)s
"""

_DUE: LiteralString = """
select organization_id, id from billing.reservations where state = 'open' and expires_at <= %(at)s order by expires_at limit %(limit)s
"""

_LAST_ID = UUID(int=(1 << 128) - 1)


class PostgresBillingReader:
    """Implements `BillingReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def subscription(self, principal: Principal) -> SubscriptionRecord:
        """See `BillingReader.subscription`."""
        return _subscription(await self._database.row(principal, _SUBSCRIPTION, {"organization_id": principal.tenant}))

    async def counters(self, principal: Principal, at: datetime) -> tuple[SubscriptionRecord, Sequence[CounterReading]]:
        """See `BillingReader.counters`. Two statements, one round trip."""
        async with self._database.pipeline(principal) as pipeline:
            subscription = await pipeline.queue(_SUBSCRIPTION, {"organization_id": principal.tenant})
            counters = await pipeline.queue(_COUNTERS, {"organization_id": principal.tenant, "at": at})
        record = _subscription(await subscription.one_or_none())
        return record, tuple(
            CounterReading(metric=Metric(row["metric"]), taken=row["taken"], reserved=row["reserved"]) for row in await counters.all()
        )

    async def usage_totals(self, principal: Principal, start: datetime, end: datetime) -> Sequence[UsageTotal]:
        """See `BillingReader.usage_totals`. What has no cost is added to the metric's first currency."""
        rows = await self._database.rows(principal, _TOTALS, {"organization_id": principal.tenant, "start": start, "end": end})
        totals: list[UsageTotal] = []
        free: dict[str, Row] = {row["metric"]: row for row in rows if row["currency"] is None}
        for row in rows:
            if row["currency"] is None and any(r["metric"] == row["metric"] and r["currency"] is not None for r in rows):
                continue
            beside = free.pop(row["metric"], row)
            extra = beside if beside is not row else {"quantity": 0, "estimated": False}
            totals.append(
                UsageTotal(
                    metric=Metric(row["metric"]),
                    quantity=row["quantity"] + extra["quantity"],
                    estimated=bool(row["estimated"] or extra["estimated"]),
                    cost_micro=row["cost_micro"],
                    currency=row["currency"],
                )
            )
        return tuple(totals)

    async def usage_events(self, principal: Principal, page: PageRequest) -> Page[UsageEvent]:
        """See `BillingReader.usage_events`."""
        before, before_id = _position(page.cursor)
        rows = await self._database.rows(
            principal,
            _EVENTS,
            {"organization_id": principal.tenant, "before": before, "before_id": before_id, "limit": page.limit + 1},
        )
        shown, more = rows[: page.limit], len(rows) > page.limit
        return Page(tuple(_event(row) for row in shown), _cursor(shown[-1]) if more else None)


class PostgresExpiredReservations:
    """Implements `ExpiredReservations`. Its database acts as `luneo_platform`, whose policy `sweeper` shows open reservations only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, at: datetime, *, limit: int) -> Sequence[OpenReservation]:
        """See `ExpiredReservations.due`."""
        rows = await self._database.rows(Principal.system(None), _DUE, {"at": at, "limit": limit})
        return tuple(OpenReservation(row["organization_id"], row["id"]) for row in rows)


def _subscription(row: Row | None) -> SubscriptionRecord:
    if row is None:
        raise NotFound("This organisation has no billing account")
    return SubscriptionRecord(
        plan=PlanSlug(row["plan"]),
        add_ons=row["add_ons"],
        status=SubscriptionStatus(row["status"]),
        anchor_day=row["anchor_day"],
        started_at=row["started_at"],
    )


def _event(row: Row) -> UsageEvent:
    return UsageEvent(**{**row, "metric": Metric(row["metric"])})


def _cursor(row: Row) -> str:
    return base64.urlsafe_b64encode(f"{row['occurred_at'].isoformat()}|{row['id']}".encode()).decode().rstrip("=")


def _position(cursor: str | None) -> tuple[datetime | str, UUID]:
    if cursor is None:
        return "infinity", _LAST_ID
    try:
        moment, _, event_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
        position = datetime.fromisoformat(moment), UUID(event_id)
    except (binascii.Error, ValueError):
        position = None
    if position is None or position[0].tzinfo is None:
        raise ForeignCursor
    return position
