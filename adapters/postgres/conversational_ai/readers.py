"""Agents and knowledge as they are shown: one statement each."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import LiteralString, Protocol, TypeVar
from uuid import UUID

from adapters.postgres.conversational_ai.tables import settings_from_json
from adapters.postgres.conversational_ai.transactions import content_of
from adapters.postgres.database import Database, Row, tenant
from domains.conversational_ai.model.agent import AgentStatus
from domains.conversational_ai.model.citation import Locator
from domains.conversational_ai.model.knowledge_source import SourceContent, SourceKind, SourceStatus, SourceStep
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.ports.agent_reading import AgentRow, AgentVersionRow
from domains.conversational_ai.ports.knowledge_reading import FoundPassage, KnowledgeBaseRow, KnowledgeSourceRow, progress
from shared_kernel.errors import NotFound
from shared_kernel.pagination import ForeignCursor, Page, PageRequest
from shared_kernel.principal import Principal


class _Identified(Protocol):
    @property
    def id(self) -> UUID: ...


T = TypeVar("T")
I = TypeVar("I", bound=_Identified)  # noqa: E741 - short for an identified row

_AGENT: LiteralString = """
select a.id, a.name, a.slug, a.description, a.template_slug, a.status, a.draft as settings, a.published_number as published_version,
a.published_at,
       a.unpublished_changes, a.created_at, a.updated_at, a.version,
       (select coalesce(array_agg(k.knowledge_base_id order by k.position), '{}')
          from conversational_ai.agent_knowledge_bases k
         where k.organization_id = a.organization_id and k.agent_id = a.id) as knowledge_base_ids
  from conversational_ai.agents a
 where a.organization_id = %(organization)s and a.archived_at is null
"""
_AGENT_BY_ID: LiteralString = _AGENT + " and a.id = %(id)s"
_AGENTS: LiteralString = _AGENT + " and (%(after)s::uuid is null or a.id < %(after)s) order by a.id desc limit %(limit)s"
_PUBLISHED: LiteralString = _AGENT + " and a.status = 'published' order by a.id desc"
_PUBLISHED_AS: LiteralString = (
    _AGENT + " and a.status = 'published' and (a.slug = %(name)s or a.id = %(id)s) order by (a.id = %(id)s) desc nulls last limit 1"
)
_VERSIONS: LiteralString = """
select v.number, v.settings, v.published_at, v.published_by, v.number is not distinct from a.published_number as live
  from conversational_ai.agents a
  left join lateral (
    select * from conversational_ai.agent_versions v
     where v.organization_id = a.organization_id and v.agent_id = a.id and (%(after)s::integer is null or v.number < %(after)s)
     order by v.number desc limit %(limit)s) v on true
 where a.organization_id = %(organization)s and a.id = %(id)s and a.archived_at is null
 order by v.number desc
"""
_BASE: LiteralString = """
select b.id, b.name, b.description, b.language, b.created_at, b.updated_at, b.version, s.sources, s.sources_ready
  from conversational_ai.knowledge_bases b
 cross join lateral (
   select count(*) as sources, count(*) filter (where s.status = 'ready') as sources_ready
     from conversational_ai.knowledge_sources s
    where s.organization_id = b.organization_id and s.knowledge_base_id = b.id and s.deleted_at is null) s
 where b.organization_id = %(organization)s and b.deleted_at is null
"""
_BASE_BY_ID: LiteralString = _BASE + " and b.id = %(id)s"
_BASES: LiteralString = _BASE + " and (%(after)s::uuid is null or b.id < %(after)s) order by b.id desc limit %(limit)s"
_SOURCES: LiteralString = """
select s.id, s.knowledge_base_id, s.name, s.kind, s.language, s.status, s.step, s.error, s.error_code, s.passages_done, s.passages_total,
       s.size_bytes, s.url, s.created_at, s.updated_at, s.indexed_at
  from conversational_ai.knowledge_bases b
  left join lateral (
    select * from conversational_ai.knowledge_sources s
     where s.organization_id = b.organization_id and s.knowledge_base_id = b.id and s.deleted_at is null
       and (%(after)s::uuid is null or s.id < %(after)s)
       and (%(source)s::uuid is null or s.id = %(source)s)
     order by s.id desc limit %(limit)s) s on true
 where b.organization_id = %(organization)s and b.id = %(base)s and b.deleted_at is null
 order by s.id desc
"""
_CONTENT: LiteralString = """
select c.content
  from conversational_ai.knowledge_sources s
  join conversational_ai.knowledge_bases b on b.organization_id = s.organization_id and b.id = s.knowledge_base_id
  join conversational_ai.source_contents c on c.organization_id = s.organization_id and c.source_id = s.id
   and c.version = coalesce(s.indexed_version, s.content_version)
 where s.organization_id = %(organization)s and s.id = %(source)s and b.id = %(base)s and s.deleted_at is null and b.deleted_at is null
"""
_PASSAGES: LiteralString = """
select p.id, p.source_id, s.name as title, p.text, p.locator, s.language
  from conversational_ai.passages p
  join conversational_ai.knowledge_sources s on s.organization_id = p.organization_id and s.id = p.source_id
  join conversational_ai.knowledge_bases b on b.organization_id = s.organization_id and b.id = s.knowledge_base_id
 where p.organization_id = %(organization)s and p.id = any(%(ids)s) and p.embedding_model = %(model)s
   and s.knowledge_base_id = any(%(bases)s) and s.indexed_version = p.source_version and s.deleted_at is null and b.deleted_at is null
"""


_NAMED: LiteralString = """
select coalesce(content -> 'file', content -> 'web_page') ->> 'upload_id' as upload_id from conversational_ai.source_contents
 where organization_id = %(organization)s and source_id = any(%(sources)s) and content ?| array['file', 'web_page']
"""
_OUTDATED: LiteralString = """
select organization_id, knowledge_base_id, id from conversational_ai.knowledge_sources
 where status in ('ready', 'failed') and indexed_version is not null and deleted_at is null and indexed_with is distinct from %(model)s
 order by id limit %(limit)s
"""


class PostgresOutdatedSources:
    """`OutdatedSources`, as the platform role."""

    def __init__(self, platform: Database) -> None:
        self._platform = platform

    async def find(self, *, model: str, limit: int) -> list[tuple[UUID, UUID, UUID]]:
        """Select them past row-level security, which lets the platform see these alone."""
        rows = await self._platform.rows(Principal.system(None), _OUTDATED, {"model": model, "limit": limit})
        return [(row["organization_id"], row["knowledge_base_id"], row["id"]) for row in rows]


class PostgresNamedUploads:
    """`NamedUploads`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def named(self, organization_id: UUID, *, source_ids: Collection[UUID], upload_ids: Collection[UUID]) -> set[UUID]:
        """Select what the sources name, by their ids."""
        rows = await self._database.rows(tenant(organization_id), _NAMED, {"organization": organization_id, "sources": list(source_ids)})
        return {UUID(row["upload_id"]) for row in rows} & set(upload_ids)


class PostgresAgentReading:
    """`AgentReading`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def agents(self, principal: Principal, page: PageRequest) -> Page[AgentRow]:
        """Read agents, newest first."""
        rows = await self._database.rows(
            principal, _AGENTS, {"organization": principal.tenant, "after": _after(page), "limit": page.limit + 1}
        )
        return _page([_agent(row) for row in rows], page)

    async def agent(self, principal: Principal, agent_id: UUID) -> AgentRow:
        """Read one agent."""
        row = await self._database.row(principal, _AGENT_BY_ID, {"organization": principal.tenant, "id": agent_id})
        if row is None:
            raise NotFound("There is no such agent")
        return _agent(row)

    async def published(self, principal: Principal) -> Sequence[AgentRow]:
        """Read all published agents."""
        return [_agent(row) for row in await self._database.rows(principal, _PUBLISHED, {"organization": principal.tenant})]

    async def published_as(self, principal: Principal, name: str) -> AgentRow:
        """Read the published agent with that id or slug; a name with NUL, which Postgres refuses to compare, is nobody's."""
        if "\x00" in name:
            raise NotFound("There is no such agent")
        row = await self._database.row(principal, _PUBLISHED_AS, {"organization": principal.tenant, "name": name, "id": _uuid(name)})
        if row is None:
            raise NotFound("There is no such agent")
        return _agent(row)

    async def versions(self, principal: Principal, agent_id: UUID, page: PageRequest) -> Page[AgentVersionRow]:
        """Read an agent's versions, newest first."""
        rows = await self._database.rows(
            principal,
            _VERSIONS,
            {"organization": principal.tenant, "id": agent_id, "after": _number_after(page), "limit": page.limit + 1},
        )
        if not rows:
            raise NotFound("There is no such agent")
        found = [
            AgentVersionRow(
                number=row["number"],
                settings=settings_from_json(row["settings"]),
                published_at=row["published_at"],
                published_by=row["published_by"],
                live=row["live"],
            )
            for row in rows
            if row["number"] is not None
        ]
        shown = found[: page.limit]
        return Page(tuple(shown), str(shown[-1].number) if len(found) > page.limit else None)


class PostgresKnowledgeReading:
    """`KnowledgeReading`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def bases(self, principal: Principal, page: PageRequest) -> Page[KnowledgeBaseRow]:
        """Read knowledge bases, newest first."""
        rows = await self._database.rows(
            principal, _BASES, {"organization": principal.tenant, "after": _after(page), "limit": page.limit + 1}
        )
        return _page([_base(row) for row in rows], page)

    async def base(self, principal: Principal, base_id: UUID) -> KnowledgeBaseRow:
        """Read one knowledge base."""
        row = await self._database.row(principal, _BASE_BY_ID, {"organization": principal.tenant, "id": base_id})
        if row is None:
            raise NotFound("There is no such knowledge base")
        return _base(row)

    async def sources(self, principal: Principal, base_id: UUID, page: PageRequest) -> Page[KnowledgeSourceRow]:
        """Read a base's sources, newest first."""
        return _page(await self._sources(principal, base_id, after=_after(page), source=None, limit=page.limit + 1), page)

    async def source(self, principal: Principal, base_id: UUID, source_id: UUID) -> KnowledgeSourceRow:
        """Read one source."""
        found = await self._sources(principal, base_id, after=None, source=source_id, limit=1)
        if not found:
            raise NotFound("There is no such source")
        return found[0]

    async def content(self, principal: Principal, base_id: UUID, source_id: UUID) -> SourceContent:
        """Read and decode it."""
        row = await self._database.row(principal, _CONTENT, {"organization": principal.tenant, "base": base_id, "source": source_id})
        if row is None:
            raise NotFound("There is no such source")
        return content_of(row["content"])

    async def passages(
        self, organization_id: UUID, passage_ids: Sequence[UUID], *, knowledge_base_ids: Collection[UUID], embedding_model: str
    ) -> Mapping[UUID, FoundPassage]:
        """Read passages that may be shown."""
        rows = await self._database.rows(
            tenant(organization_id),
            _PASSAGES,
            {"organization": organization_id, "ids": list(passage_ids), "bases": list(knowledge_base_ids), "model": embedding_model},
        )
        return {
            row["id"]: FoundPassage(
                source_id=row["source_id"],
                title=row["title"],
                text=row["text"],
                locator=Locator(**row["locator"]),
                language=KnowledgeLanguage(row["language"]),
            )
            for row in rows
        }

    async def _sources(
        self, principal: Principal, base_id: UUID, *, after: UUID | None, source: UUID | None, limit: int
    ) -> list[KnowledgeSourceRow]:
        rows = await self._database.rows(
            principal,
            _SOURCES,
            {"organization": principal.tenant, "base": base_id, "after": after, "source": source, "limit": limit},
        )
        if not rows:
            raise NotFound("There is no such knowledge base")
        return [_source(row) for row in rows if row["id"] is not None]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _agent(row: Row) -> AgentRow:
    return AgentRow(
        **{
            **row,
            "status": AgentStatus(row["status"]),
            "settings": settings_from_json(row["settings"]),
            "knowledge_base_ids": tuple(row["knowledge_base_ids"]),
        }
    )


def _base(row: Row) -> KnowledgeBaseRow:
    return KnowledgeBaseRow(**{**row, "language": KnowledgeLanguage(row["language"])})


def _source(row: Row) -> KnowledgeSourceRow:
    status = SourceStatus(row["status"])
    return KnowledgeSourceRow(
        id=row["id"],
        knowledge_base_id=row["knowledge_base_id"],
        name=row["name"],
        kind=SourceKind(row["kind"]),
        language=KnowledgeLanguage(row["language"]),
        status=status,
        step=None if status is SourceStatus.READY else SourceStep(row["step"]),
        error=row["error"],
        error_code=row["error_code"],
        progress=progress(status, row["passages_done"], row["passages_total"]),
        passages=row["passages_total"],
        passages_indexed=row["passages_done"],
        size_bytes=row["size_bytes"],
        url=row["url"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        indexed_at=row["indexed_at"],
    )


def _after(page: PageRequest) -> UUID | None:
    return _parsed(page, UUID)


def _number_after(page: PageRequest) -> int | None:
    return _parsed(page, _number)


def _number(text: str) -> int:
    number = int(text)
    if not 0 < number < 1 << 31:
        raise ValueError("a version's number is a positive integer of Postgres")
    return number


def _parsed(page: PageRequest, parse: Callable[[str], T]) -> T | None:
    if page.cursor is None:
        return None
    try:
        return parse(page.cursor)
    except ValueError:
        raise ForeignCursor from None


def _page(found: Sequence[I], page: PageRequest) -> Page[I]:
    shown = found[: page.limit]
    return Page(tuple(shown), str(shown[-1].id) if len(found) > page.limit else None)
