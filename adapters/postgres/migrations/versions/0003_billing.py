"""Subscriptions, counters, reservations and usage events."""

from alembic import op

from adapters.postgres.row_level_security import allow, grant_app, protect

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("subscriptions", "quota_counters", "reservations", "reservation_lines", "usage_events")


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        create table billing.subscriptions (
          organization_id uuid not null,
          id uuid not null,
          plan text not null,
          add_ons jsonb not null,
          status text not null,
          anchor_day smallint not null constraint ck_subscriptions_anchor_day_of_a_month check (anchor_day between 1 and 31),
          started_at timestamptz not null,
          version integer not null,
          constraint pk_subscriptions primary key (organization_id, id),
          constraint uq_subscriptions_organization_id unique (organization_id)
        )
        """
    )
    # half-empty pages: a counter is updated in place once per turn, and `taken` is in no index
    op.execute(
        """
        create table billing.quota_counters (
          organization_id uuid not null,
          metric text not null,
          period_start timestamptz not null,
          period_end timestamptz not null,
          limit_value bigint,
          ceiling bigint,
          taken bigint not null default 0 constraint ck_quota_counters_taken_not_negative check (taken >= 0),
          constraint pk_quota_counters primary key (organization_id, metric, period_start)
        ) with (fillfactor = 50)
        """
    )
    op.execute(
        """
        create table billing.reservations (
          organization_id uuid not null,
          id uuid not null,
          cause text not null,
          state text not null constraint ck_reservations_state_known check (state in ('open', 'settled', 'released', 'expired')),
          reserved_at timestamptz not null,
          expires_at timestamptz not null,
          closed_at timestamptz,
          constraint pk_reservations primary key (organization_id, id)
        )
        """
    )
    op.execute("create index ix_reservations_open on billing.reservations (organization_id) where state = 'open'")
    op.execute("create index ix_reservations_expiring on billing.reservations (expires_at) where state = 'open'")
    op.execute(
        """
        create table billing.reservation_lines (
          organization_id uuid not null,
          reservation_id uuid not null,
          metric text not null,
          quantity bigint not null constraint ck_reservation_lines_quantity_positive check (quantity > 0),
          period_start timestamptz not null,
          event_id uuid not null,
          once_for uuid,
          constraint pk_reservation_lines primary key (organization_id, reservation_id, metric),
          constraint fk_reservation_lines_organization_id_reservation_id foreign key (organization_id, reservation_id)
            references billing.reservations (organization_id, id) on delete cascade
        )
        """
    )
    op.execute(
        """
        create table billing.usage_events (
          organization_id uuid not null,
          id uuid not null,
          metric text not null,
          quantity bigint not null,
          estimated boolean not null,
          cost_micro bigint,
          currency text,
          cause text not null,
          cause_id uuid not null,
          occurred_at timestamptz not null,
          recorded_at timestamptz not null,
          constraint pk_usage_events primary key (organization_id, id),
          constraint ck_usage_events_cost_has_currency check ((cost_micro is null) = (currency is null))
        )
        """
    )
    op.execute("create index ix_usage_events_organization_id_occurred_at_id on billing.usage_events (organization_id, occurred_at, id)")
    for table in TABLES:
        protect(f"billing.{table}")
    grant_app("billing.subscriptions", "select, insert, update")
    grant_app("billing.quota_counters", "select, insert, update")
    grant_app("billing.reservations", "select, insert, update")
    grant_app("billing.reservation_lines", "select, insert")
    grant_app("billing.usage_events", "select, insert")
    allow("luneo_platform", "billing.reservations", "select", name="sweeper", using="state = 'open'")


def downgrade() -> None:
    """Drop the tables."""
    for table in reversed(TABLES):
        op.execute(f"drop table billing.{table}")
