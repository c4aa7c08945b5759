"""A knowledge source may be a page of the web, and says of which address."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the address: no source of before has one."""
    op.execute("alter table conversational_ai.knowledge_sources add column url text")


def downgrade() -> None:
    """Take it away."""
    op.execute("alter table conversational_ai.knowledge_sources drop column url")
