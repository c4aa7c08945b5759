"""Billing's commands."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg.types.numeric import Int8
from sqlalchemy import select

from adapters.postgres.billing.tables import subscriptions
from adapters.postgres.refusals import register
from adapters.postgres.unit_of_work import PostgresTransaction, UnitOfWorkScope
from contracts.billing.metrics import PERIODIC
from domains.billing.model.catalogue import COUNTED, Allowances
from domains.billing.model.period import BillingPeriod
from domains.billing.model.subscription import Subscription
from shared_kernel.errors import Conflict
from shared_kernel.unit_of_work import UnitOfWork

_OPEN: LiteralString = """
insert into billing.quota_counters (organization_id, metric, period_start, period_end, limit_value, ceiling)
select %(organization_id)s, a.metric, case when a.periodic then %(start)s else '-infinity'::timestamptz end,
       case when a.periodic then %(end)s else 'infinity'::timestamptz end, a.limit_value, a.ceiling
  from unnest(%(metrics)s::text[], %(periodic)s::boolean[], %(limits)s::bigint[], %(ceilings)s::bigint[])
    as a (metric, periodic, limit_value, ceiling)
on conflict (organization_id, metric, period_start) do nothing
"""

_APPLY: LiteralString = """
with locked as materialized (
  select c.metric, c.period_start, a.limit_value, a.ceiling
    from billing.quota_counters c
    join unnest(%(metrics)s::text[], %(limits)s::bigint[], %(ceilings)s::bigint[]) as a (metric, limit_value, ceiling)
      on a.metric = c.metric
   where c.organization_id = %(organization_id)s and c.period_end > %(at)s
   order by c.metric
     for update of c
)
update billing.quota_counters c set limit_value = l.limit_value, ceiling = l.ceiling
  from locked l
 where c.organization_id = %(organization_id)s and c.metric = l.metric and c.period_start = l.period_start
"""

register("uq_subscriptions_organization_id", lambda _: Conflict("This organisation has a subscription already"))


class PostgresSubscriptions:
    """Implements `Subscriptions`."""

    def __init__(self, scope: UnitOfWorkScope) -> None:
        self._scope = scope

    def add(self, subscription: Subscription) -> None:
        """See `Subscriptions.add`."""
        self._scope.add(subscription)

    async def of(self, organization_id: UUID) -> Subscription:
        """See `Subscriptions.of`."""
        statement = select(Subscription).where(subscriptions.c.organization_id == organization_id).with_for_update()
        return await self._scope.get(statement, "This organisation has no billing account")


class PostgresQuotaCounters:
    """Implements `QuotaCounters`."""

    def __init__(self, scope: UnitOfWorkScope) -> None:
        self._scope = scope

    async def open(self, organization_id: UUID, allowances: Allowances, period: BillingPeriod) -> None:
        """See `QuotaCounters.open`. One statement."""
        await self._scope.execute(
            _OPEN,
            {
                "organization_id": organization_id,
                "start": period.start,
                "end": period.end,
                "periodic": [metric in PERIODIC for metric in COUNTED],
                **_bounds(allowances),
            },
        )

    async def apply(self, organization_id: UUID, allowances: Allowances, at: datetime) -> None:
        """See `QuotaCounters.apply`. One statement."""
        await self._scope.execute(_APPLY, {"organization_id": organization_id, "at": at, **_bounds(allowances)})


@dataclass(slots=True)
class PostgresBillingTransaction:
    """Implements `BillingTransaction`."""

    unit: UnitOfWork
    subscriptions: PostgresSubscriptions
    counters: PostgresQuotaCounters


class PostgresBillingTransactions(PostgresTransaction[PostgresBillingTransaction]):
    """Implements `BillingTransactions`."""

    def view(self, scope: UnitOfWorkScope) -> PostgresBillingTransaction:
        """Return billing's view of `scope`."""
        return PostgresBillingTransaction(scope, PostgresSubscriptions(scope), PostgresQuotaCounters(scope))

    def joining(self, unit: UnitOfWork) -> PostgresBillingTransaction:
        """See `BillingTransactions.joining`."""
        if not isinstance(unit, UnitOfWorkScope):
            raise TypeError("a subscription is saved in a unit of work, not in a pipeline")
        return self.view(unit)


def _bounds(allowances: Allowances) -> dict[str, object]:
    def int8(value: int | None) -> Int8 | None:
        return None if value is None else Int8(value)

    return {
        "metrics": [metric.value for metric in COUNTED],
        "limits": [int8(allowances[metric].limit) for metric in COUNTED],
        "ceilings": [int8(allowances[metric].ceiling) for metric in COUNTED],
    }
