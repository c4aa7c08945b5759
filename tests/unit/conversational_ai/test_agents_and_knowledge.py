"""Agents and knowledge on our own fakes."""

import pytest

from contracts.billing.metrics import Metric
from domains.billing.use_cases.facade import BillingAccountsFacade, EntitlementsFacade, QuotasFacade
from domains.billing.use_cases.open_periods import OpenPeriodsHandler
from domains.conversational_ai.model.knowledge_source import Pair, QuestionsContent
from shared_kernel.clock import SystemClock
from shared_kernel.errors import InvalidInput
from shared_kernel.events import Delivery, Event
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal
from tests.fakes.billing import BillingStore, InMemoryBillingReader, InMemoryBillingTransactions, InMemoryQuotaLedger, in_memory_unit
from tests.fakes.knowledge import (
    InMemoryAgentReading,
    InMemoryAgentsAndKnowledgeTransactions,
    InMemoryKnowledgeReading,
    InMemoryNamedUploads,
    InMemoryOutdatedSources,
    KnowledgeStore,
)
from tests.fakes.passage_index import InMemoryPassageIndex
from tests.port_contracts.knowledge_contract import (
    CONSUMERS,
    AgentsContract,
    DocumentsContract,
    KnowledgeContract,
    KnowledgeHouse,
    LinksContract,
    MovableClock,
    ScanningContract,
    SweepContract,
    WebPagesContract,
)


@pytest.fixture
def house() -> KnowledgeHouse:
    billing, store = BillingStore(), KnowledgeStore()
    accounts = InMemoryBillingTransactions(billing)

    async def open_account(plan: str) -> Principal:
        principal = Principal.system(new_id())
        async with in_memory_unit(billing, principal) as unit:
            await BillingAccountsFacade(accounts).open(unit, organization_id=principal.tenant, plan=plan, at=MovableClock().now())
        return principal

    async def used(principal: Principal, metric: Metric) -> int:
        return next(c.taken for (owner, counted, _), c in billing.counters.items() if (owner, counted) == (principal.tenant, metric))

    async def due(principal: Principal) -> list[tuple[Delivery, Event]]:
        return [d for d in store.due.values() if d[0].organization_id == principal.tenant]

    async def events(_: Principal) -> list[str]:
        return [e.TYPE for e in store.published]

    async def notes(_: Principal) -> list[str]:
        return [n.action for n in store.noted]

    return KnowledgeHouse(
        transactions=InMemoryAgentsAndKnowledgeTransactions(store, billing, CONSUMERS),
        quotas=QuotasFacade(InMemoryQuotaLedger(billing), OpenPeriodsHandler(accounts, SystemClock())),
        entitlements=EntitlementsFacade(InMemoryBillingReader(billing)),
        agents=InMemoryAgentReading(store),
        knowledge=InMemoryKnowledgeReading(store),
        outdated=InMemoryOutdatedSources(store),
        uploads=InMemoryNamedUploads(store),
        index=InMemoryPassageIndex(),
        open_account=open_account,
        used=used,
        due=due,
        events=events,
        notes=notes,
    )


class TestAgents(AgentsContract): ...


class TestKnowledge(KnowledgeContract): ...


class TestDocuments(DocumentsContract): ...


class TestWebPages(WebPagesContract): ...


class TestLinks(LinksContract): ...


class TestSweep(SweepContract): ...


class TestScanning(ScanningContract): ...


def test_all_pairs_of_one_source_together_have_a_limit() -> None:
    pair = Pair("question", "a" * 9_000)
    with pytest.raises(InvalidInput, match="pairs: must hold at most 400000 characters together"):
        QuestionsContent(tuple(pair for _ in range(45)))
    QuestionsContent(tuple(pair for _ in range(44)))
