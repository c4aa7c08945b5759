"""What surrounds a turn, in memory: the store of turns with its books, retrieval, and who watches."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from contracts.billing.commands import Quotas, ReservationLine, UsageLine
from contracts.billing.metrics import Metric
from contracts.conversational_ai.events import TurnCompleted, TurnFailed, TurnStopped
from contracts.idempotency import LIFETIME_SECONDS, IdempotencyKeyReused, RequestKey
from domains.conversational_ai.model.citation import CitablePassage
from domains.conversational_ai.model.turn import (
    AgentNotPublished,
    AnsweringAgent,
    ConversationIsAhead,
    EarlierQuestion,
    NotInCurrentBranch,
    OpenedTurn,
    PastMessage,
    Question,
    TurnAlreadyAsked,
    TurnEnd,
    TurnInProgress,
    TurnNoLongerRunning,
    TurnRecord,
    TurnState,
)
from domains.conversational_ai.ports.turn_observer import GenerationEnded
from domains.conversational_ai.ports.turns import Turns
from shared_kernel.errors import NotFound, Unavailable
from shared_kernel.events import Event
from shared_kernel.money import Money
from shared_kernel.principal import Principal
from shared_kernel.unit_of_work import UnitOfWork

Unit = Callable[[Principal], AbstractAsyncContextManager[UnitOfWork]]
_MICROS_PER_MINOR = 10_000
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class KeptMessage:
    """A message, the turn that it belongs to, what it came after, and whether it is in the current branch."""

    id: UUID
    turn_id: UUID
    role: str
    content: str
    parent_id: UUID | None
    shown: bool = True


@dataclass
class KeptConversation:
    """A conversation with the agent that answers in it; `None` while the agent is not published."""

    organization_id: UUID
    agent: AnsweringAgent | None
    language: str | None = None
    messages: list[KeptMessage] = field(default_factory=list)

    def branch_before(self, message_id: UUID | None) -> tuple[list[KeptMessage], UUID | None]:
        """Return the current branch, up to the message if one is given, and what comes next's parent."""
        branch = [m for m in self.messages if m.shown]
        if message_id is None:
            return branch, branch[-1].id if branch else None
        earlier = next((m for m in self.messages if m.id == message_id and m.role == "user"), None)
        if earlier is None:
            raise NotFound
        if not earlier.shown:
            raise NotInCurrentBranch
        return [m for m in branch if m.id < earlier.id], earlier.parent_id


@dataclass
class KeptTurn:
    """A turn with who asked it."""

    question: Question
    record: TurnRecord


@dataclass(frozen=True)
class KeptKey:
    """What an idempotency key came with, and the turn that it stands for."""

    digest: bytes
    turn_id: UUID
    at: datetime


_Caller = tuple[UUID, UUID | None, str]


@dataclass
class InMemoryTurns:
    """Implements `Turns`: billing's own fakes keep the quota, `published` holds the events that left, `rounds` counts transactions."""

    quotas: Quotas
    unit: Unit
    conversations: dict[UUID, KeptConversation] = field(default_factory=dict)
    kept: dict[UUID, KeptTurn] = field(default_factory=dict)
    keys: dict[_Caller, KeptKey] = field(default_factory=dict)
    published: list[Event] = field(default_factory=list)
    rounds: int = 0

    async def open(self, question: Question) -> OpenedTurn:
        """Open a turn; see `Turns.open`."""
        self.rounds += 1
        caller = question.asked_by
        conversation = self._conversation(question)
        if conversation is None or conversation.organization_id != caller.tenant:
            raise NotFound
        if conversation.agent is None:
            raise AgentNotPublished
        here = [
            k
            for k in self.kept.values()
            if (k.question.asked_by.tenant, k.question.conversation_id) == (caller.tenant, question.conversation_id)
        ]
        if question.client_message_id is not None and any(k.question.client_message_id == question.client_message_id for k in here):
            raise TurnAlreadyAsked
        if question.idempotency_key is not None and self._key(caller, question.idempotency_key, question.asked_at) is not None:
            raise TurnAlreadyAsked
        if any(k.record.state is TurnState.RUNNING for k in here):
            raise TurnInProgress
        branch, parent_id = conversation.branch_before(question.branch_from)
        last = max((m.id for m in conversation.messages), default=None)
        if not question.asked_before and last is not None and last >= question.message_id:
            raise ConversationIsAhead(last)
        async with self.unit(caller) as unit:
            await self.quotas.reserve(
                unit,
                reservation_id=question.turn_id,
                cause="turn",
                lines=(ReservationLine(metric=Metric.MESSAGES_AI),)
                if question.one_off
                else (
                    ReservationLine(metric=Metric.MESSAGES_AI),
                    ReservationLine(metric=Metric.CONVERSATIONS, once_for=question.conversation_id),
                ),
                at=question.asked_at,
                expires_at=question.expires_at,
                within_plan=caller.sandbox,
            )
        history = tuple(PastMessage(m.role, m.content) for m in branch[-conversation.agent.context_window :])
        if not question.asked_before:
            shown = question.branch_from is None
            message = KeptMessage(question.message_id, question.turn_id, "user", question.content, parent_id, shown)
            conversation.messages.append(message)
        record = TurnRecord(
            id=question.turn_id,
            conversation_id=question.conversation_id,
            state=TurnState.RUNNING,
            question_digest=question.digest,
            answer=None,
            failure=None,
            steps={},
            last_sequence=0,
            started_at=question.asked_at,
            ended_at=None,
        )
        self.kept[question.turn_id] = KeptTurn(question, record)
        if question.idempotency_key is not None:
            await self.remember(caller, question.idempotency_key, question.turn_id, question.asked_at)
        return OpenedTurn(question=question, agent=conversation.agent, language=conversation.language, history=history)

    async def end(self, end: TurnEnd, principal: Principal) -> None:
        """End a turn; see `Turns.end`."""
        self.rounds += 1
        kept = self._kept(principal, end.turn_id)
        if kept is None or kept.record.state is not TurnState.RUNNING:
            raise TurnNoLongerRunning
        async with self.unit(principal) as unit:
            if end.answer is None:
                await self.quotas.release(unit, reservation_id=end.turn_id, at=end.ended_at)
            else:
                await self.quotas.settle(unit, reservation_id=end.turn_id, usage=_usage(end), at=end.ended_at)
        kept.record = replace(
            kept.record,
            state=end.state,
            answer=end.answer,
            failure=end.failure,
            steps=end.steps,
            last_sequence=end.last_sequence,
            ended_at=end.ended_at,
        )
        if end.may_be_asked_again:
            kept.question = replace(kept.question, client_message_id=None)
            self.keys = {name: key for name, key in self.keys.items() if key.turn_id != end.turn_id}
        if end.answer is not None and end.conversation_id in self.conversations:
            messages = self.conversations[end.conversation_id].messages
            for message in messages:
                if end.branch_from is not None and message.id >= end.branch_from:
                    message.shown = message.id == end.question_id
            messages.append(KeptMessage(end.answer.message_id, end.turn_id, "assistant", end.answer.content, end.question_id))
        self.published.append(_event(end))

    async def get(self, principal: Principal, turn_id: UUID) -> TurnRecord:
        """Return a turn."""
        self.rounds += 1
        kept = self._kept(principal, turn_id)
        if kept is None:
            raise NotFound
        return kept.record

    async def question(self, principal: Principal, turn_id: UUID) -> EarlierQuestion:
        """Return the question that a turn answers."""
        self.rounds += 1
        kept = self._kept(principal, turn_id)
        if kept is None:
            raise NotFound
        asked = kept.question
        return EarlierQuestion(conversation_id=asked.conversation_id, message_id=asked.message_id, content=asked.content)

    async def asked_under(self, principal: Principal, key: RequestKey, at: datetime) -> TurnRecord | None:
        """Return the turn that the key stands for."""
        self.rounds += 1
        known = self._key(principal, key, at)
        if known is not None and known.digest != key.digest:
            raise IdempotencyKeyReused
        return None if known is None else self.kept[known.turn_id].record

    async def asked_as(self, principal: Principal, conversation_id: UUID, client_message_id: str) -> TurnRecord | None:
        """Return the turn that the client message id stands for."""
        self.rounds += 1
        for kept in self.kept.values():
            question = kept.question
            if (question.asked_by.tenant, question.conversation_id, question.client_message_id) == (
                principal.tenant,
                conversation_id,
                client_message_id,
            ):
                return kept.record
        return None

    async def remember(self, principal: Principal, key: RequestKey, turn_id: UUID, at: datetime) -> None:
        """Let the key stand for the turn."""
        if self._key(principal, key, at) is not None:
            raise TurnAlreadyAsked
        self.keys[principal.tenant, principal.id, key.value] = KeptKey(key.digest, turn_id, at)

    def _conversation(self, question: Question) -> KeptConversation | None:
        """The conversation; one that is not kept for a one-off question, with the agent of another conversation."""
        if question.one_off is None:
            return self.conversations.get(question.conversation_id)
        tenant, agent_id = question.asked_by.tenant, question.one_off.agent_id
        known = [c for c in self.conversations.values() if c.organization_id == tenant and c.agent and c.agent.id == agent_id]
        return KeptConversation(tenant, known[0].agent) if known else None

    def _key(self, principal: Principal, key: RequestKey, at: datetime) -> KeptKey | None:
        known = self.keys.get((principal.tenant, principal.id, key.value))
        return known if known is not None and known.at > at - timedelta(seconds=LIFETIME_SECONDS) else None

    def _kept(self, principal: Principal, turn_id: UUID) -> KeptTurn | None:
        kept = self.kept.get(turn_id)
        return kept if kept is not None and kept.question.asked_by.tenant == principal.tenant else None


Loss = Literal["request", "acknowledgement"]


@dataclass
class LossyTurns:
    """`Turns` whose database goes away: each entry of `losses` takes one call of `end`, before it happened or after."""

    turns: Turns
    losses: deque[Loss] = field(default_factory=deque)
    ends: int = 0

    async def open(self, question: Question) -> OpenedTurn:
        """Open a turn; never lost."""
        return await self.turns.open(question)

    async def end(self, end: TurnEnd, principal: Principal) -> None:
        """End a turn, or lose the request or its acknowledgement."""
        self.ends += 1
        loss = self.losses.popleft() if self.losses else None
        if loss != "request":
            await self.turns.end(end, principal)
        if loss is not None:
            raise Unavailable("Postgres does not answer")

    async def get(self, principal: Principal, turn_id: UUID) -> TurnRecord:
        """Return a turn."""
        return await self.turns.get(principal, turn_id)

    async def question(self, principal: Principal, turn_id: UUID) -> EarlierQuestion:
        """Return the question that a turn answers."""
        return await self.turns.question(principal, turn_id)

    async def asked_under(self, principal: Principal, key: RequestKey, at: datetime) -> TurnRecord | None:
        """Return the turn that the key stands for."""
        return await self.turns.asked_under(principal, key, at)

    async def asked_as(self, principal: Principal, conversation_id: UUID, client_message_id: str) -> TurnRecord | None:
        """Return the turn that the client message id stands for."""
        return await self.turns.asked_as(principal, conversation_id, client_message_id)

    async def remember(self, principal: Principal, key: RequestKey, turn_id: UUID, at: datetime) -> None:
        """Let the key stand for the turn."""
        await self.turns.remember(principal, key, turn_id, at)


@dataclass
class InMemoryConversationAgents:
    """Implements `ConversationAgents` over the turns in memory."""

    turns: InMemoryTurns

    async def of(self, caller: Principal, conversation_id: UUID) -> UUID:
        """Return the agent; a conversation's own id stands for one that is not published."""
        kept = self.turns.conversations.get(conversation_id)
        if kept is None or kept.organization_id != caller.tenant:
            raise NotFound("There is no such conversation")
        return kept.agent.id if kept.agent else conversation_id


@dataclass
class InMemoryTurnRunners:
    """Implements `TurnRunners` and `AbandonedTurns` over the turns in memory."""

    turns: InMemoryTurns
    heard: dict[UUID, datetime] = field(default_factory=dict)
    started_at: datetime = _NEVER

    async def beat(self, runner_id: UUID, at: datetime) -> None:
        """Say that the runner lives."""
        self.heard[runner_id] = at

    async def leave(self, runner_id: UUID) -> None:
        """Say that the runner ends."""
        self.heard[runner_id] = _NEVER

    async def reachable_since(self) -> datetime:
        """Return `started_at`."""
        return self.started_at

    async def runners_are_gone(self, before: datetime) -> None:
        """Say good-bye for the runners heard before `before`."""
        self.heard = {runner: heard if heard >= before else _NEVER for runner, heard in self.heard.items()}

    async def find(self, *, silent_since: datetime, expired_before: datetime, limit: int) -> Sequence[tuple[UUID, UUID, UUID]]:
        """Return running turns that expired or whose runner is silent."""
        found = []
        for kept in self.turns.kept.values():
            question, heard = kept.question, self.heard.get(kept.question.runner_id)
            silent = question.asked_at < silent_since if heard is None else heard < silent_since
            if kept.record.state is TurnState.RUNNING and (question.expires_at < expired_before or silent):
                found.append((question.asked_by.tenant, question.conversation_id, question.turn_id))
        return found[:limit]


@dataclass
class InMemoryRetrieval:
    """Implements `Retrieval`: says the same passages to every question, or raises `failure`."""

    known: tuple[CitablePassage, ...] = ()
    failure: Exception | None = None
    asked: list[tuple[UUID, tuple[UUID, ...], str]] = field(default_factory=list)

    async def passages(
        self, organization_id: UUID, knowledge_base_ids: Sequence[UUID], question: str, *, limit: int, cut_off: float
    ) -> Sequence[CitablePassage]:
        """Return what is near enough."""
        self.asked.append((organization_id, tuple(knowledge_base_ids), question))
        if self.failure is not None:
            raise self.failure
        return [p for p in self.known if p.score >= cut_off][:limit]


@dataclass
class RememberedTurns:
    """Implements `TurnObserver`."""

    steps: list[str] = field(default_factory=list)
    ends: list[TurnEnd] = field(default_factory=list)
    defects: list[Exception] = field(default_factory=list)
    finished: list[dict[str, object]] = field(default_factory=list)

    def turn(self, turn: OpenedTurn) -> AbstractContextManager[object]:
        """Remember nothing: the end says what matters."""
        return nullcontext(turn)

    @contextmanager
    def generation(self, model: str, *, max_tokens: int) -> Iterator[GenerationEnded]:
        """Remember how the answer finished."""
        assert model
        assert max_tokens > 0
        yield lambda **said: self.finished.append(said)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Remember the step."""
        self.steps.append(name)
        yield

    def ended(self, end: TurnEnd, seconds: float) -> None:
        """Remember the end."""
        assert seconds >= 0
        self.ends.append(end)

    def defect(self, error: Exception) -> None:
        """Remember the defect."""
        self.defects.append(error)


class WordTokenizer:
    """Implements `Tokenizer`: a word is a token."""

    def count(self, text: str) -> int:
        """Return the number of words."""
        return len(text.split())


def _usage(end: TurnEnd) -> tuple[UsageLine, ...]:
    assert end.answer is not None
    usage = end.answer.usage
    minor, rest = divmod(usage.cost_micros, _MICROS_PER_MINOR)
    return (
        UsageLine(metric=Metric.TOKENS_IN, quantity=usage.tokens_in, estimated=usage.estimated),
        UsageLine(
            metric=Metric.TOKENS_OUT,
            quantity=usage.tokens_out,
            estimated=usage.estimated,
            cost=Money(minor, usage.currency),
            cost_micro=rest * 100,
        ),
    )


def _event(end: TurnEnd) -> Event:
    place = {"turn_id": end.turn_id, "conversation_id": end.conversation_id}
    message_id = end.answer.message_id if end.answer else None
    if end.state is TurnState.COMPLETED and end.answer is not None:
        usage = end.answer.usage
        return TurnCompleted(**place, message_id=end.answer.message_id, tokens_in=usage.tokens_in, tokens_out=usage.tokens_out)
    if end.state is TurnState.STOPPED:
        return TurnStopped(**place, message_id=message_id)
    assert end.failure is not None
    return TurnFailed(**place, message_id=message_id, code=end.failure.code, retryable=end.failure.retryable)
