"""What is found behind new content that was given up is indexed anew by another model too."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_READY = "status = 'ready' and deleted_at is null"
_FOUND = "status in ('ready', 'failed') and indexed_version is not null and deleted_at is null"


def upgrade() -> None:
    """Let the platform see those too."""
    op.execute("grant select (indexed_version) on conversational_ai.knowledge_sources to luneo_platform")
    _seen(_FOUND)


def downgrade() -> None:
    """Let it see ready ones alone."""
    _seen(_READY)
    op.execute("revoke select (indexed_version) on conversational_ai.knowledge_sources from luneo_platform")


def _seen(which: str) -> None:
    op.execute("drop policy outdated_select on conversational_ai.knowledge_sources")
    op.execute(f"create policy outdated_select on conversational_ai.knowledge_sources for select to luneo_platform using ({which})")
    op.execute("drop index conversational_ai.ix_knowledge_sources_indexed_with")
    op.execute(f"create index ix_knowledge_sources_indexed_with on conversational_ai.knowledge_sources (indexed_with, id) where {which}")
