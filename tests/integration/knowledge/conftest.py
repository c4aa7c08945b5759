"""Agents and knowledge on Postgres, with the real billing, audit trail and outbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.postgres.billing.quota_ledger import PostgresQuotaLedger
from adapters.postgres.billing.readers import PostgresBillingReader
from adapters.postgres.billing.transactions import PostgresBillingTransactions
from adapters.postgres.conversational_ai.readers import (
    PostgresAgentReading,
    PostgresKnowledgeReading,
    PostgresNamedUploads,
    PostgresOutdatedSources,
)
from adapters.postgres.conversational_ai.transactions import PostgresAgentsAndKnowledgeTransactions
from adapters.postgres.database import Database
from adapters.postgres.governance.appending import PostgresAuditTrail
from adapters.postgres.messaging.outbox import Outbox, Subscriber, decode_event
from adapters.postgres.roles import DatabaseRole
from adapters.postgres.unit_of_work import Sessions, UnitsOfWork
from contracts.billing.metrics import Metric
from domains.billing.use_cases.facade import BillingAccountsFacade, EntitlementsFacade, QuotasFacade
from domains.billing.use_cases.open_periods import OpenPeriodsHandler
from shared_kernel.clock import SystemClock
from shared_kernel.events import Delivery, Event
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal
from tests.fakes.passage_index import InMemoryPassageIndex
from tests.port_contracts.knowledge_contract import CONSUMERS, KnowledgeHouse, MovableClock

_DUE = """
select d.id, d.event_id, d.consumer, e.type, e.payload from messaging.deliveries d join messaging.events e on e.id = d.event_id
 where d.state = 'due' order by d.id
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, size=5)
    await database.open()
    yield database
    await database.close()


@asynccontextmanager
async def postgres_house(database_url: str, database: Database) -> AsyncIterator[tuple[KnowledgeHouse, UnitsOfWork]]:
    """The whole of it, and the units of work it stands on."""
    sessions = Sessions(database_url)
    platform = Database(database_url, DatabaseRole.PLATFORM, size=2)
    await platform.open()
    subscribers = {event.TYPE: (Subscriber(consumer, "indexing", ordered=True),) for event, consumer in CONSUMERS.items()}
    types = {event.TYPE: event for event in CONSUMERS}
    units = UnitsOfWork(sessions, Outbox(subscribers), PostgresAuditTrail(), SystemClock(), lambda: None)
    accounts = PostgresBillingTransactions(units)

    async def open_account(plan: str) -> Principal:
        principal = Principal.system(new_id())
        async with units.open(principal) as unit:
            await BillingAccountsFacade(accounts).open(unit, organization_id=principal.tenant, plan=plan, at=MovableClock().now())
        return principal

    async def used(principal: Principal, metric: Metric) -> int:
        row = await database.row(principal, "select taken from billing.quota_counters where metric = %s", (metric.value,))
        assert row is not None
        return int(row["taken"])

    async def due(principal: Principal) -> list[tuple[Delivery, Event]]:
        rows = await database.rows(principal, _DUE)
        return [
            (
                Delivery(
                    id=row["id"],
                    event_id=row["event_id"],
                    organization_id=principal.organization_id,
                    consumer=row["consumer"],
                    attempt=1,
                ),
                decode_event(row["payload"], types[row["type"]]),
            )
            for row in rows
        ]

    async def events(principal: Principal) -> list[str]:
        return [row["type"] for row in await database.rows(principal, "select type from messaging.events order by id")]

    async def notes(principal: Principal) -> list[str]:
        return [row["action"] for row in await database.rows(principal, "select action from governance.audit_entries")]

    house = KnowledgeHouse(
        transactions=PostgresAgentsAndKnowledgeTransactions(units),
        quotas=QuotasFacade(PostgresQuotaLedger(), OpenPeriodsHandler(accounts, SystemClock())),
        entitlements=EntitlementsFacade(PostgresBillingReader(database)),
        agents=PostgresAgentReading(database),
        knowledge=PostgresKnowledgeReading(database),
        outdated=PostgresOutdatedSources(platform),
        uploads=PostgresNamedUploads(database),
        index=InMemoryPassageIndex(),
        open_account=open_account,
        used=used,
        due=due,
        events=events,
        notes=notes,
    )
    yield house, units
    await platform.close()
    await sessions.close()


@pytest.fixture
async def house(database_url: str, database: Database) -> AsyncIterator[KnowledgeHouse]:
    async with postgres_house(database_url, database) as (house, _):
        yield house
