"""The aggregates of agents and knowledge through SQLAlchemy's unit of work; passages in plain SQL."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import select

from adapters.postgres.conversational_ai.tables import agent_versions, agents, knowledge_bases, knowledge_sources
from adapters.postgres.database import Row
from adapters.postgres.refusals import register
from adapters.postgres.unit_of_work import PostgresTransaction, UnitOfWorkScope
from domains.conversational_ai.model.agent import Agent, AgentVersion, SlugTaken
from domains.conversational_ai.model.citation import Locator
from domains.conversational_ai.model.file_format import FileFormat
from domains.conversational_ai.model.knowledge_base import KnowledgeBase
from domains.conversational_ai.model.knowledge_source import (
    FileContent,
    KnowledgeSource,
    Pair,
    QuestionsContent,
    SourceContent,
    TextContent,
    WebPageContent,
)
from domains.conversational_ai.model.passage import Passage, PlacedPassage, opening_of
from domains.conversational_ai.model.web_address import WebAddress
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledge, DeletedSource
from shared_kernel.errors import NotFound

register("uq_agents_slug", lambda _: SlugTaken())
register("fk_agent_knowledge_bases_knowledge_base", lambda _: NotFound("There is no such knowledge base"))

_HOLD: LiteralString = "select id from conversational_ai.knowledge_bases where id = any(%s) and deleted_at is null order by id for share"
_DETACH: LiteralString = "delete from conversational_ai.agent_knowledge_bases where knowledge_base_id = %s"
_KEEP_CONTENT: LiteralString = """
insert into conversational_ai.source_contents (organization_id, source_id, version, content) values (%s, %s, %s, %s)
"""
_CHANGE_CONTENT: LiteralString = """
update conversational_ai.source_contents set content = %s where source_id = %s and version = %s
"""
_CONTENT: LiteralString = "select content from conversational_ai.source_contents where source_id = %s and version = %s"
_DELETE_ALL: LiteralString = """
update conversational_ai.knowledge_sources set deleted_at = %(at)s, updated_at = %(at)s, version = version + 1
 where knowledge_base_id = %(base)s and deleted_at is null
returning id, size_bytes, content_version
"""
_UPLOADS_BEFORE: LiteralString = """
select coalesce(content -> 'file', content -> 'web_page') ->> 'upload_id' as upload_id from conversational_ai.source_contents
 where source_id = %s and version < %s and content ?| array['file', 'web_page'] order by version
"""
_FORGET_CONTENT_BEFORE: LiteralString = "delete from conversational_ai.source_contents where source_id = %s and version < %s"
_FORGET_PASSAGES_BEFORE: LiteralString = "delete from conversational_ai.passages where source_id = %s and source_version < %s"
_FORGET: LiteralString = "delete from conversational_ai.knowledge_sources where id = %s and deleted_at is not null"
_FORGET_BASE: LiteralString = "delete from conversational_ai.knowledge_bases where id = %s and deleted_at is not null"
_WRITE: LiteralString = """
insert into conversational_ai.passages
       (organization_id, id, knowledge_base_id, source_id, source_version, ordinal, text, locator, content_hash, embedding_model)
select organization_id, id, knowledge_base_id, source_id, source_version, ordinal, text, locator, decode(content_hash, 'hex'),
embedding_model
  from jsonb_to_recordset(%s) as p (organization_id uuid, id uuid, knowledge_base_id uuid, source_id uuid, source_version integer,
                                    ordinal integer, text text, locator jsonb, content_hash text, embedding_model text)
"""
_COUNT: LiteralString = """
select count(*) as total, count(*) filter (where embedding_model = %(model)s) as done
  from conversational_ai.passages where source_id = %(source)s and source_version = %(version)s
"""
_MARK: LiteralString = "update conversational_ai.passages set embedding_model = %s where id = any(%s)"
# A section's first passage comes after the last one that has another heading.
_NEXT: LiteralString = """
select p.organization_id, p.id, p.knowledge_base_id, p.source_id, p.source_version, p.ordinal, p.text, p.locator, p.embedding_model,
       section.text as section
  from conversational_ai.passages p
  left join lateral (
       select f.text
         from conversational_ai.passages f
        where f.organization_id = p.organization_id and f.source_id = p.source_id and f.source_version = p.source_version
          and f.ordinal < p.ordinal
          and f.ordinal > coalesce((
              select max(o.ordinal)
                from conversational_ai.passages o
               where o.organization_id = p.organization_id and o.source_id = p.source_id and o.source_version = p.source_version
                 and o.ordinal < p.ordinal and o.locator ->> 'heading' is distinct from p.locator ->> 'heading'), -1)
        order by f.ordinal limit 1) section on true
 where p.source_id = %(source)s and p.source_version = %(version)s and p.embedding_model is distinct from %(model)s
 order by p.ordinal limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class PostgresAgents:
    """`Agents` of one transaction."""

    scope: UnitOfWorkScope

    def add(self, agent: Agent) -> None:
        """Insert it when the transaction ends."""
        self.scope.add(agent)

    async def get(self, agent_id: UUID) -> Agent:
        """Select it with its attachments."""
        statement = select(Agent).where(agents.c.id == agent_id, agents.c.archived_at.is_(None))
        return await self.scope.get(statement, "There is no such agent")

    async def with_slug(self, slug: str) -> Agent | None:
        """Select it with its attachments."""
        statement = select(Agent).where(agents.c.slug == slug, agents.c.archived_at.is_(None))
        return await self.scope.find(statement)

    async def slugs_like(self, slug: str) -> Sequence[str]:
        """Select slugs by their beginning, which holds no wildcard."""
        statement = select(agents.c.slug).where(agents.c.slug.startswith(slug, autoescape=True), agents.c.archived_at.is_(None))
        return (await self.scope.session.execute(statement)).scalars().all()

    async def add_version(self, version: AgentVersion) -> None:
        """Insert it when the transaction ends, after its agent."""
        await self.scope.session.flush()
        self.scope.session.add(version)

    async def get_version(self, agent_id: UUID, number: int) -> AgentVersion:
        """Select it."""
        statement = select(AgentVersion).where(agent_versions.c.agent_id == agent_id, agent_versions.c.number == number)
        found = (await self.scope.session.execute(statement)).scalar_one_or_none()
        if found is None:
            raise NotFound("There is no such version of this agent")
        return found


@dataclass(frozen=True, slots=True)
class PostgresKnowledgeBases:
    """`KnowledgeBases` of one transaction."""

    scope: UnitOfWorkScope

    def add(self, base: KnowledgeBase) -> None:
        """Insert it when the transaction ends."""
        self.scope.add(base)

    async def get(self, base_id: UUID) -> KnowledgeBase:
        """Select it for update."""
        statement = select(KnowledgeBase).where(knowledge_bases.c.id == base_id, knowledge_bases.c.deleted_at.is_(None)).with_for_update()
        return await self.scope.get(statement, "There is no such knowledge base")

    async def hold(self, base_ids: Collection[UUID]) -> None:
        """Lock them for share."""
        wanted = set(base_ids)
        found = await self.scope.execute(_HOLD, (list(wanted),)) if wanted else []
        if len(found) != len(wanted):
            raise NotFound("There is no such knowledge base")

    async def detach(self, base_id: UUID) -> None:
        """Delete its attachments."""
        await self.scope.execute(_DETACH, (base_id,))


@dataclass(frozen=True, slots=True)
class PostgresKnowledgeSources:
    """`KnowledgeSources` of one transaction."""

    scope: UnitOfWorkScope

    async def add(self, source: KnowledgeSource, content: SourceContent) -> None:
        """Insert both now."""
        await self.scope.session.flush()
        self.scope.add(source)
        await self.replace(source, content)

    async def replace(self, source: KnowledgeSource, content: SourceContent) -> None:
        """Insert it now, under the source's version of it."""
        await self.scope.session.flush()
        await self.scope.execute(_KEEP_CONTENT, (source.organization_id, source.id, source.content_version, Jsonb(content_json(content))))

    async def get(self, base_id: UUID, source_id: UUID) -> KnowledgeSource:
        """Select it for update."""
        statement = (
            select(KnowledgeSource)
            .where(
                knowledge_sources.c.id == source_id,
                knowledge_sources.c.knowledge_base_id == base_id,
                knowledge_sources.c.deleted_at.is_(None),
            )
            .with_for_update()
        )
        return await self.scope.get(statement, "There is no such source")

    async def content(self, source: KnowledgeSource) -> SourceContent:
        """Select and decode it."""
        rows = await self.scope.execute(_CONTENT, (source.id, source.content_version))
        if not rows:
            raise NotFound("The source has no content")
        return content_of(rows[0]["content"])

    async def fetched(self, source: KnowledgeSource, content: WebPageContent) -> None:
        """Update it now."""
        await self.scope.execute(_CHANGE_CONTENT, (Jsonb(content_json(content)), source.id, source.content_version))

    async def delete_all(self, base_id: UUID, *, at: datetime) -> Sequence[DeletedSource]:
        """Mark them in one statement."""
        rows = await self.scope.execute(_DELETE_ALL, {"base": base_id, "at": at})
        return [DeletedSource(row["id"], row["size_bytes"], row["content_version"]) for row in rows]

    async def uploads_before(self, source_id: UUID, version: int) -> Sequence[UUID]:
        """Select them from the contents."""
        return [UUID(row["upload_id"]) for row in await self.scope.execute(_UPLOADS_BEFORE, (source_id, version))]

    async def forget_before(self, source_id: UUID, version: int) -> None:
        """Delete both."""
        await self.scope.execute(_FORGET_PASSAGES_BEFORE, (source_id, version))
        await self.scope.execute(_FORGET_CONTENT_BEFORE, (source_id, version))

    async def forget(self, source_id: UUID) -> None:
        """Delete it; content and passages go with it."""
        await self.scope.execute(_FORGET, (source_id,))

    async def forget_base(self, base_id: UUID) -> None:
        """Delete it; sources, content and passages go with it."""
        await self.scope.execute(_FORGET_BASE, (base_id,))


@dataclass(frozen=True, slots=True)
class PostgresPassages:
    """`Passages` of one transaction."""

    scope: UnitOfWorkScope

    async def write(self, passages: Sequence[Passage]) -> None:
        """Insert them in one statement."""
        await self.scope.execute(_WRITE, (Jsonb([_passage_json(p) for p in passages]),))

    async def count(self, source_id: UUID, version: int, *, embedding_model: str) -> tuple[int, int]:
        """Count (indexed, all)."""
        rows = await self.scope.execute(_COUNT, {"source": source_id, "version": version, "model": embedding_model})
        return rows[0]["done"], rows[0]["total"]

    async def mark_indexed(self, passage_ids: Sequence[UUID], *, embedding_model: str) -> None:
        """Update them in one statement."""
        await self.scope.execute(_MARK, (embedding_model, list(passage_ids)))

    async def next_to_index(self, source_id: UUID, version: int, *, embedding_model: str, limit: int) -> Sequence[PlacedPassage]:
        """Select them by ordinal."""
        rows = await self.scope.execute(_NEXT, {"source": source_id, "version": version, "model": embedding_model, "limit": limit})
        return [PlacedPassage(_passage(row), opening_of(row["section"] or "")) for row in rows]


@dataclass(frozen=True, slots=True)
class PostgresAgentsAndKnowledge:
    """One transaction."""

    unit: UnitOfWorkScope
    agents: PostgresAgents
    knowledge_bases: PostgresKnowledgeBases
    sources: PostgresKnowledgeSources
    passages: PostgresPassages


class PostgresAgentsAndKnowledgeTransactions(PostgresTransaction[AgentsAndKnowledge]):
    """Opens transactions."""

    def view(self, scope: UnitOfWorkScope) -> PostgresAgentsAndKnowledge:
        """Build the repositories on `scope`."""
        return PostgresAgentsAndKnowledge(
            unit=scope,
            agents=PostgresAgents(scope),
            knowledge_bases=PostgresKnowledgeBases(scope),
            sources=PostgresKnowledgeSources(scope),
            passages=PostgresPassages(scope),
        )


def content_json(content: SourceContent) -> dict[str, Any]:
    """Return content as it is stored."""
    if isinstance(content, FileContent):
        named = {"upload_id": str(content.upload_id), "name": content.name, "format": content.format, "size_bytes": content.size_bytes}
        return {"file": named}
    if isinstance(content, WebPageContent):
        page = {
            "upload_id": str(content.upload_id),
            "url": str(content.address),
            "format": content.format,
            "size_bytes": content.size_bytes,
        }
        return {"web_page": page}
    if isinstance(content, TextContent):
        return {"text": content.text}
    return {"pairs": [{"question": p.question, "answer": p.answer} for p in content.pairs]}


def content_of(stored: dict[str, Any]) -> SourceContent:
    """Return the content that was stored."""
    if "file" in stored:
        named = stored["file"]
        return FileContent(UUID(named["upload_id"]), named["name"], FileFormat(named["format"]), named["size_bytes"])
    if "web_page" in stored:
        page = stored["web_page"]
        file_format = None if page["format"] is None else FileFormat(page["format"])
        return WebPageContent(UUID(page["upload_id"]), WebAddress.parse(page["url"]), file_format, page["size_bytes"])
    if "text" in stored:
        return TextContent(stored["text"])
    return QuestionsContent(tuple(Pair(p["question"], p["answer"]) for p in stored["pairs"]))


def locator_json(locator: Locator) -> dict[str, Any]:
    """Return a locator as it is stored: what it does not say is left out."""
    said = {"page": locator.page, "heading": locator.heading, "start": locator.start, "end": locator.end}
    return {name: value for name, value in said.items() if value is not None}


def _passage_json(passage: Passage) -> dict[str, Any]:
    return {
        "organization_id": str(passage.organization_id),
        "id": str(passage.id),
        "knowledge_base_id": str(passage.knowledge_base_id),
        "source_id": str(passage.source_id),
        "source_version": passage.source_version,
        "ordinal": passage.ordinal,
        "text": passage.text,
        "locator": locator_json(passage.locator),
        "content_hash": passage.content_hash.hex(),
        "embedding_model": passage.embedding_model,
    }


def _passage(row: Row) -> Passage:
    return Passage(**{**{name: value for name, value in row.items() if name != "section"}, "locator": Locator(**row["locator"])})
