"""Turns on Postgres, with the real quotas and the real outbox."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from adapters.postgres import schema
from adapters.postgres.billing.quota_ledger import PostgresQuotaLedger
from adapters.postgres.billing.readers import PostgresBillingReader, PostgresExpiredReservations
from adapters.postgres.billing.transactions import PostgresBillingTransactions
from adapters.postgres.billing.usage_events import PostgresUsageEvents
from adapters.postgres.conversational_ai.turns import PostgresAbandonedTurns, PostgresTurnRunners, PostgresTurns
from adapters.postgres.database import Database
from adapters.postgres.governance.appending import PostgresAuditTrail
from adapters.postgres.identity.standing import PostgresStanding
from adapters.postgres.messaging.outbox import Outbox, decode_event
from adapters.postgres.roles import DatabaseRole
from adapters.postgres.unit_of_work import Sessions, UnitsOfWork
from contracts.conversational_ai.events import TurnCompleted, TurnFailed, TurnStopped
from domains.conversational_ai.model.turn import AnsweringAgent
from domains.identity.use_cases.facade import ConfirmationsFacade
from shared_kernel.events import Event
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal
from tests.port_contracts.quotas import BillingWorld, MovableClock
from tests.port_contracts.turns import TurnWorld, answering_agent

assert schema.metadata.tables
_TYPES = {t.TYPE: t for t in (TurnCompleted, TurnFailed, TurnStopped)}


@dataclass
class PostgresTurnWorld(TurnWorld):
    """One database; `superuser_url` makes agents and conversations without the use cases around them."""

    superuser_url: str
    platform: Database

    async def run(self, statement: Any, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """Run one statement as the superuser."""
        async with await psycopg.AsyncConnection.connect(self.superuser_url, autocommit=True, row_factory=dict_row) as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def conversation(
        self, caller: Principal, agent: AnsweringAgent | None = None, *, published: bool = True, language: str | None = None
    ) -> UUID:
        """Write an agent, its version, what it knows, and a conversation."""
        agent, conversation_id = agent or answering_agent(), new_id()
        settings = {
            "languages": list(agent.languages),
            "instructions": agent.instructions,
            "custom_instructions": agent.custom_instructions,
            "tone": agent.tone,
            "fallback_message": agent.fallback,
            "model": agent.model,
            "fallback_models": list(agent.fallback_models),
            "temperature": agent.temperature,
            "top_p": agent.top_p,
            "frequency_penalty": agent.frequency_penalty,
            "presence_penalty": agent.presence_penalty,
            "max_tokens": agent.max_tokens,
            "context_window": agent.context_window,
            "retrieval_passages": agent.passages,
            "retrieval_cut_off": agent.cut_off,
        }
        place: dict[str, object] = {
            "organization": caller.tenant,
            "agent": agent.id,
            "slug": str(agent.id),
            "settings": json.dumps(settings),
            "now": self.billing.clock.now(),
            "status": "published" if published else "draft",
            "published": 1 if published else None,
            "conversation": conversation_id,
            "language": language,
        }
        await self.run(
            """
            insert into conversational_ai.agents (organization_id, id, name, slug, description, status, draft, latest_number,
                                                  published_number, unpublished_changes, created_at, updated_at, version)
            values (%(organization)s, %(agent)s, 'A', %(slug)s, '', %(status)s, %(settings)s, 1, %(published)s, false, %(now)s, %(now)s, 1)
            """,
            place,
        )
        if published:
            await self.run(
                """
                insert into conversational_ai.agent_versions (organization_id, agent_id, number, settings, published_at)
                values (%(organization)s, %(agent)s, 1, %(settings)s, %(now)s)
                """,
                place,
            )
        for position, base in enumerate(agent.knowledge_base_ids):
            await self.run(
                """
                insert into conversational_ai.knowledge_bases
                  (organization_id, id, name, description, language, created_at, updated_at, version)
                values (%(organization)s, %(base)s, 'K', '', 'en', %(now)s, %(now)s, 1)
                """,
                {**place, "base": base},
            )
            await self.run(
                """
                insert into conversational_ai.agent_knowledge_bases (organization_id, agent_id, knowledge_base_id, position)
                values (%(organization)s, %(agent)s, %(base)s, %(position)s)
                """,
                {**place, "base": base, "position": position},
            )
        await self.run(
            """
            insert into conversational_ai.conversations (organization_id, id, agent_id, channel, language, created_at, version)
            values (%(organization)s, %(conversation)s, %(agent)s, 'api', %(language)s, %(now)s, 1)
            """,
            place,
        )
        return conversation_id

    async def published(self, turn_id: UUID) -> Sequence[Event]:
        """Return the turn's events from the outbox."""
        rows = await self.run("select type, payload from messaging.events where aggregate_id = %(turn)s order by id", {"turn": turn_id})
        return [decode_event(row["payload"], _TYPES[row["type"]]) for row in rows]


@asynccontextmanager
async def postgres_turn_world(database_url: str, superuser_url: str) -> AsyncIterator[PostgresTurnWorld]:
    """Open a world on a migrated database."""
    database = Database(database_url, size=10)
    platform = Database(database_url, DatabaseRole.PLATFORM, size=2)
    sessions = Sessions(database_url)
    clock = MovableClock()
    outbox = Outbox({})
    units = UnitsOfWork(sessions, outbox, PostgresAuditTrail(), clock, lambda: None)
    await database.open()
    await platform.open()
    billing = BillingWorld(
        clock=clock,
        transactions=PostgresBillingTransactions(units),
        ledger=PostgresQuotaLedger(),
        reader=PostgresBillingReader(database),
        usage_events=PostgresUsageEvents(database, clock),
        expired=PostgresExpiredReservations(platform),
        unit=database.pipeline,
        account_unit=units.open,
    )
    try:
        yield PostgresTurnWorld(
            turns=PostgresTurns(database, ConfirmationsFacade(PostgresStanding(database, billing.quotas)), billing.quotas, outbox),
            runners=PostgresTurnRunners(database),
            abandoned=PostgresAbandonedTurns(platform),
            billing=billing,
            superuser_url=superuser_url,
            platform=platform,
        )
    finally:
        await sessions.close()
        await platform.close()
        await database.close()


@pytest.fixture
async def world(database_url: str, superuser_url: str) -> AsyncIterator[PostgresTurnWorld]:
    """A world on this module's database."""
    async with postgres_turn_world(database_url, superuser_url) as opened:
        yield opened
