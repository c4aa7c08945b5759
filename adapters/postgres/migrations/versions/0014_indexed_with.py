"""A source remembers what made its vectors, so that the outdated ones are found and indexed anew."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_SEEN = "organization_id, id, knowledge_base_id, status, indexed_with, deleted_at"
_OUTDATED = "status = 'ready' and deleted_at is null"


def upgrade() -> None:
    """Add the name, which no source has yet, and let the platform see which sources may be outdated."""
    op.execute("alter table conversational_ai.knowledge_sources add column indexed_with text")
    op.execute(f"grant select ({_SEEN}) on conversational_ai.knowledge_sources to luneo_platform")
    op.execute(f"create policy outdated_select on conversational_ai.knowledge_sources for select to luneo_platform using ({_OUTDATED})")
    op.execute(
        f"create index ix_knowledge_sources_indexed_with on conversational_ai.knowledge_sources (indexed_with, id) where {_OUTDATED}"
    )


def downgrade() -> None:
    """Take both away."""
    op.execute("drop index conversational_ai.ix_knowledge_sources_indexed_with")
    op.execute("drop policy outdated_select on conversational_ai.knowledge_sources")
    op.execute(f"revoke select ({_SEEN}) on conversational_ai.knowledge_sources from luneo_platform")  # noqa: S608 - our own list
    op.execute("alter table conversational_ai.knowledge_sources drop column indexed_with")
