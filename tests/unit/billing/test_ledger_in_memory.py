"""The fakes keep the ledger's contract."""

import pytest

from tests.fakes.billing import (
    BillingStore,
    InMemoryBillingReader,
    InMemoryBillingTransactions,
    InMemoryExpiredReservations,
    InMemoryQuotaLedger,
    InMemoryUsageEvents,
    in_memory_unit,
)
from tests.port_contracts.quotas import (
    BillingWorld,
    CapacitiesContract,
    MovableClock,
    QuotasContract,
    SubscriptionsContract,
    UsageContract,
)


def in_memory_world(store: BillingStore) -> BillingWorld:
    return BillingWorld(
        clock=MovableClock(),
        transactions=InMemoryBillingTransactions(store),
        ledger=InMemoryQuotaLedger(store),
        reader=InMemoryBillingReader(store),
        usage_events=InMemoryUsageEvents(store),
        expired=InMemoryExpiredReservations(store),
        unit=lambda principal: in_memory_unit(store, principal),
        account_unit=lambda principal: in_memory_unit(store, principal),
    )


@pytest.fixture
def world() -> BillingWorld:
    return in_memory_world(BillingStore())


class TestQuotas(QuotasContract): ...


class TestCapacities(CapacitiesContract): ...


class TestSubscriptions(SubscriptionsContract): ...


class TestUsage(UsageContract): ...
