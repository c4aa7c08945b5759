"""Billing on Postgres."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from adapters.postgres.billing.quota_ledger import PostgresQuotaLedger
from adapters.postgres.billing.readers import PostgresBillingReader, PostgresExpiredReservations
from adapters.postgres.billing.transactions import PostgresBillingTransactions
from adapters.postgres.billing.usage_events import PostgresUsageEvents
from adapters.postgres.database import Database
from adapters.postgres.messaging.outbox import Outbox
from adapters.postgres.roles import DatabaseRole
from adapters.postgres.unit_of_work import Sessions, UnitsOfWork
from contracts.governance.commands import AuditedChange
from shared_kernel.unit_of_work import UnitOfWork
from tests.port_contracts.quotas import BillingWorld, MovableClock


@dataclass
class InMemoryAuditTrail:
    changes: list[AuditedChange] = field(default_factory=list)

    async def append(self, unit: UnitOfWork, changes: Sequence[AuditedChange]) -> None:  # noqa: ARG002
        self.changes.extend(changes)


@dataclass
class Postgres:
    """Everything of billing that talks to one database."""

    database: Database
    platform: Database
    units: UnitsOfWork
    audit_trail: InMemoryAuditTrail
    clock: MovableClock

    def world(self, *, pipelined: bool) -> BillingWorld:
        transactions = PostgresBillingTransactions(self.units)
        return BillingWorld(
            clock=self.clock,
            transactions=transactions,
            ledger=PostgresQuotaLedger(),
            reader=PostgresBillingReader(self.database),
            usage_events=PostgresUsageEvents(self.database, self.clock),
            expired=PostgresExpiredReservations(self.platform),
            unit=self.database.pipeline if pipelined else self.units.open,
            account_unit=self.units.open,
        )


@pytest.fixture
async def postgres(database_url: str) -> AsyncIterator[Postgres]:
    database = Database(database_url, size=10)
    platform = Database(database_url, DatabaseRole.PLATFORM, size=1)
    sessions = Sessions(database_url)
    clock = MovableClock()
    trail = InMemoryAuditTrail()
    await database.open()
    await platform.open()
    yield Postgres(database, platform, UnitsOfWork(sessions, Outbox({}), trail, clock, lambda: None), trail, clock)
    await sessions.close()
    await platform.close()
    await database.close()
