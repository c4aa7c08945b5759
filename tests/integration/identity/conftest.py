"""Identity on Postgres, with the real billing, audit trail and outbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from adapters.postgres.billing.quota_ledger import PostgresQuotaLedger
from adapters.postgres.billing.readers import PostgresBillingReader
from adapters.postgres.billing.transactions import PostgresBillingTransactions
from adapters.postgres.database import Database
from adapters.postgres.governance.appending import PostgresAuditTrail
from adapters.postgres.identity.readers import PostgresDirectory, PostgresIdentityReading
from adapters.postgres.identity.standing import PostgresStanding
from adapters.postgres.identity.transactions import PostgresIdentityTransactions
from adapters.postgres.messaging.outbox import Outbox, Subscriber
from adapters.postgres.unit_of_work import Sessions, UnitsOfWork
from contracts.identity.events import SignUpRequested
from domains.billing.use_cases.facade import BillingAccountsFacade, EntitlementsFacade, QuotasFacade
from domains.billing.use_cases.open_periods import OpenPeriodsHandler
from shared_kernel.events import Delivery
from tests.port_contracts.identity_contract import IdentityHouse, MovableClock

CONSUMER = "identity.send_sign_up_mail"
EMPTY = """
do $$ declare tables text; begin
  select string_agg(format('%I.%I', schemaname, tablename), ', ') into tables from pg_tables
   where schemaname in ('identity', 'billing', 'governance', 'messaging');
  execute 'truncate ' || tables || ' cascade';
end $$
"""


class Superuser:
    """Looks at, and changes, what no tenant may."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def run(self, statement: Any, parameters: Any = None) -> list[dict[str, Any]]:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True, row_factory=dict_row) as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def postgres_house(database_url: str, superuser: Superuser) -> AsyncIterator[IdentityHouse]:
    """Return a house over an emptied database."""
    await superuser.run(EMPTY)
    clock = MovableClock()
    database = Database(database_url, size=10)
    sessions = Sessions(database_url, size=10)
    outbox = Outbox({SignUpRequested.TYPE: [Subscriber(CONSUMER)]})
    units = UnitsOfWork(sessions, outbox, PostgresAuditTrail(), clock, lambda: None)
    billing, reader = PostgresBillingTransactions(units), PostgresBillingReader(database)
    quotas = QuotasFacade(PostgresQuotaLedger(), OpenPeriodsHandler(billing, clock))

    async def sign_up_deliveries() -> list[Delivery]:
        rows = await superuser.run(
            """
            select d.id, e.aggregate_id from messaging.deliveries d join messaging.events e on e.id = d.event_id
             where d.consumer = %s and d.organization_id is null order by d.id
            """,
            (CONSUMER,),
        )
        return [
            # the contract takes the sign-up's id from here
            Delivery(id=row["id"], event_id=row["aggregate_id"], organization_id=None, consumer=CONSUMER, attempt=1)
            for row in rows
        ]

    async def suspend(organization_id: UUID) -> None:
        await superuser.run("update identity.organizations set status = 'suspended' where id = %s", (organization_id,))

    async def seats_taken(organization_id: UUID) -> int:
        rows = await superuser.run(
            "select taken from billing.quota_counters where organization_id = %s and metric = 'team_members'", (organization_id,)
        )
        return int(rows[0]["taken"])

    async def audited(organization_id: UUID) -> list[str]:
        rows = await superuser.run("select action from governance.audit_entries where organization_id = %s", (organization_id,))
        return [row["action"] for row in rows if not row["action"].startswith("subscription.")]

    await database.open()
    try:
        yield IdentityHouse(
            transactions=PostgresIdentityTransactions(units),
            directory=PostgresDirectory(database),
            standing=PostgresStanding(database, quotas),
            reading=PostgresIdentityReading(database),
            quotas=quotas,
            accounts=BillingAccountsFacade(billing),
            entitlements=EntitlementsFacade(reader),
            clock=clock,
            sign_up_deliveries=sign_up_deliveries,
            suspend=suspend,
            seats_taken=seats_taken,
            audited=audited,
        )
    finally:
        await sessions.close()
        await database.close()
