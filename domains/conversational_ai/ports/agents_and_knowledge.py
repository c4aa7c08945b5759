"""The transaction of a command on agents and knowledge, and what is in it."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domains.conversational_ai.model.agent import Agent, AgentVersion
from domains.conversational_ai.model.knowledge_base import KnowledgeBase
from domains.conversational_ai.model.knowledge_source import KnowledgeSource, SourceContent, WebPageContent
from domains.conversational_ai.model.passage import Passage, PlacedPassage
from shared_kernel.events import Delivery
from shared_kernel.principal import Principal
from shared_kernel.unit_of_work import UnitOfWork


class Agents(Protocol):
    """The organisation's agents; archived ones are not among them."""

    def add(self, agent: Agent) -> None:
        """Keep a new one. Raises `SlugTaken` when the transaction ends and another has its slug."""
        ...

    async def get(self, agent_id: UUID) -> Agent:
        """Return one. Raises `NotFound`."""
        ...

    async def with_slug(self, slug: str) -> Agent | None:
        """Return the one with that slug."""
        ...

    async def slugs_like(self, slug: str) -> Sequence[str]:
        """Return the slugs in use that begin with `slug`."""
        ...

    async def add_version(self, version: AgentVersion) -> None:
        """Keep a published version."""
        ...

    async def get_version(self, agent_id: UUID, number: int) -> AgentVersion:
        """Return a published version. Raises `NotFound`."""
        ...


class KnowledgeBases(Protocol):
    """The organisation's knowledge bases; deleted ones are not among them."""

    def add(self, base: KnowledgeBase) -> None:
        """Keep a new one."""
        ...

    async def get(self, base_id: UUID) -> KnowledgeBase:
        """Return one, locked until the transaction ends. Raises `NotFound`."""
        ...

    async def hold(self, base_ids: Collection[UUID]) -> None:
        """Keep these from being deleted until the transaction ends. Raises `NotFound` unless all are there."""
        ...

    async def detach(self, base_id: UUID) -> None:
        """Let no agent answer from it any more."""
        ...


@dataclass(frozen=True, slots=True)
class DeletedSource:
    """A source that was deleted with its base, and what it took."""

    id: UUID
    size_bytes: int
    content_version: int


class KnowledgeSources(Protocol):
    """The organisation's knowledge sources; deleted ones, and those of deleted bases, are not among them."""

    async def add(self, source: KnowledgeSource, content: SourceContent) -> None:
        """Keep a new one with its content."""
        ...

    async def get(self, base_id: UUID, source_id: UUID) -> KnowledgeSource:
        """Return one of a base, locked until the transaction ends. Raises `NotFound`."""
        ...

    async def content(self, source: KnowledgeSource) -> SourceContent:
        """Return the source's current content."""
        ...

    async def replace(self, source: KnowledgeSource, content: SourceContent) -> None:
        """Keep its new content beside those before it."""
        ...

    async def fetched(self, source: KnowledgeSource, content: WebPageContent) -> None:
        """Remember what the page of its current content turned out to be."""
        ...

    async def delete_all(self, base_id: UUID, *, at: datetime) -> Sequence[DeletedSource]:
        """Delete every source of a base that is locked; return those that were not deleted before."""
        ...

    async def uploads_before(self, source_id: UUID, version: int) -> Sequence[UUID]:
        """Return the ids of the files and pages that the source's versions before that one were."""
        ...

    async def forget_before(self, source_id: UUID, version: int) -> None:
        """Remove the source's content and passages of the versions before that one for good."""
        ...

    async def forget(self, source_id: UUID) -> None:
        """Remove a deleted source with its content and passages for good."""
        ...

    async def forget_base(self, base_id: UUID) -> None:
        """Remove a deleted base with its sources, their content and passages for good."""
        ...


class Passages(Protocol):
    """The passages of sources."""

    async def write(self, passages: Sequence[Passage]) -> None:
        """Keep new passages."""
        ...

    async def count(self, source_id: UUID, version: int, *, embedding_model: str) -> tuple[int, int]:
        """Return how many passages of that version of the source's content are indexed with that model, and how many there are."""
        ...

    async def mark_indexed(self, passage_ids: Sequence[UUID], *, embedding_model: str) -> None:
        """Remember that these are in the index, embedded by that model."""
        ...

    async def next_to_index(self, source_id: UUID, version: int, *, embedding_model: str, limit: int) -> Sequence[PlacedPassage]:
        """Return the first passages of that version of the source's content that are not indexed with that model, in order."""
        ...


class AgentsAndKnowledge(Protocol):
    """One open transaction; `unit` is for other contexts' commands."""

    @property
    def unit(self) -> UnitOfWork: ...  # noqa: D102
    @property
    def agents(self) -> Agents: ...  # noqa: D102
    @property
    def knowledge_bases(self) -> KnowledgeBases: ...  # noqa: D102
    @property
    def sources(self) -> KnowledgeSources: ...  # noqa: D102
    @property
    def passages(self) -> Passages: ...  # noqa: D102


class AgentsAndKnowledgeTransactions(Protocol):
    """Opens transactions."""

    def __call__(self, principal: Principal, *, completes: Delivery | None = None) -> AbstractAsyncContextManager[AgentsAndKnowledge]:
        """Return a transaction of the principal's organisation.

        Leaving it saves, audits and publishes; an error inside leaves nothing behind.
        """
        ...
