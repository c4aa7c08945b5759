"""Agents, their versions, knowledge bases, sources and passages."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.orm import relationship

from adapters.postgres.mapping import Choice, Json, identifier, mappings, metadata, moment
from domains.conversational_ai.model.agent import Agent, AgentSettings, AgentStatus, AgentVersion, Attachment
from domains.conversational_ai.model.knowledge_base import KnowledgeBase
from domains.conversational_ai.model.knowledge_source import KnowledgeSource, SourceKind, SourceStatus, SourceStep
from domains.conversational_ai.model.languages import KnowledgeLanguage

SCHEMA = "conversational_ai"


def settings_from_json(stored: Mapping[str, Any]) -> AgentSettings:
    """Return the settings that were stored; settings added since have their defaults."""
    return msgspec.convert(stored, AgentSettings)


class SettingsAsJson(TypeDecorator[AgentSettings]):
    """An agent's settings in a `jsonb` column, one key per field."""

    impl = Json
    cache_ok = True

    def process_bind_param(self, value: AgentSettings | None, dialect: Dialect) -> dict[str, Any] | None:  # noqa: ARG002 - its signature
        """Return the JSON to store."""
        return None if value is None else msgspec.to_builtins(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> AgentSettings | None:  # noqa: ANN401, ARG002 - same
        """Return the settings that were stored."""
        return None if value is None else settings_from_json(value)


agents = Table(
    "agents",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier(primary_key=True),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("template_slug", Text),
    Column("status", Choice(AgentStatus), nullable=False),
    Column("draft", SettingsAsJson(), nullable=False),
    Column("latest_number", Integer, nullable=False),
    Column("published_number", Integer),
    moment("published_at", nullable=True),
    Column("unpublished_changes", Boolean, nullable=False),
    moment("created_at"),
    moment("updated_at"),
    moment("archived_at", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint("status in ('draft', 'published', 'archived')", name="status_known"),
    CheckConstraint("published_number between 1 and latest_number", name="published_number_exists"),
    CheckConstraint("(status = 'archived') = (archived_at is not null)", name="archived"),
    schema=SCHEMA,
)
Index("uq_agents_slug", agents.c.organization_id, agents.c.slug, unique=True, postgresql_where=text("archived_at is null"))

agent_versions = Table(
    "agent_versions",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier("agent_id", primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("settings", SettingsAsJson(), nullable=False),
    moment("published_at"),
    identifier("published_by", nullable=True),
    ForeignKeyConstraint(
        ["organization_id", "agent_id"],
        ["conversational_ai.agents.organization_id", "conversational_ai.agents.id"],
        name="fk_agent_versions_agent",
        ondelete="CASCADE",
    ),
    schema=SCHEMA,
)

knowledge_bases = Table(
    "knowledge_bases",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier(primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("language", Choice(KnowledgeLanguage), nullable=False),
    moment("created_at"),
    moment("updated_at"),
    moment("deleted_at", nullable=True),
    Column("version", Integer, nullable=False),
    schema=SCHEMA,
)

agent_knowledge_bases = Table(
    "agent_knowledge_bases",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier("agent_id", primary_key=True),
    identifier("knowledge_base_id", primary_key=True),
    Column("position", SmallInteger, nullable=False),
    ForeignKeyConstraint(
        ["organization_id", "agent_id"],
        ["conversational_ai.agents.organization_id", "conversational_ai.agents.id"],
        name="fk_agent_knowledge_bases_agent",
        ondelete="CASCADE",
    ),
    ForeignKeyConstraint(
        ["organization_id", "knowledge_base_id"],
        ["conversational_ai.knowledge_bases.organization_id", "conversational_ai.knowledge_bases.id"],
        name="fk_agent_knowledge_bases_knowledge_base",
        ondelete="CASCADE",
    ),
    schema=SCHEMA,
)
Index("ix_agent_knowledge_bases_knowledge_base", agent_knowledge_bases.c.organization_id, agent_knowledge_bases.c.knowledge_base_id)

knowledge_sources = Table(
    "knowledge_sources",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier(primary_key=True),
    identifier("knowledge_base_id"),
    Column("name", Text, nullable=False),
    Column("kind", Choice(SourceKind), nullable=False),
    Column("language", Choice(KnowledgeLanguage), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("url", Text),
    Column("status", Choice(SourceStatus), nullable=False),
    Column("step", Choice(SourceStep), nullable=False),
    Column("error", Text),
    Column("error_code", Text),
    Column("content_version", Integer, nullable=False),
    Column("indexed_version", Integer),
    Column("indexed_with", Text),
    Column("passages_total", Integer, nullable=False),
    Column("passages_done", Integer, nullable=False),
    moment("created_at"),
    moment("updated_at"),
    moment("indexed_at", nullable=True),
    moment("deleted_at", nullable=True),
    Column("version", Integer, nullable=False),
    CheckConstraint("status in ('pending', 'processing', 'ready', 'failed')", name="status_known"),
    ForeignKeyConstraint(
        ["organization_id", "knowledge_base_id"],
        ["conversational_ai.knowledge_bases.organization_id", "conversational_ai.knowledge_bases.id"],
        name="fk_knowledge_sources_knowledge_base",
        ondelete="CASCADE",
    ),
    schema=SCHEMA,
)
Index(
    "ix_knowledge_sources_knowledge_base",
    knowledge_sources.c.organization_id,
    knowledge_sources.c.knowledge_base_id,
    knowledge_sources.c.id,
)
Index(
    "ix_knowledge_sources_indexed_with",
    knowledge_sources.c.indexed_with,
    knowledge_sources.c.id,
    postgresql_where=text("status in ('ready', 'failed') and indexed_version is not null and deleted_at is null"),
)

source_contents = Table(
    "source_contents",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier("source_id", primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("content", Json, nullable=False),
    ForeignKeyConstraint(
        ["organization_id", "source_id"],
        ["conversational_ai.knowledge_sources.organization_id", "conversational_ai.knowledge_sources.id"],
        name="fk_source_contents_source",
        ondelete="CASCADE",
    ),
    schema=SCHEMA,
)

passages = Table(
    "passages",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier(primary_key=True),
    identifier("knowledge_base_id"),
    identifier("source_id"),
    Column("source_version", Integer, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("locator", Json, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("embedding_model", Text),
    ForeignKeyConstraint(
        ["organization_id", "source_id"],
        ["conversational_ai.knowledge_sources.organization_id", "conversational_ai.knowledge_sources.id"],
        name="fk_passages_source",
        ondelete="CASCADE",
    ),
    schema=SCHEMA,
)
Index("uq_passages_ordinal", passages.c.organization_id, passages.c.source_id, passages.c.source_version, passages.c.ordinal, unique=True)

mappings.map_imperatively(AgentVersion, agent_versions)
mappings.map_imperatively(Attachment, agent_knowledge_bases)
mappings.map_imperatively(
    Agent,
    agents,
    version_id_col=agents.c.version,
    properties={
        "attachments": relationship(
            Attachment, cascade="all, delete-orphan", lazy="selectin", order_by=agent_knowledge_bases.c.position, passive_deletes=True
        )
    },
)
mappings.map_imperatively(KnowledgeBase, knowledge_bases, version_id_col=knowledge_bases.c.version)
mappings.map_imperatively(KnowledgeSource, knowledge_sources, version_id_col=knowledge_sources.c.version)
