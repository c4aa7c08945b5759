"""The fake keeps the contract of turns."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import pytest

from domains.conversational_ai.model.turn import AnsweringAgent
from shared_kernel.events import Event
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal
from tests.fakes.billing import (
    BillingStore,
    InMemoryBillingReader,
    InMemoryBillingTransactions,
    InMemoryExpiredReservations,
    InMemoryQuotaLedger,
    InMemoryUsageEvents,
    in_memory_unit,
)
from tests.fakes.turns import InMemoryTurnRunners, InMemoryTurns, KeptConversation
from tests.port_contracts.quotas import BillingWorld, MovableClock
from tests.port_contracts.turns import TurnsContract, TurnWorld, answering_agent


@dataclass
class InMemoryTurnWorld(TurnWorld):
    """Everything in dictionaries."""

    kept: InMemoryTurns

    @classmethod
    def make(cls) -> "InMemoryTurnWorld":
        """Return an empty world."""
        store = BillingStore()
        billing = BillingWorld(
            clock=MovableClock(),
            transactions=InMemoryBillingTransactions(store),
            ledger=InMemoryQuotaLedger(store),
            reader=InMemoryBillingReader(store),
            usage_events=InMemoryUsageEvents(store),
            expired=InMemoryExpiredReservations(store),
            unit=lambda principal: in_memory_unit(store, principal),
            account_unit=lambda principal: in_memory_unit(store, principal),
        )
        turns = InMemoryTurns(billing.quotas, billing.unit)
        runners = InMemoryTurnRunners(turns)
        return cls(turns=turns, runners=runners, abandoned=runners, billing=billing, kept=turns)

    async def conversation(
        self, caller: Principal, agent: AnsweringAgent | None = None, *, published: bool = True, language: str | None = None
    ) -> UUID:
        """Keep a conversation."""
        conversation_id = new_id()
        answering = (agent or answering_agent()) if published else None
        self.kept.conversations[conversation_id] = KeptConversation(caller.tenant, answering, language)
        return conversation_id

    async def published(self, turn_id: UUID) -> Sequence[Event]:
        """Return the turn's events."""
        return [e for e in self.kept.published if getattr(e, "turn_id", None) == turn_id]


@pytest.fixture
def world() -> TurnWorld:
    return InMemoryTurnWorld.make()


class TestTurnsInMemory(TurnsContract): ...
