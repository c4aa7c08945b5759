"""Conversations, messages and turns over HTTP."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from msgspec import UNSET, UnsetType

from contracts.http.base import Example, Money, Request, Response


class StartConversationBody(Request, frozen=True):
    """A new conversation. `language` fixes the language of answers (`fr`, `en`); `visitor_id` is your own name for the visitor."""

    EXAMPLE: ClassVar[Example] = {"agent_id": "0192f0c1-7a4e-7c3b-9d52-5b8f0e6a1c2d", "language": "en", "visitor_id": "customer-42"}

    agent_id: UUID
    language: str | None = None
    visitor_id: str | None = None


class ConversationBody(Response, frozen=True):
    """A conversation. `status` is `answering` while a turn runs, else `open`.

    `title` is how its first question begins (at most 120 characters), null before one was asked.
    """

    EXAMPLE: ClassVar[Example] = {"channel": "api", "language": "en", "visitor_id": "customer-42", "status": "open"}

    id: UUID
    agent_id: UUID
    channel: str
    language: str | None
    visitor_id: str | None
    status: str
    title: str | None
    created_at: datetime
    last_message_at: datetime | None


class ConversationList(Response, frozen=True):
    """Conversations, in the order that was asked for."""

    items: list[ConversationBody]
    next_cursor: str | None


class LocatorBody(Response, frozen=True, omit_defaults=True):
    """Where a quote stands in its source: page from 1, nearest heading, character offsets (end exclusive)."""

    EXAMPLE: ClassVar[Example] = {"heading": "Plans", "start": 9, "end": 49}

    page: int | None = None
    heading: str | None = None
    start: int | None = None
    end: int | None = None


class CitationBody(Response, frozen=True):
    """What an answer stands on. `number` is the mark `[n]` in the answer; `quote` is found verbatim at `locator`."""

    EXAMPLE: ClassVar[Example] = {
        "number": 1,
        "title": "Prices",
        "locator": {"heading": "Plans", "start": 9, "end": 49},
        "quote": "The Pro plan costs 49 euros each month.",
        "score": 0.91,
    }

    number: int
    source_id: UUID
    title: str
    locator: LocatorBody
    quote: str
    score: float


class ToolCallBody(Response, frozen=True):
    """A function that the answer asks its caller to call; `arguments` is JSON as the model wrote it."""

    EXAMPLE: ClassVar[Example] = {"id": "call_1", "name": "weather", "arguments": '{"city":"Paris"}'}

    id: str
    name: str
    arguments: str


class MessageBody(Response, frozen=True, kw_only=True):
    """One message. `confidence` is null until there is a calibrated one.

    `tool_calls` is there where the caller offered functions (under `/v1`) and the answer calls some. `complete` is false for the part of an
    answer that came before a stop, a break, the agent's `max_tokens`, or a provider's filter.
    """

    EXAMPLE: ClassVar[Example] = {"role": "assistant", "content": "The Pro plan costs 49 euros each month [1].", "confidence": None}

    id: UUID
    role: str
    content: str
    citations: list[CitationBody]
    confidence: float | None
    complete: bool
    tool_calls: list[ToolCallBody] | UnsetType = UNSET


class StoredMessageBody(MessageBody, frozen=True, kw_only=True):
    """One message of a conversation.

    `parent_id` is the message that it came after. `siblings` are the alternatives there, itself among them, the oldest first: "2 / 3" is
    its place in them. At most one is `current`: in the branch that the conversation goes on from.
    """

    turn_id: UUID
    created_at: datetime
    parent_id: UUID | None
    siblings: list[UUID]
    current: bool


class MessageList(Response, frozen=True):
    """Messages, oldest first."""

    items: list[StoredMessageBody]
    next_cursor: str | None


class AskBody(Request, frozen=True):
    """A visitor's message, 1–8,000 characters. The same `client_message_id` (1–200 characters) again gives the same turn.

    `edit_of` is the earlier question, of the current branch, in whose place this one is asked.
    """

    EXAMPLE: ClassVar[Example] = {"content": "How much is the Pro plan?", "client_message_id": "message-7"}

    content: str
    client_message_id: str | None = None
    edit_of: UUID | None = None


class SelectBranchBody(Request, frozen=True):
    """The message whose branch the conversation is to go on from."""

    EXAMPLE: ClassVar[Example] = {"message_id": "0192f0c1-7a4e-7c3b-9d52-5b8f0e6a1c2d"}

    message_id: UUID


class UsageBody(Response, frozen=True):
    """What an answer took. `estimated` marks our own token count where the provider gave none."""

    EXAMPLE: ClassVar[Example] = {"tokens_in": 412, "tokens_out": 18, "estimated": False, "cost": {"amount": 1, "currency": "EUR"}}

    tokens_in: int
    tokens_out: int
    estimated: bool
    cost: Money


class TurnAnswer(Response, frozen=True):
    """A turn's whole answer. `status` is `completed` or `stopped`."""

    EXAMPLE: ClassVar[Example] = {"status": "completed"}

    turn_id: UUID
    conversation_id: UUID
    status: str
    message: MessageBody | None
    usage: UsageBody | None


class TurnBody(Response, frozen=True):
    """A turn as it is stored: `status` is `running`, `completed`, `stopped` or `failed`; `steps` are milliseconds by step.

    `model` and `provider` are who answered: the agent's model or one of its fallbacks.
    """

    EXAMPLE: ClassVar[Example] = {
        "status": "completed",
        "model": "local",
        "provider": "local",
        "problem": None,
        "steps": {"retrieve": 21.4, "compose": 0.3, "generate": 640.2},
    }

    turn_id: UUID
    conversation_id: UUID
    status: str
    message: MessageBody | None
    usage: UsageBody | None
    model: str | None
    provider: str | None
    problem: "TurnProblem | None"
    steps: dict[str, float]
    started_at: datetime
    ended_at: datetime | None


class TurnProblem(Response, frozen=True):
    """Why a turn failed; `retryable` says whether sending the message again may help."""

    EXAMPLE: ClassVar[Example] = {
        "code": "model_unavailable",
        "title": "The model's provider is not available",
        "detail": "the provider answered 503",
        "status": 503,
    }

    code: str
    title: str
    detail: str
    status: int
    retryable: bool
