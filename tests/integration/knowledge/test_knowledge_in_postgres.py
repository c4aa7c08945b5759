"""Postgres keeps what the suite says of agents and knowledge, and what only a database can."""

import asyncio

import pytest

from adapters.postgres.database import Database
from contracts.billing.errors import QuotaExceeded
from contracts.billing.metrics import Metric
from domains.conversational_ai.use_cases.attach_knowledge import AttachKnowledge
from domains.conversational_ai.use_cases.delete_knowledge_base import DeleteKnowledgeBase
from domains.conversational_ai.use_cases.delete_knowledge_source import DeleteKnowledgeSource
from domains.conversational_ai.use_cases.edit_agent import EditAgent
from shared_kernel.errors import Conflict, NotFound
from shared_kernel.principal import Principal
from tests.port_contracts.knowledge_contract import (
    AgentsContract,
    DocumentsContract,
    KnowledgeContract,
    KnowledgeHouse,
    LinksContract,
    ScanningContract,
    SweepContract,
    WebPagesContract,
)

TABLES = ("agents", "agent_versions", "knowledge_bases", "agent_knowledge_bases", "knowledge_sources", "source_contents", "passages")


class TestAgents(AgentsContract): ...


class TestKnowledge(KnowledgeContract): ...


class TestDocuments(DocumentsContract): ...


class TestWebPages(WebPagesContract): ...


class TestLinks(LinksContract): ...


class TestSweep(SweepContract): ...


class TestScanning(ScanningContract): ...


async def rows_of(database: Database, principal: Principal) -> dict[str, int]:
    async with database.pipeline(principal) as pipeline:
        counted = {t: await pipeline.queue(f"select count(*) as count from conversational_ai.{t}") for t in TABLES}  # noqa: S608
    return {t: (await pending.one())["count"] for t, pending in counted.items()}


async def test_twenty_agents_at_once_on_a_plan_of_five(house: KnowledgeHouse) -> None:
    principal = await house.open_account("pro")
    made = await asyncio.gather(*(house.agent(principal, f"Agent {i}") for i in range(20)), return_exceptions=True)
    assert sum(not isinstance(m, BaseException) for m in made) == 5
    assert {type(m) for m in made if isinstance(m, BaseException)} == {QuotaExceeded}
    assert await house.used(principal, Metric.AGENTS) == 5


async def test_of_two_edits_at_once_one_is_told_of_the_conflict(house: KnowledgeHouse) -> None:
    principal = await house.open_account("pro")
    agent = await house.agent(principal)
    outcomes = await asyncio.gather(
        *(house.edit_agent(EditAgent(agent_id=agent.id, name=f"Name {i}", requested_by=principal)) for i in range(2)),
        return_exceptions=True,
    )
    failed = [o for o in outcomes if isinstance(o, BaseException)]
    assert all(isinstance(o, Conflict) for o in failed)
    assert (await house.agents.agent(principal, agent.id)).version == 1 + len(outcomes) - len(failed)


async def test_a_base_is_not_attached_or_filled_while_it_is_deleted(house: KnowledgeHouse) -> None:
    principal = await house.open_account("pro")
    agent, base = await house.agent(principal), await house.base(principal)
    outcomes = await asyncio.gather(
        house.delete_base(DeleteKnowledgeBase(knowledge_base_id=base.id, requested_by=principal)),
        house.attach(AttachKnowledge(agent_id=agent.id, knowledge_base_ids=(base.id,), requested_by=principal)),
        *(house.source(principal, base.id) for _ in range(3)),
        return_exceptions=True,
    )
    assert outcomes[0] is None
    assert {type(o) for o in outcomes[1:] if isinstance(o, BaseException)} <= {NotFound}
    assert (await house.agents.agent(principal, agent.id)).knowledge_base_ids == ()
    assert await house.used(principal, Metric.DOCUMENTS) == 0
    assert await house.used(principal, Metric.STORAGE_GB) == 0


async def test_a_tenant_sees_its_own_rows_alone_and_can_write_no_others(house: KnowledgeHouse, database: Database) -> None:
    principal, other = await house.open_account("pro"), await house.open_account("pro")
    agent, base = await house.agent(principal), await house.base(principal)
    await house.attach(AttachKnowledge(agent_id=agent.id, knowledge_base_ids=(base.id,), requested_by=principal))
    await house.source(principal, base.id)
    await house.work(principal)
    assert set((await rows_of(database, other)).values()) == {0}
    assert set((await rows_of(database, Principal.system(None))).values()) == {0}
    mine = await house.agent(other)
    with pytest.raises(NotFound):  # the composite foreign key, whatever the code above it does
        await database.rows(
            other,
            "insert into conversational_ai.agent_knowledge_bases (organization_id, agent_id, knowledge_base_id, position)"
            " values (%s, %s, %s, 0)",
            (other.tenant, mine.id, base.id),
        )


async def test_deleting_really_deletes(house: KnowledgeHouse, database: Database) -> None:
    principal = await house.open_account("pro")
    base = await house.base(principal)
    source = await house.source(principal, base.id)
    await house.source(principal, base.id)
    await house.work(principal)
    await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=source.id, requested_by=principal))
    await house.work(principal)
    left = await rows_of(database, principal)
    assert (left["knowledge_sources"], left["source_contents"], left["passages"]) == (1, 1, 2)
    await house.delete_base(DeleteKnowledgeBase(knowledge_base_id=base.id, requested_by=principal))
    await house.work(principal)
    left = await rows_of(database, principal)
    assert (left["knowledge_bases"], left["knowledge_sources"], left["source_contents"], left["passages"]) == (0, 0, 0, 0)
