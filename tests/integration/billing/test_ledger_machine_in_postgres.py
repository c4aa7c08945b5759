"""The stateful property of the ledger, played on Postgres."""

from collections.abc import AsyncIterator

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from adapters.postgres.database import Database
from adapters.postgres.messaging.outbox import Outbox
from adapters.postgres.roles import DatabaseRole
from adapters.postgres.unit_of_work import Sessions, UnitsOfWork
from tests.integration.billing.books import disagreements
from tests.integration.billing.conftest import InMemoryAuditTrail, Postgres
from tests.port_contracts.quotas import BillingWorld, MovableClock
from tests.properties.test_quota_ledger import QuotaLedgerMachine


def test_the_ledger_keeps_its_books_whatever_happens(database_url: str, superuser_url: str) -> None:
    class OnPostgres(QuotaLedgerMachine):
        def new_world(self) -> BillingWorld:
            self.source = self.connections()

            async def begin() -> Postgres:
                return await anext(self.source)

            return self.run(begin()).world(pipelined=True)

        async def connections(self) -> AsyncIterator[Postgres]:
            database, platform = Database(database_url, size=2), Database(database_url, DatabaseRole.PLATFORM, size=1)
            sessions, clock, trail = Sessions(database_url, size=1), MovableClock(), InMemoryAuditTrail()
            await database.open()
            await platform.open()
            yield Postgres(database, platform, UnitsOfWork(sessions, Outbox({}), trail, clock, lambda: None), trail, clock)
            await sessions.close()
            await platform.close()
            await database.close()

        def teardown(self) -> None:
            self.run(self.close())
            super().teardown()

        async def close(self) -> None:
            async for _ in self.source:
                raise AssertionError("yields once")

    run_state_machine_as_test(
        OnPostgres,
        settings=settings(max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)),
    )
    assert disagreements(superuser_url) == []
