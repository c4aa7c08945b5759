"""Turns outside of conversations that people see, why an answer ended, and the functions that it calls."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; conversations of one question each are kept out of every list, so they are out of its index too."""
    op.execute("alter table conversational_ai.conversations add column listed boolean not null default true")
    op.execute("create index ix_conversations_listed on conversational_ai.conversations (organization_id, id) where listed")
    op.execute("alter table conversational_ai.messages add column finish_reason text, add column tool_calls jsonb")


def downgrade() -> None:
    """Take them away. What was asked outside of a conversation goes with them: nothing else tells it apart."""
    op.execute("alter table conversational_ai.messages drop column tool_calls, drop column finish_reason")
    op.execute("drop index conversational_ai.ix_conversations_listed")
    op.execute("alter table conversational_ai.conversations drop column listed")
