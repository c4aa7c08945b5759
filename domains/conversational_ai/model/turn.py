"""The conversation turn: a visitor's message and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from contracts.idempotency import RequestKey
from domains.conversational_ai.model.answer_format import AnswerFormat
from domains.conversational_ai.model.citation import Citation
from domains.conversational_ai.model.tool_call import Tool, ToolCall, ToolChoice
from shared_kernel.errors import Conflict, LuneoError, Unavailable
from shared_kernel.principal import Principal


class TurnState(StrEnum):
    """A turn is running until exactly one of the three others is written, together with its reservation's end."""

    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


class TurnInProgress(Conflict):
    """One message at a time in a conversation."""

    code = "turn_in_progress"
    title = "The agent is still answering the message before"


class TurnAlreadyAsked(Conflict):
    """A turn with this client message id or idempotency key exists."""

    code = "turn_already_asked"
    title = "This message was sent before"


class NotInCurrentBranch(Conflict):
    """Only what the conversation's current branch holds can be answered anew or asked otherwise."""

    code = "message_not_in_branch"
    title = "The conversation has gone on from another message"


class ClientMessageIdReused(LuneoError):
    """The client message id belongs to a message with another content."""

    code = "client_message_id_reused"
    title = "This client message id was used for another message"


class ConversationIsAhead(Conflict):
    """The conversation's last message has a later id than the one to be added: a process whose clock is ahead made it."""

    code = "conversation_is_ahead"
    title = "The message would not be the last of the conversation"

    def __init__(self, last_message_id: UUID) -> None:
        super().__init__()
        self.last_message_id = last_message_id


class AgentNotPublished(Conflict):
    """Only a published agent answers."""

    code = "agent_not_published"
    title = "Publish the agent before talking to it"


class TurnNoLongerRunning(Conflict):
    """The turn was ended by somebody else: stopped, failed by a sweeper, or expired. What comes now is too late."""

    code = "turn_not_running"
    title = "This turn has ended"


class TurnInterrupted(Unavailable):
    """The process that ran the turn went away; the message can be sent again."""

    code = "turn_interrupted"
    title = "The answer was interrupted; send the message again"


class TurnTookTooLong(Unavailable):
    """The turn reached its hard limit."""

    code = "turn_timed_out"
    title = "The answer took too long"


_MICROS_PER_MINOR_UNIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweringAgent:
    """What the published version of an agent says about answering. `cut_off` is the least similarity of a passage (-1 to 1)."""

    id: UUID
    version: int
    instructions: str
    custom_instructions: str
    tone: str
    fallback: str
    languages: tuple[str, ...]
    model: str
    temperature: float | None
    max_tokens: int
    context_window: int
    passages: int
    cut_off: float
    knowledge_base_ids: tuple[UUID, ...]
    fallback_models: tuple[str, ...] = ()
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    answer_format: AnswerFormat | None = None


@dataclass(frozen=True, slots=True)
class PastMessage:
    """One earlier message: `role` is `user` or `assistant`, or `tool` for what a function answered to the call `tool_call_id`."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOff:
    """A question outside of any conversation: `agent_id` answers it, `history` is what the caller says was said before, oldest first."""

    agent_id: UUID
    history: tuple[PastMessage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a caller wants of one answer, within what the agent allows.

    `temperature`, `top_p` and the penalties take the place of the agent's (`agent.SAMPLING` has their bounds). `guidance` is added below
    the agent's own instructions and gives way to them. `max_tokens` can only lower the agent's. `end_user` is the caller's name for who
    asks; a provider sees a pseudonym of it. Where `stop` would be said, the answer ends. `answer_format` is wanted instead of the agent's,
    and `plain_text` instead of any. `continuation` is what came after the question:
    the calls of `tools` and what they answered.
    """

    guidance: str = ""
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    max_tokens: int | None = None
    end_user: str | None = None
    stop: tuple[str, ...] = ()
    answer_format: AnswerFormat | None = None
    plain_text: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    continuation: tuple[PastMessage, ...] = ()


NO_WISHES = Wishes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a visitor asks. `digest` identifies the content for repeated messages (SHA-256).

    With `one_off` it belongs to no conversation that anybody sees; `conversation_id` is then the turn's own id.

    `branch_from` is the earlier question in whose place it is asked; when that is the question's own message, the same question is answered
    anew. As soon as there is something of an answer, it and what comes after it leave the conversation's current branch.
    """

    turn_id: UUID
    message_id: UUID
    conversation_id: UUID
    content: str
    asked_by: Principal
    asked_at: datetime
    expires_at: datetime
    runner_id: UUID
    digest: bytes
    client_message_id: str | None = None
    idempotency_key: RequestKey | None = None
    branch_from: UUID | None = None
    one_off: OneOff | None = None
    wishes: Wishes = NO_WISHES

    @property
    def asked_before(self) -> bool:
        """Whether its message is stored already."""
        return self.branch_from == self.message_id


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierQuestion:
    """The question that a turn answers, as it is stored."""

    conversation_id: UUID
    message_id: UUID
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedTurn:
    """A turn whose quota is reserved and whose question is stored: ready to be answered."""

    question: Question
    agent: AnsweringAgent
    language: str | None
    history: tuple[PastMessage, ...]


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """What an answer took. `estimated` marks our own count; `cost_micros` are millionths of one unit of `currency`."""

    tokens_in: int = 0
    tokens_out: int = 0
    estimated: bool = False
    cost_micros: int = 0
    currency: str = "EUR"

    @property
    def cost(self) -> int:
        """What it cost in the currency's minor unit, rounded half up."""
        return (self.cost_micros * 2 + _MICROS_PER_MINOR_UNIT) // (2 * _MICROS_PER_MINOR_UNIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the agent said. `complete` is false for the part that came before a stop, a break, the length limit or a provider's filter.

    `finish_reason` says which, as the model's provider did (`stop`, `length`, `content_filter`, `tool_calls`); `None` when it came to no
    end of its own. With `tool_calls` the content may be empty.
    """

    message_id: UUID
    content: str
    citations: tuple[Citation, ...]
    usage: TokenUsage
    model: str
    provider: str
    complete: bool
    finish_reason: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a turn failed, in the words of the error's code; `retryable` says whether sending the message again may help."""

    code: str
    title: str
    detail: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """What became of a turn, for who asked: the answer or what there is of it, and why it failed when it did."""

    state: TurnState
    answer: Answer | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnd:
    """How a turn ends: exactly one of these is written for each.

    `answer` is the stored message, whole or partial, or `None`; the reservation is settled when there is one and released when
    there is none.
    `question_id` is the message that it answers, `branch_from` what the question was asked instead of; whoever has no answer need not know.
    `steps` are milliseconds by step. `last_sequence` is the number of the stream's last event, 0 when
    whoever writes the end does not know the stream.
    """

    turn_id: UUID
    conversation_id: UUID
    state: TurnState
    answer: Answer | None
    failure: Failure | None = None
    question_id: UUID | None = None
    branch_from: UUID | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    last_sequence: int = 0
    ended_at: datetime

    @property
    def may_be_asked_again(self) -> bool:
        """Whether the same message, under the same key and client message id, opens a new turn: this one failed and has nothing to show."""
        return self.state is TurnState.FAILED and self.answer is None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRecord:
    """A turn as it is stored."""

    id: UUID
    conversation_id: UUID
    state: TurnState
    question_digest: bytes
    answer: Answer | None
    failure: Failure | None
    steps: Mapping[str, float]
    last_sequence: int
    started_at: datetime
    ended_at: datetime | None

    @property
    def outcome(self) -> TurnOutcome:
        """What became of it so far; a turn that failed for a reason that nobody wrote down was interrupted."""
        failure = self.failure
        if failure is None and self.state is TurnState.FAILED:
            interrupted = TurnInterrupted()
            failure = Failure(interrupted.code, interrupted.title, interrupted.detail, retryable=True)
        return TurnOutcome(self.state, self.answer, failure if self.state is TurnState.FAILED else None)
