"""Agents and knowledge in memory: one store, seen through the same ports as the Postgres adapters."""

import copy
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from domains.conversational_ai.model.agent import Agent, AgentStatus, AgentVersion, SlugTaken
from domains.conversational_ai.model.knowledge_base import KnowledgeBase
from domains.conversational_ai.model.knowledge_source import KeptContent, KnowledgeSource, SourceContent, WebPageContent
from domains.conversational_ai.model.passage import Passage, PlacedPassage, placed
from domains.conversational_ai.ports.agent_reading import AgentRow, AgentVersionRow
from domains.conversational_ai.ports.agents_and_knowledge import DeletedSource
from domains.conversational_ai.ports.knowledge_reading import FoundPassage, KnowledgeBaseRow, KnowledgeSourceRow
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.errors import AlreadyDelivered, NotFound
from shared_kernel.events import Delivery, Event
from shared_kernel.identifiers import new_id
from shared_kernel.pagination import ForeignCursor, Page, PageRequest
from shared_kernel.principal import Principal
from shared_kernel.unit_of_work import UnitOfWork
from tests.fakes.billing import BillingStore, in_memory_unit

T = TypeVar("T")
Key = tuple[UUID, UUID]


@dataclass
class KnowledgeStore:
    """What the database would hold, by organisation and id; `due` are deliveries that nobody has completed."""

    agents: dict[Key, Agent] = field(default_factory=dict)
    versions: dict[tuple[UUID, UUID, int], AgentVersion] = field(default_factory=dict)
    bases: dict[Key, KnowledgeBase] = field(default_factory=dict)
    sources: dict[Key, KnowledgeSource] = field(default_factory=dict)
    contents: dict[tuple[UUID, UUID, int], SourceContent] = field(default_factory=dict)
    passages: dict[Key, Passage] = field(default_factory=dict)
    due: dict[UUID, tuple[Delivery, Event]] = field(default_factory=dict)
    published: list[Event] = field(default_factory=list)
    noted: list[AuditNote] = field(default_factory=list)

    def aggregates(self) -> list[Aggregate]:
        return [*self.agents.values(), *self.bases.values(), *self.sources.values()]


def _saved(aggregate: Aggregate) -> dict[str, Any]:
    return {k: v for k, v in aggregate.__dict__.items() if not k.startswith("_") and k != "attachments"}


@dataclass
class InMemoryAgents:
    """Implements `Agents`."""

    store: KnowledgeStore
    tenant: UUID

    def _all(self) -> list[Agent]:
        return [a for (owner, _), a in self.store.agents.items() if owner == self.tenant and a.archived_at is None]

    def add(self, agent: Agent) -> None:
        self.store.agents[self.tenant, agent.id] = agent

    async def get(self, agent_id: UUID) -> Agent:
        for agent in self._all():
            if agent.id == agent_id:
                return agent
        raise NotFound

    async def with_slug(self, slug: str) -> Agent | None:
        return next((a for a in self._all() if a.slug == slug), None)

    async def slugs_like(self, slug: str) -> Sequence[str]:
        return [a.slug for a in self._all() if a.slug.startswith(slug)]

    async def add_version(self, version: AgentVersion) -> None:
        self.store.versions[self.tenant, version.agent_id, version.number] = version

    async def get_version(self, agent_id: UUID, number: int) -> AgentVersion:
        if (self.tenant, agent_id, number) not in self.store.versions:
            raise NotFound
        return self.store.versions[self.tenant, agent_id, number]


@dataclass
class InMemoryKnowledgeBases:
    """Implements `KnowledgeBases`."""

    store: KnowledgeStore
    tenant: UUID

    def add(self, base: KnowledgeBase) -> None:
        self.store.bases[self.tenant, base.id] = base

    async def get(self, base_id: UUID) -> KnowledgeBase:
        base = self.store.bases.get((self.tenant, base_id))
        if base is None or base.deleted_at is not None:
            raise NotFound
        return base

    async def hold(self, base_ids: Collection[UUID]) -> None:
        for base_id in base_ids:
            await self.get(base_id)

    async def detach(self, base_id: UUID) -> None:
        for (owner, _), agent in self.store.agents.items():
            if owner == self.tenant:
                agent.attachments = [a for a in agent.attachments if a.knowledge_base_id != base_id]


@dataclass
class InMemoryKnowledgeSources:
    """Implements `KnowledgeSources`."""

    store: KnowledgeStore
    tenant: UUID

    async def add(self, source: KnowledgeSource, content: SourceContent) -> None:
        self.store.sources[self.tenant, source.id] = source
        await self.replace(source, content)

    async def replace(self, source: KnowledgeSource, content: SourceContent) -> None:
        self.store.contents[self.tenant, source.id, source.content_version] = content

    async def get(self, base_id: UUID, source_id: UUID) -> KnowledgeSource:
        source = self.store.sources.get((self.tenant, source_id))
        if source is None or source.deleted_at is not None or source.knowledge_base_id != base_id:
            raise NotFound
        return source

    async def content(self, source: KnowledgeSource) -> SourceContent:
        return self.store.contents[self.tenant, source.id, source.content_version]

    async def fetched(self, source: KnowledgeSource, content: WebPageContent) -> None:
        self.store.contents[self.tenant, source.id, source.content_version] = content

    async def delete_all(self, base_id: UUID, *, at: datetime) -> Sequence[DeletedSource]:
        found = [s for s in self.store.sources.values() if s.knowledge_base_id == base_id and s.deleted_at is None]
        for source in found:
            source.deleted_at = at
        return [DeletedSource(s.id, s.size_bytes, s.content_version) for s in found]

    async def forget(self, source_id: UUID) -> None:
        source = self.store.sources.get((self.tenant, source_id))
        if source is not None and source.deleted_at is not None:
            await self.forget_before(source_id, source.content_version + 1)
            del self.store.sources[self.tenant, source_id]

    async def uploads_before(self, source_id: UUID, version: int) -> Sequence[UUID]:
        found = [c for (_, i, v), c in self.store.contents.items() if i == source_id and v < version]
        return [c.upload_id for c in found if isinstance(c, KeptContent)]

    async def forget_before(self, source_id: UUID, version: int) -> None:
        for content in [k for k in self.store.contents if k[1] == source_id and k[2] < version]:
            del self.store.contents[content]
        for passage in [k for k, p in self.store.passages.items() if p.source_id == source_id and p.source_version < version]:
            del self.store.passages[passage]

    async def forget_base(self, base_id: UUID) -> None:
        base = self.store.bases.get((self.tenant, base_id))
        if base is not None and base.deleted_at is not None:
            for source_id in [s.id for s in self.store.sources.values() if s.knowledge_base_id == base_id]:
                await self.forget(source_id)
            del self.store.bases[self.tenant, base_id]


@dataclass
class InMemoryPassages:
    """Implements `Passages`."""

    store: KnowledgeStore
    tenant: UUID

    async def write(self, passages: Sequence[Passage]) -> None:
        self.store.passages.update({(self.tenant, p.id): p for p in passages})

    def _of(self, source_id: UUID, version: int) -> list[Passage]:
        found = [p for p in self.store.passages.values() if p.source_id == source_id and p.source_version == version]
        return sorted(found, key=lambda p: p.ordinal)

    async def count(self, source_id: UUID, version: int, *, embedding_model: str) -> tuple[int, int]:
        found = self._of(source_id, version)
        return sum(p.embedding_model == embedding_model for p in found), len(found)

    async def mark_indexed(self, passage_ids: Sequence[UUID], *, embedding_model: str) -> None:
        for key, passage in self.store.passages.items():
            if passage.id in passage_ids:
                self.store.passages[key] = replace(passage, embedding_model=embedding_model)

    async def next_to_index(self, source_id: UUID, version: int, *, embedding_model: str, limit: int) -> Sequence[PlacedPassage]:
        return [p for p in placed(self._of(source_id, version)) if p.passage.embedding_model != embedding_model][:limit]


@dataclass
class InMemoryAgentsAndKnowledge:
    unit: UnitOfWork
    agents: InMemoryAgents
    knowledge_bases: InMemoryKnowledgeBases
    sources: InMemoryKnowledgeSources
    passages: InMemoryPassages


class InMemoryAgentsAndKnowledgeTransactions:
    """Implements `AgentsAndKnowledgeTransactions`; billing's store takes part. `consumers` says who hears what."""

    def __init__(self, store: KnowledgeStore, billing: BillingStore, consumers: Mapping[type[Event], str]) -> None:
        self._store = store
        self._billing = billing
        self._consumers = consumers

    def __call__(
        self, principal: Principal, *, completes: Delivery | None = None
    ) -> AbstractAsyncContextManager[InMemoryAgentsAndKnowledge]:
        return self._open(principal, completes)

    @asynccontextmanager
    async def _open(self, principal: Principal, completes: Delivery | None) -> AsyncIterator[InMemoryAgentsAndKnowledge]:
        store, tenant = self._store, principal.tenant
        before = copy.deepcopy(store)
        try:
            async with in_memory_unit(self._billing, principal) as unit:
                yield InMemoryAgentsAndKnowledge(
                    unit,
                    InMemoryAgents(store, tenant),
                    InMemoryKnowledgeBases(store, tenant),
                    InMemoryKnowledgeSources(store, tenant),
                    InMemoryPassages(store, tenant),
                )
                self._commit(before, principal, completes)
        except BaseException:
            store.__dict__.update(before.__dict__)
            raise

    def _commit(self, before: KnowledgeStore, principal: Principal, completes: Delivery | None) -> None:
        if completes is not None and self._store.due.pop(completes.id, None) is None:
            raise AlreadyDelivered
        slugs = [(a.organization_id, a.slug) for a in self._store.agents.values() if a.archived_at is None]
        if len(set(slugs)) != len(slugs):
            raise SlugTaken
        known = {a.id: _saved(a) for a in before.aggregates()}
        for aggregate in self._store.aggregates():
            if aggregate.id in known and known[aggregate.id] != _saved(aggregate):
                aggregate.version += 1
            self._store.noted.extend(aggregate.take_notes())
            for event in aggregate.take_events():
                self._store.published.append(event)
                consumer = self._consumers.get(type(event))
                if consumer is not None:
                    delivery = Delivery(
                        id=new_id(), event_id=new_id(), organization_id=principal.organization_id, consumer=consumer, attempt=1
                    )
                    self._store.due[delivery.id] = (delivery, event)


class InMemoryAgentReading:
    """Implements `AgentReading`."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def agents(self, principal: Principal, page: PageRequest) -> Page[AgentRow]:
        return _page([AgentRow.of(a) for a in InMemoryAgents(self._store, principal.tenant)._all()], page)

    async def agent(self, principal: Principal, agent_id: UUID) -> AgentRow:
        return AgentRow.of(await InMemoryAgents(self._store, principal.tenant).get(agent_id))

    async def published(self, principal: Principal) -> Sequence[AgentRow]:
        rows = [AgentRow.of(a) for a in InMemoryAgents(self._store, principal.tenant)._all()]
        return sorted((r for r in rows if r.status is AgentStatus.PUBLISHED), key=lambda r: r.id, reverse=True)

    async def published_as(self, principal: Principal, name: str) -> AgentRow:
        rows = await self.published(principal)
        for row in (*(r for r in rows if str(r.id) == name), *(r for r in rows if r.slug == name)):
            return row
        raise NotFound

    async def versions(self, principal: Principal, agent_id: UUID, page: PageRequest) -> Page[AgentVersionRow]:
        agent = await InMemoryAgents(self._store, principal.tenant).get(agent_id)
        after = None if page.cursor is None else _parsed(page.cursor, int)
        found = [
            AgentVersionRow(
                number=v.number,
                settings=v.settings,
                published_at=v.published_at,
                published_by=v.published_by,
                live=v.number == agent.published_number,
            )
            for v in sorted(self._store.versions.values(), key=lambda v: -v.number)
            if v.agent_id == agent_id and (after is None or v.number < after)
        ]
        return Page(tuple(found[: page.limit]), str(found[page.limit - 1].number) if len(found) > page.limit else None)


class InMemoryKnowledgeReading:
    """Implements `KnowledgeReading`."""

    def __init__(self, store: KnowledgeStore) -> None:
        self._store = store

    async def bases(self, principal: Principal, page: PageRequest) -> Page[KnowledgeBaseRow]:
        mine = [b for b in self._store.bases.values() if b.organization_id == principal.tenant and b.deleted_at is None]
        return _page([self._row(b) for b in mine], page)

    async def base(self, principal: Principal, base_id: UUID) -> KnowledgeBaseRow:
        return self._row(await InMemoryKnowledgeBases(self._store, principal.tenant).get(base_id))

    async def sources(self, principal: Principal, base_id: UUID, page: PageRequest) -> Page[KnowledgeSourceRow]:
        await self.base(principal, base_id)
        return _page([KnowledgeSourceRow.of(s) for s in self._sources(base_id)], page)

    async def source(self, principal: Principal, base_id: UUID, source_id: UUID) -> KnowledgeSourceRow:
        await self.base(principal, base_id)
        return KnowledgeSourceRow.of(await InMemoryKnowledgeSources(self._store, principal.tenant).get(base_id, source_id))

    async def content(self, principal: Principal, base_id: UUID, source_id: UUID) -> SourceContent:
        await self.base(principal, base_id)
        source = await InMemoryKnowledgeSources(self._store, principal.tenant).get(base_id, source_id)
        return self._store.contents[principal.tenant, source_id, source.indexed_version or source.content_version]

    async def passages(
        self, organization_id: UUID, passage_ids: Sequence[UUID], *, knowledge_base_ids: Collection[UUID], embedding_model: str
    ) -> Mapping[UUID, FoundPassage]:
        found: dict[UUID, FoundPassage] = {}
        for passage_id in passage_ids:
            passage = self._store.passages.get((organization_id, passage_id))
            if passage is None or passage.embedding_model != embedding_model:
                continue
            source = self._store.sources[organization_id, passage.source_id]
            base = self._store.bases[organization_id, source.knowledge_base_id]
            if (
                source.deleted_at is None
                and base.deleted_at is None
                and base.id in knowledge_base_ids
                and source.indexed_version == passage.source_version
            ):
                found[passage_id] = FoundPassage(
                    source_id=source.id, title=source.name, text=passage.text, locator=passage.locator, language=source.language
                )
        return found

    def _sources(self, base_id: UUID) -> list[KnowledgeSource]:
        return [s for s in self._store.sources.values() if s.knowledge_base_id == base_id and s.deleted_at is None]

    def _row(self, base: KnowledgeBase) -> KnowledgeBaseRow:
        sources = self._sources(base.id)
        ready = sum(s.status == "ready" for s in sources)
        return replace(KnowledgeBaseRow.of_new(base), sources=len(sources), sources_ready=ready)


@dataclass
class InMemoryOutdatedSources:
    """Implements `OutdatedSources`."""

    store: KnowledgeStore

    async def find(self, *, model: str, limit: int) -> Sequence[tuple[UUID, UUID, UUID]]:
        found = [
            (owner, s.knowledge_base_id, s.id)
            for (owner, _), s in self.store.sources.items()
            if s.status in {"ready", "failed"} and s.indexed_version and s.deleted_at is None and s.indexed_with != model
        ]
        return found[:limit]


@dataclass
class InMemoryNamedUploads:
    """Implements `NamedUploads`."""

    store: KnowledgeStore

    async def named(self, organization_id: UUID, *, source_ids: Collection[UUID], upload_ids: Collection[UUID]) -> set[UUID]:
        contents = [c for (owner, source, _), c in self.store.contents.items() if owner == organization_id and source in source_ids]
        return {c.upload_id for c in contents if isinstance(c, KeptContent)} & set(upload_ids)


def _parsed(cursor: str, parse: type[T]) -> T:
    try:
        return parse(cursor)  # type: ignore[call-arg]
    except ValueError:
        raise ForeignCursor from None


def _page(rows: list[Any], page: PageRequest) -> Page[Any]:
    after = None if page.cursor is None else _parsed(page.cursor, UUID)
    found = sorted((r for r in rows if after is None or r.id < after), key=lambda r: r.id, reverse=True)
    return Page(tuple(found[: page.limit]), str(found[page.limit - 1].id) if len(found) > page.limit else None)
