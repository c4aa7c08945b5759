"""Knowledge as it is shown, and the passages behind what was found."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domains.conversational_ai.model.citation import Locator
from domains.conversational_ai.model.knowledge_base import KnowledgeBase
from domains.conversational_ai.model.knowledge_source import KnowledgeSource, SourceContent, SourceKind, SourceStatus, SourceStep
from domains.conversational_ai.model.languages import KnowledgeLanguage
from shared_kernel.pagination import Page, PageRequest
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeBaseRow:
    """A knowledge base. `sources` counts all of its sources, `sources_ready` those that are searched; `version` counts saves."""

    id: UUID
    name: str
    description: str
    language: KnowledgeLanguage
    sources: int
    sources_ready: int
    created_at: datetime
    updated_at: datetime
    version: int

    @classmethod
    def of_new(cls, base: KnowledgeBase) -> "KnowledgeBaseRow":
        """Return what is shown of a base that was just made."""
        return cls(
            id=base.id,
            name=base.name,
            description=base.description,
            language=base.language,
            sources=0,
            sources_ready=0,
            created_at=base.created_at,
            updated_at=base.updated_at,
            version=base.version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeSourceRow:
    """A source and how far it is indexed.

    `progress` is 0 to 100, `passages` how many it has, as far as that is known, of which `passages_indexed` are in the index; `step` is
    what is being done, or was when it failed, and `None` when it is ready. `url` is a web page's.
    """

    id: UUID
    knowledge_base_id: UUID
    name: str
    kind: SourceKind
    language: KnowledgeLanguage
    status: SourceStatus
    step: SourceStep | None
    error: str | None
    error_code: str | None
    progress: int
    passages: int
    passages_indexed: int
    size_bytes: int
    url: str | None
    created_at: datetime
    updated_at: datetime
    indexed_at: datetime | None

    @classmethod
    def of(cls, source: KnowledgeSource) -> "KnowledgeSourceRow":
        """Return what is shown of `source`."""
        return cls(
            id=source.id,
            knowledge_base_id=source.knowledge_base_id,
            name=source.name,
            kind=source.kind,
            language=source.language,
            status=source.status,
            step=None if source.status is SourceStatus.READY else source.step,
            error=source.error,
            error_code=source.error_code,
            progress=progress(source.status, source.passages_done, source.passages_total),
            passages=source.passages_total,
            passages_indexed=source.passages_done,
            size_bytes=source.size_bytes,
            url=source.url,
            created_at=source.created_at,
            updated_at=source.updated_at,
            indexed_at=source.indexed_at,
        )


def progress(status: SourceStatus, done: int, total: int) -> int:
    """Return the share of passages that are indexed, in whole per cent rounded down; 100 only when the source is ready."""
    if status is SourceStatus.READY:
        return 100
    return min(99, 100 * done // total) if total else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPassage:
    """A passage that may be shown."""

    source_id: UUID
    title: str
    text: str
    locator: Locator
    language: KnowledgeLanguage


class PassageReading(Protocol):
    """Reads the passages that may be shown."""

    async def passages(
        self, organization_id: UUID, passage_ids: Sequence[UUID], *, knowledge_base_ids: Collection[UUID], embedding_model: str
    ) -> Mapping[UUID, FoundPassage]:
        """Return those of the passages that may be shown, by id, in one round trip.

        Left out are those of other organisations and other bases, of sources or bases that are deleted, of content that is not the source's
        whole and current one, and those that another model embedded.
        """
        ...


class KnowledgeReading(PassageReading, Protocol):
    """Reads knowledge for the principal's organisation. What was deleted is never among it."""

    async def bases(self, principal: Principal, page: PageRequest) -> Page[KnowledgeBaseRow]:
        """Return knowledge bases, newest first. Raises `InvalidInput` for a cursor that is not ours."""
        ...

    async def base(self, principal: Principal, base_id: UUID) -> KnowledgeBaseRow:
        """Return one knowledge base. Raises `NotFound`."""
        ...

    async def sources(self, principal: Principal, base_id: UUID, page: PageRequest) -> Page[KnowledgeSourceRow]:
        """Return a base's sources, newest first. Raises `NotFound`, `InvalidInput` for a cursor that is not ours."""
        ...

    async def source(self, principal: Principal, base_id: UUID, source_id: UUID) -> KnowledgeSourceRow:
        """Return one source of a base. Raises `NotFound`."""
        ...

    async def content(self, principal: Principal, base_id: UUID, source_id: UUID) -> SourceContent:
        """Return the content that is found now, else the one that is to be. Raises `NotFound`."""
        ...
