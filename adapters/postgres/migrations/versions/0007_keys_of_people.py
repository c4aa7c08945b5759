"""Answers under the idempotency keys of people, whichever organisation they act for."""

from alembic import op

from adapters.postgres.row_level_security import grant_app

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        """
        create table luneo.personal_idempotent_requests (
          principal_id uuid not null,
          key text not null,
          constraint pk_personal_idempotent_requests primary key (principal_id, key),
          request_digest bytea not null,
          status smallint not null,
          headers jsonb not null,
          body bytea not null,
          created_at timestamptz not null
        )
        """
    )
    op.execute("create index ix_personal_idempotent_requests_created_at on luneo.personal_idempotent_requests (created_at)")
    grant_app("luneo.personal_idempotent_requests", "select, insert, update")
    op.execute("grant select, delete on luneo.personal_idempotent_requests to luneo_platform")


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table luneo.personal_idempotent_requests")
