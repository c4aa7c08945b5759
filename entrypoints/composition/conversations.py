"""Conversations and turns."""

from collections.abc import AsyncIterator
from datetime import timedelta

from dishka import Provider, Scope, provide

from adapters.postgres.conversational_ai.conversation_agents import PostgresConversationAgents
from adapters.postgres.conversational_ai.conversations import PostgresConversationReading, PostgresConversationTransactions
from adapters.postgres.conversational_ai.turns import PostgresAbandonedTurns, PostgresTurnRunners, PostgresTurns
from adapters.postgres.database import Database
from adapters.postgres.messaging.outbox import Outbox
from adapters.postgres.unit_of_work import UnitsOfWork
from adapters.redis_store.connection import RedisConnection
from adapters.redis_store.turn_event_log import RedisTurnEventLog
from adapters.redis_store.turn_stop_signals import RedisTurnStopSignals
from adapters.redis_store.write_behind_turn_log import WriteBehindTurnLog
from contracts.billing.commands import Quotas
from contracts.billing.queries import Entitlements
from contracts.identity.commands import Confirmations
from contracts.rate_limits import RateLimits
from domains.conversational_ai.ports.answer_schemas import AnswerSchemas
from domains.conversational_ai.ports.conversations import ConversationReading, ConversationTransactions
from domains.conversational_ai.ports.generative_model import GenerativeModel
from domains.conversational_ai.ports.retrieval import Retrieval
from domains.conversational_ai.ports.tokenizer import Tokenizer
from domains.conversational_ai.ports.turn_event_log import TurnEventLog, TurnEventSink
from domains.conversational_ai.ports.turn_observer import TurnObserver
from domains.conversational_ai.ports.turn_stop_signals import TurnStopSignals
from domains.conversational_ai.ports.turns import AbandonedTurns, TurnRunners, Turns
from domains.conversational_ai.use_cases.agent_rate import AgentRate
from domains.conversational_ai.use_cases.ask_question import AskQuestionHandler
from domains.conversational_ai.use_cases.fail_abandoned_turns import FailAbandonedTurnsHandler
from domains.conversational_ai.use_cases.follow_turn import FollowTurnHandler
from domains.conversational_ai.use_cases.orchestrator import Orchestrator
from domains.conversational_ai.use_cases.regenerate_answer import RegenerateAnswerHandler
from domains.conversational_ai.use_cases.running_turns import RunningTurns
from domains.conversational_ai.use_cases.select_branch import SelectBranchHandler
from domains.conversational_ai.use_cases.start_conversation import StartConversationHandler
from domains.conversational_ai.use_cases.stop_turn import StopTurnHandler
from entrypoints.composition.foundation import PlatformDatabase
from entrypoints.observability.metrics import Metrics
from entrypoints.observability.turns import ObservedTurns
from entrypoints.settings import Settings
from shared_kernel.clock import Clock


class ConversationsProvider(Provider):
    """The main path."""

    scope = Scope.APP
    start_conversation = provide(StartConversationHandler)
    select_branch = provide(SelectBranchHandler)
    follow_turn = provide(FollowTurnHandler)
    stop_turn = provide(StopTurnHandler)
    regenerate = provide(RegenerateAnswerHandler)

    @provide
    def transactions(self, units: UnitsOfWork) -> ConversationTransactions:
        """Units of work that see conversations."""
        return PostgresConversationTransactions(units)

    @provide
    def reading(self, database: Database) -> ConversationReading:
        """Readers."""
        return PostgresConversationReading(database)

    @provide
    def turns(self, database: Database, confirmations: Confirmations, quotas: Quotas, outbox: Outbox) -> Turns:
        """The store of turns."""
        return PostgresTurns(database, confirmations, quotas, outbox)

    @provide
    def abandoned(self, platform: PlatformDatabase) -> AbandonedTurns:
        """Turns nobody runs."""
        return PostgresAbandonedTurns(platform)

    @provide
    def runners(self, database: Database) -> TurnRunners:
        """Heartbeats of the processes that run turns."""
        return PostgresTurnRunners(database)

    @provide
    def log(self, redis: RedisConnection) -> RedisTurnEventLog:
        """The log that replicas share."""
        return RedisTurnEventLog(redis)

    @provide
    def shared_log(self, log: RedisTurnEventLog) -> TurnEventLog:
        """The log as its readers see it."""
        return log

    @provide
    async def sink(self, log: RedisTurnEventLog, metrics: Metrics) -> AsyncIterator[TurnEventSink]:
        """The log as running turns see it."""
        sink = WriteBehindTurnLog(log, on_dropped=metrics.turn_events_dropped)
        yield sink
        await sink.aclose()

    @provide
    def signals(self, redis: RedisConnection) -> TurnStopSignals:
        """Stops across replicas."""
        return RedisTurnStopSignals(redis)

    @provide
    def observer(self, metrics: Metrics) -> TurnObserver:
        """Metrics, traces, logs."""
        return ObservedTurns(metrics)

    @provide
    def orchestrator(  # noqa: PLR0917 - dishka passes them by type
        self,
        settings: Settings,
        turns: Turns,
        retrieval: Retrieval,
        model: GenerativeModel,
        tokenizer: Tokenizer,
        schemas: AnswerSchemas,
        observer: TurnObserver,
        clock: Clock,
    ) -> Orchestrator:
        """The one holder of the generative model."""
        return Orchestrator(turns, retrieval, model, tokenizer, schemas, observer, clock, settings.turn_seconds)

    @provide
    def running(self, orchestrator: Orchestrator, sink: TurnEventSink, signals: TurnStopSignals) -> RunningTurns:
        """This process's turns."""
        return RunningTurns(orchestrator, sink, signals)

    @provide
    def agent_rate(  # noqa: PLR0917 - dishka passes them by type
        self,
        settings: Settings,
        database: Database,
        confirmations: Confirmations,
        entitlements: Entitlements,
        limits: RateLimits,
        metrics: Metrics,
    ) -> AgentRate:
        """The plan's turns per agent and minute, raised in development."""
        agents = PostgresConversationAgents(database, confirmations)
        return AgentRate(agents, entitlements, limits, factor=settings.rate_limit_factor, on_refused=metrics.rate_limited)

    @provide
    def ask(  # noqa: PLR0917 - dishka passes them by type
        self,
        settings: Settings,
        turns: Turns,
        running: RunningTurns,
        quotas: Quotas,
        follow: FollowTurnHandler,
        clock: Clock,
        agent_rate: AgentRate,
    ) -> AskQuestionHandler:
        """The turn's beginning."""
        return AskQuestionHandler(
            turns,
            running,
            quotas,
            follow,
            clock,
            agent_rate,
            turn_limit=timedelta(seconds=settings.turn_seconds),
            grace=timedelta(seconds=settings.turn_reservation_grace_seconds),
        )

    @provide
    def fail_abandoned(self, settings: Settings, abandoned: AbandonedTurns, turns: Turns, clock: Clock) -> FailAbandonedTurnsHandler:
        """The sweeper."""
        return FailAbandonedTurnsHandler(abandoned, turns, clock, silence=timedelta(seconds=settings.runner_silence_seconds))
