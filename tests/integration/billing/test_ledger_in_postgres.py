"""Postgres keeps the ledger's contract, in pipelines and in units of work."""

import pytest

from tests.integration.billing.conftest import Postgres
from tests.port_contracts.quotas import BillingWorld, CapacitiesContract, QuotasContract, SubscriptionsContract, UsageContract


@pytest.fixture(params=["pipeline", "unit_of_work"])
def world(postgres: Postgres, request: pytest.FixtureRequest) -> BillingWorld:
    return postgres.world(pipelined=request.param == "pipeline")


class TestQuotas(QuotasContract): ...


class TestCapacities(CapacitiesContract): ...


class TestSubscriptions(SubscriptionsContract): ...


class TestUsage(UsageContract): ...
