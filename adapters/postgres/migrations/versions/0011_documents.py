"""A knowledge source says which step it has come to, and, for programs, why it failed."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both. What was indexed before shows no step, and what waits is stored."""
    op.execute("alter table conversational_ai.knowledge_sources add column step text not null default 'stored'")
    op.execute("alter table conversational_ai.knowledge_sources add column error_code text")


def downgrade() -> None:
    """Take them away."""
    op.execute("alter table conversational_ai.knowledge_sources drop column error_code")
    op.execute("alter table conversational_ai.knowledge_sources drop column step")
