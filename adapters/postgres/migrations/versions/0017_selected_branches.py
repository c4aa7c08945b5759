"""A conversation counts the times that another of its branches was selected: its version, which a turn that opens looks at."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the application count, and lock a conversation while a turn opens in it."""
    op.execute("grant update (version) on conversational_ai.conversations to luneo_app")


def downgrade() -> None:
    """Take it back."""
    op.execute("revoke update (version) on conversational_ai.conversations from luneo_app")
