"""What conversational AI publishes about agents and knowledge."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from shared_kernel.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCreated(Event):
    """An agent exists, as a draft."""

    TYPE: ClassVar[str] = "conversational_ai.agent_created.v1"

    agent_id: UUID
    name: str
    slug: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPublished(Event):
    """The draft became version `number`, which answers from now on."""

    TYPE: ClassVar[str] = "conversational_ai.agent_published.v1"

    agent_id: UUID
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRolledBack(Event):
    """The earlier version `number` answers again."""

    TYPE: ClassVar[str] = "conversational_ai.agent_rolled_back.v1"

    agent_id: UUID
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKnowledgeChanged(Event):
    """The agent answers from these knowledge bases from now on."""

    TYPE: ClassVar[str] = "conversational_ai.agent_knowledge_changed.v1"

    agent_id: UUID
    knowledge_base_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentArchived(Event):
    """The agent answers no more and its place in the plan is free."""

    TYPE: ClassVar[str] = "conversational_ai.agent_archived.v1"

    agent_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeBaseCreated(Event):
    """An empty knowledge base exists."""

    TYPE: ClassVar[str] = "conversational_ai.knowledge_base_created.v1"

    knowledge_base_id: UUID
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeBaseDeleted(Event):
    """Nothing of the base can be found any more; its content is still to be removed."""

    TYPE: ClassVar[str] = "conversational_ai.knowledge_base_deleted.v1"

    knowledge_base_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeSourceAdded(Event):
    """A source was stored and waits to be indexed."""

    TYPE: ClassVar[str] = "conversational_ai.knowledge_source_added.v1"

    source_id: UUID
    knowledge_base_id: UUID
    content_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeSourceOutdated(Event):
    """What found this version of the source can't be compared any more; it waits to be indexed anew, and is not found until then."""

    TYPE: ClassVar[str] = "conversational_ai.knowledge_source_outdated.v1"

    source_id: UUID
    knowledge_base_id: UUID
    content_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeSourceReplaced(Event):
    """New content of a source was stored and waits to be indexed; what was found before still is."""

    TYPE: ClassVar[str] = "conversational_ai.knowledge_source_replaced.v1"

    source_id: UUID
    knowledge_base_id: UUID
    content_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeSourceVersionRetired(Event):
    """This version is found now; everything of the versions before it is still to be removed."""

    TYPE: ClassVar[str] = "conversational_ai.knowledge_source_version_retired.v1"

    source_id: UUID
    knowledge_base_id: UUID
    content_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeSourceIndexed(Event):
    """Every passage of this version of the source can be found."""

    TYPE: ClassVar[str] = "conversational_ai.knowledge_source_indexed.v1"

    source_id: UUID
    knowledge_base_id: UUID
    content_version: int
    passages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeSourceFailed(Event):
    """The source could not be indexed; `reason` is meant for people."""

    TYPE: ClassVar[str] = "conversational_ai.knowledge_source_failed.v1"

    source_id: UUID
    knowledge_base_id: UUID
    content_version: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeSourceDeleted(Event):
    """Nothing of the source can be found any more; its content is still to be removed."""

    TYPE: ClassVar[str] = "conversational_ai.knowledge_source_deleted.v1"

    source_id: UUID
    knowledge_base_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationStarted(Event):
    """A conversation exists; nothing was said yet."""

    TYPE: ClassVar[str] = "conversational_ai.conversation_started.v1"

    conversation_id: UUID
    agent_id: UUID
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCompleted(Event):
    """A question was answered, and the answer was stored and settled."""

    TYPE: ClassVar[str] = "conversational_ai.turn_completed.v1"

    turn_id: UUID
    conversation_id: UUID
    message_id: UUID
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStopped(Event):
    """A visitor stopped the answer; `message_id` is the part that was stored, if any."""

    TYPE: ClassVar[str] = "conversational_ai.turn_stopped.v1"

    turn_id: UUID
    conversation_id: UUID
    message_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFailed(Event):
    """A question was not answered; `code` says why. `message_id` is the part that was stored, if any."""

    TYPE: ClassVar[str] = "conversational_ai.turn_failed.v1"

    turn_id: UUID
    conversation_id: UUID
    message_id: UUID | None
    code: str
    retryable: bool
