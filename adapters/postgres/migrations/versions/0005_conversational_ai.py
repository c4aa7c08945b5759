"""Agents, their versions, knowledge bases, sources and passages."""

from alembic import op

from adapters.postgres.row_level_security import grant_app, protect

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("agents", "agent_versions", "knowledge_bases", "agent_knowledge_bases", "knowledge_sources", "source_contents", "passages")


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        create table conversational_ai.agents (
          organization_id uuid not null,
          id uuid not null,
          name text not null,
          slug text not null,
          description text not null,
          template_slug text,
          status text not null constraint ck_agents_status_known check (status in ('draft', 'published', 'archived')),
          draft jsonb not null,
          latest_number integer not null,
          published_number integer constraint ck_agents_published_number_exists check (published_number between 1 and latest_number),
          published_at timestamptz,
          unpublished_changes boolean not null,
          created_at timestamptz not null,
          updated_at timestamptz not null,
          archived_at timestamptz,
          version integer not null,
          constraint pk_agents primary key (organization_id, id),
          constraint ck_agents_archived check ((status = 'archived') = (archived_at is not null))
        )
        """
    )
    op.execute("create unique index uq_agents_slug on conversational_ai.agents (organization_id, slug) where archived_at is null")
    op.execute(
        """
        create table conversational_ai.agent_versions (
          organization_id uuid not null,
          agent_id uuid not null,
          number integer not null,
          settings jsonb not null,
          published_at timestamptz not null,
          published_by uuid,
          constraint pk_agent_versions primary key (organization_id, agent_id, number),
          constraint fk_agent_versions_agent foreign key (organization_id, agent_id)
            references conversational_ai.agents (organization_id, id) on delete cascade
        )
        """
    )
    op.execute(
        """
        create table conversational_ai.knowledge_bases (
          organization_id uuid not null,
          id uuid not null,
          name text not null,
          description text not null,
          language text not null,
          created_at timestamptz not null,
          updated_at timestamptz not null,
          deleted_at timestamptz,
          version integer not null,
          constraint pk_knowledge_bases primary key (organization_id, id)
        )
        """
    )
    op.execute(
        """
        create table conversational_ai.agent_knowledge_bases (
          organization_id uuid not null,
          agent_id uuid not null,
          knowledge_base_id uuid not null,
          position smallint not null,
          constraint pk_agent_knowledge_bases primary key (organization_id, agent_id, knowledge_base_id),
          constraint fk_agent_knowledge_bases_agent foreign key (organization_id, agent_id)
            references conversational_ai.agents (organization_id, id) on delete cascade,
          constraint fk_agent_knowledge_bases_knowledge_base foreign key (organization_id, knowledge_base_id)
            references conversational_ai.knowledge_bases (organization_id, id) on delete cascade
        )
        """
    )
    op.execute(
        "create index ix_agent_knowledge_bases_knowledge_base"
        " on conversational_ai.agent_knowledge_bases (organization_id, knowledge_base_id)"
    )
    op.execute(
        """
        create table conversational_ai.knowledge_sources (
          organization_id uuid not null,
          id uuid not null,
          knowledge_base_id uuid not null,
          name text not null,
          kind text not null,
          language text not null,
          size_bytes bigint not null,
          status text not null
            constraint ck_knowledge_sources_status_known check (status in ('pending', 'processing', 'ready', 'failed')),
          error text,
          content_version integer not null,
          indexed_version integer,
          passages_total integer not null,
          passages_done integer not null,
          created_at timestamptz not null,
          updated_at timestamptz not null,
          indexed_at timestamptz,
          deleted_at timestamptz,
          version integer not null,
          constraint pk_knowledge_sources primary key (organization_id, id),
          constraint fk_knowledge_sources_knowledge_base foreign key (organization_id, knowledge_base_id)
            references conversational_ai.knowledge_bases (organization_id, id) on delete cascade
        )
        """
    )
    op.execute(
        "create index ix_knowledge_sources_knowledge_base on conversational_ai.knowledge_sources (organization_id, knowledge_base_id, id)"
    )
    op.execute(
        """
        create table conversational_ai.source_contents (
          organization_id uuid not null,
          source_id uuid not null,
          version integer not null,
          content jsonb not null,
          constraint pk_source_contents primary key (organization_id, source_id, version),
          constraint fk_source_contents_source foreign key (organization_id, source_id)
            references conversational_ai.knowledge_sources (organization_id, id) on delete cascade
        )
        """
    )
    op.execute(
        """
        create table conversational_ai.passages (
          organization_id uuid not null,
          id uuid not null,
          knowledge_base_id uuid not null,
          source_id uuid not null,
          source_version integer not null,
          ordinal integer not null,
          text text not null,
          locator jsonb not null,
          content_hash bytea not null,
          embedding_model text,
          constraint pk_passages primary key (organization_id, id),
          constraint fk_passages_source foreign key (organization_id, source_id)
            references conversational_ai.knowledge_sources (organization_id, id) on delete cascade
        )
        """
    )
    op.execute(
        "create unique index uq_passages_ordinal on conversational_ai.passages (organization_id, source_id, source_version, ordinal)"
    )
    for table in TABLES:
        protect(f"conversational_ai.{table}")
        grant_app(f"conversational_ai.{table}", "select, insert" if table == "agent_versions" else "select, insert, update, delete")


def downgrade() -> None:
    """Drop the tables."""
    for table in reversed(TABLES):
        op.execute(f"drop table conversational_ai.{table}")
