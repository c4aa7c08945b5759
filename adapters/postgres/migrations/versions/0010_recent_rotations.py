"""A session remembers when it was rotated of late, so that every refresh token has its whole grace."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the times."""
    op.execute("alter table identity.sessions add column recent_rotations timestamptz[] not null default '{}'")


def downgrade() -> None:
    """Take them away."""
    op.execute("alter table identity.sessions drop column recent_rotations")
