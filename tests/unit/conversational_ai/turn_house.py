"""Everything of a turn on our fakes, for the unit tests of the turn."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from adapters.json_schema.answer_schemas import JsonSchemaAnswerSchemas
from domains.conversational_ai.model.turn import AnsweringAgent, TurnRecord
from domains.conversational_ai.ports.generative_model import GenerativeModel
from domains.conversational_ai.ports.retrieval import Retrieval
from domains.conversational_ai.ports.turn_event_log import LoggedEvent
from domains.conversational_ai.ports.turns import Turns
from domains.conversational_ai.use_cases.agent_rate import AgentRate
from domains.conversational_ai.use_cases.ask_question import AskedTurn, AskQuestion, AskQuestionHandler
from domains.conversational_ai.use_cases.fail_abandoned_turns import FailAbandonedTurnsHandler
from domains.conversational_ai.use_cases.follow_turn import FollowTurnHandler
from domains.conversational_ai.use_cases.orchestrator import Orchestrator
from domains.conversational_ai.use_cases.regenerate_answer import RegenerateAnswerHandler
from domains.conversational_ai.use_cases.running_turns import RunningTurns
from domains.conversational_ai.use_cases.stop_turn import StopTurnHandler
from shared_kernel.principal import Principal
from tests.fakes.generative_model import ScriptedModel, Step
from tests.fakes.rate_limits import InMemoryRateLimits
from tests.fakes.turn_event_log import InMemoryTurnEventLog
from tests.fakes.turn_stop_signals import InMemoryTurnStopSignals
from tests.fakes.turns import (
    InMemoryConversationAgents,
    InMemoryRetrieval,
    InMemoryTurnRunners,
    InMemoryTurns,
    LossyTurns,
    RememberedTurns,
    WordTokenizer,
)
from tests.port_contracts.quotas import MovableClock
from tests.port_contracts.test_turns_in_memory import InMemoryTurnWorld
from tests.port_contracts.turns import answering_agent, request_key

SOON = 5.0
LIMIT, GRACE = timedelta(seconds=120), timedelta(seconds=30)


@dataclass
class Replica:
    """One process that runs turns."""

    ask: AskQuestionHandler
    follow: FollowTurnHandler
    stop: StopTurnHandler
    running: RunningTurns
    orchestrator: Orchestrator
    regenerate: RegenerateAnswerHandler


async def at_once(_: float) -> None:
    """Repeat at once what a dead database did not take."""
    await asyncio.sleep(0)


@dataclass
class TurnHouse:
    """A world with one caller, one conversation, and any number of replicas over them."""

    world: InMemoryTurnWorld
    caller: Principal
    conversation_id: UUID
    model: ScriptedModel
    retrieval: InMemoryRetrieval
    turns: LossyTurns
    log: InMemoryTurnEventLog = field(default_factory=InMemoryTurnEventLog)
    signals: InMemoryTurnStopSignals = field(default_factory=InMemoryTurnStopSignals)
    rate_limits: InMemoryRateLimits = field(default_factory=InMemoryRateLimits)
    observer: RememberedTurns = field(default_factory=RememberedTurns)
    turn_seconds: float = 120.0
    pause: Callable[[float], Awaitable[object]] = at_once

    @classmethod
    async def make(
        cls,
        *scripts: Sequence[Step],
        agent: AnsweringAgent | None = None,
        sandbox: bool = False,
        language: str | None = None,
        plan: str = "pro",
    ) -> "TurnHouse":
        """Return a house whose model plays `scripts`."""
        world = InMemoryTurnWorld.make()
        caller = await world.caller(plan, sandbox=sandbox)
        conversation_id = await world.conversation(caller, agent or answering_agent(), language=language)
        model = ScriptedModel(*scripts, models=("scripted", "local"))
        return cls(world, caller, conversation_id, model, InMemoryRetrieval(), LossyTurns(world.turns))

    @property
    def clock(self) -> MovableClock:
        """The clock of everything."""
        return self.world.billing.clock

    @property
    def kept(self) -> InMemoryTurns:
        """The store."""
        return self.world.kept

    def seconds(self) -> float:
        """The same clock for rate limits."""
        return self.rate_limits.seconds

    def replica(self, *, retrieval: Retrieval | None = None, model: GenerativeModel | None = None) -> Replica:
        """Return another process over the same stores, with a retrieval or a model of its own if given."""
        turns: Turns = self.turns
        orchestrator = Orchestrator(
            turns,
            retrieval or self.retrieval,
            model or self.model,
            WordTokenizer(),
            JsonSchemaAnswerSchemas(),
            self.observer,
            self.clock,
            self.turn_seconds,
            self.pause,
        )
        running = RunningTurns(orchestrator, self.log, self.signals)
        follow = FollowTurnHandler(turns, self.log, running)
        rate = AgentRate(InMemoryConversationAgents(self.kept), self.world.billing.entitlements, self.rate_limits, now=self.seconds)
        ask = AskQuestionHandler(turns, running, self.world.billing.quotas, follow, self.clock, rate, turn_limit=LIMIT, grace=GRACE)
        return Replica(
            ask, follow, StopTurnHandler(turns, running, self.signals), running, orchestrator, RegenerateAnswerHandler(turns, ask)
        )

    def sweeper(self) -> FailAbandonedTurnsHandler:
        """Return what fails abandoned turns."""
        runners = self.world.runners
        assert isinstance(runners, InMemoryTurnRunners)
        return FailAbandonedTurnsHandler(runners, self.turns, self.clock, silence=timedelta(seconds=20))

    def message(self, content: str = "How much?", **said: Any) -> AskQuestion:
        """Return a message of the caller; an `idempotency_key` comes with a request that holds just this."""
        key = said.pop("idempotency_key", None)
        if key is not None:
            said["idempotency_key"] = request_key(key, f"{said} {content}")
        return AskQuestion(
            conversation_id=said.pop("conversation_id", self.conversation_id),
            content=content,
            requested_by=said.pop("requested_by", self.caller),
            **said,
        )

    async def record(self, turn_id: UUID) -> TurnRecord:
        """Return the stored turn."""
        return await self.world.turns.get(self.caller, turn_id)

    async def books(self) -> tuple[int, int]:
        """How many messages are used and reserved."""
        return await self.world.books(self.caller)


async def told(events: AsyncIterator[tuple[LoggedEvent, ...]]) -> list[LoggedEvent]:
    """Return every event until the stream ends."""

    async def read() -> list[LoggedEvent]:
        return [event async for batch in events for event in batch]

    return await asyncio.wait_for(read(), SOON)


async def answered(asked: AskedTurn) -> list[LoggedEvent]:
    """Return a turn's events until its end."""
    return await told(asked.events)


def names(events: Iterable[LoggedEvent]) -> list[str]:
    """The events' names."""
    return [event.name for event in events]


def said(events: Iterable[LoggedEvent]) -> str:
    """The streamed text."""
    return "".join(fields(event)["text"] for event in events if event.name == "answer.delta")


def fields(event: LoggedEvent) -> dict[str, Any]:
    """The event's data."""
    values: dict[str, Any] = json.loads(event.data)
    return values
