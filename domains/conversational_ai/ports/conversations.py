"""Where conversations are kept, and how they are read."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from domains.conversational_ai.model.branch import MessageLink
from domains.conversational_ai.model.citation import Citation
from domains.conversational_ai.model.conversation import Conversation
from shared_kernel.pagination import Page, PageRequest
from shared_kernel.principal import Principal


class Conversations(Protocol):
    """The conversations of one organisation inside a transaction."""

    async def add(self, conversation: Conversation) -> None:
        """Keep a new conversation.

        Raises `NotFound` when its agent does not exist in this organisation, `AgentNotPublished` when it is a draft or archived.
        """
        ...

    async def hold(self, conversation_id: UUID) -> Conversation:
        """Return a conversation in which no turn runs, nor opens before the transaction ends. Raises `NotFound`, `TurnInProgress`."""
        ...

    async def links(self, conversation_id: UUID) -> Sequence[MessageLink]:
        """Return the links of all its messages, in the order in which they were stored."""
        ...

    async def show(self, conversation_id: UUID, branch: Sequence[UUID]) -> None:
        """Make exactly these messages the current branch."""
        ...


class ConversationTransaction(Protocol):
    """What starting a conversation sees of its transaction."""

    @property
    def conversations(self) -> Conversations:
        """The conversations of this organisation."""
        ...


class ConversationTransactions(Protocol):
    """Opens transactions."""

    def __call__(self, principal: Principal) -> AbstractAsyncContextManager[ConversationTransaction]:
        """Return the transaction of the principal's organisation."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSummary:
    """A conversation in a list. `status` is `answering` while a turn runs, else `open`.

    `title` is how its first question of the current branch begins (at most 120 characters), `None` before one was asked.
    """

    id: UUID
    agent_id: UUID
    channel: str
    language: str | None
    visitor_id: str | None
    status: str
    title: str | None
    created_at: datetime
    last_message_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """One message. `complete` is false for the part of an answer that came before a stop or a break.

    `parent_id` is the message that it came after; `siblings` are those of its role that came after the same one, its alternatives and
    itself, the oldest first. `current` tells whether it is in the branch
    that the conversation goes on from.
    """

    id: UUID
    turn_id: UUID
    role: str
    content: str
    citations: tuple[Citation, ...]
    complete: bool
    created_at: datetime
    parent_id: UUID | None
    siblings: tuple[UUID, ...]
    current: bool


class ConversationOrder(StrEnum):
    """How conversations are listed."""

    CREATED = "created"
    LAST_USED = "last_used"


class ConversationReading(Protocol):
    """Reads conversations and their messages."""

    async def conversations(
        self, principal: Principal, page: PageRequest, *, agent_id: UUID | None, order: ConversationOrder
    ) -> Page[ConversationSummary]:
        """Return conversations, newest first.

        By last use, those alone in which something was said, the one with the latest message first.
        """
        ...

    async def conversation(self, principal: Principal, conversation_id: UUID) -> ConversationSummary:
        """Return one conversation. Raises `NotFound`."""
        ...

    async def messages(self, principal: Principal, conversation_id: UUID, page: PageRequest, *, branches: bool) -> Page[StoredMessage]:
        """Return the messages of a conversation's current branch, or of all its `branches`, oldest first. Raises `NotFound`."""
        ...
