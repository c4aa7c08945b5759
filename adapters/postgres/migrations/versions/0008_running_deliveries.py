"""A delivery that a worker has begun is told from one that waits in a queue."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the state `running`, and how often a waiting delivery was sent."""
    op.execute("alter table messaging.deliveries add column sends smallint not null default 0")
    _know_states("'due', 'sent', 'running', 'done', 'dead'", unfinished="'due', 'sent', 'running'")


def downgrade() -> None:
    """Take both away; what runs is sent again when its lease is over."""
    # the owner is held by the policies too: without row-level security on the owner for a moment, every organisation's rows are reached
    op.execute("alter table messaging.deliveries no force row level security")
    op.execute("update messaging.deliveries set state = 'sent' where state = 'running'")
    op.execute("alter table messaging.deliveries force row level security")
    _know_states("'due', 'sent', 'done', 'dead'", unfinished="'due', 'sent'")
    op.execute("alter table messaging.deliveries drop column sends")


def _know_states(states: str, *, unfinished: str) -> None:
    op.execute("alter table messaging.deliveries drop constraint ck_deliveries_state_known")
    op.execute(f"alter table messaging.deliveries add constraint ck_deliveries_state_known check (state in ({states}))")
    op.execute("drop index messaging.ix_deliveries_due")
    op.execute(f"create index ix_deliveries_due on messaging.deliveries (due_at) where state in ({unfinished})")
