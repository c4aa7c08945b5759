"""Schemas, the refusal function, events and deliveries."""

from alembic import op

from adapters.postgres.row_level_security import allow, grant_app, protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CONTEXTS = ("identity", "billing", "conversational_ai", "governance", "messaging")


def upgrade() -> None:
    """Create what every context stands on."""
    op.execute("revoke create on schema public from public")
    op.execute("grant usage on schema luneo to luneo_app, luneo_relay, luneo_platform")
    op.execute("grant select on luneo.schema_version to luneo_app, luneo_relay, luneo_platform")
    op.execute(
        """
        create function luneo.require(ok boolean, code text, detail text default null) returns boolean language plpgsql volatile as $$
        begin
          if ok is distinct from true then
            raise exception using errcode = 'LU001', message = code, detail = coalesce(detail, '');
          end if;
          return true;
        end $$
        """
    )
    for schema in CONTEXTS:
        op.execute(f"create schema {schema}")
        op.execute(f"grant usage on schema {schema} to luneo_app, luneo_platform")
    op.execute("grant create on schema identity, billing, conversational_ai, governance, messaging to luneo_platform")
    op.execute("grant usage on schema messaging to luneo_relay")
    op.execute(
        """
        create table messaging.events (
          id uuid constraint pk_events primary key,
          organization_id uuid,
          type text not null,
          aggregate text not null,
          aggregate_id uuid not null,
          aggregate_version integer not null,
          ordinal smallint not null,
          payload jsonb not null,
          occurred_at timestamptz not null,
          request_id text
        )
        """
    )
    op.execute("create index ix_events_organization_id on messaging.events (organization_id, id)")
    op.execute(
        """
        create table messaging.deliveries (
          id uuid constraint pk_deliveries primary key,
          event_id uuid not null constraint fk_deliveries_event_id references messaging.events (id) on delete cascade,
          organization_id uuid,
          consumer text not null,
          queue text not null,
          aggregate_id uuid not null,
          aggregate_version integer not null,
          ordinal smallint not null,
          ordered boolean not null,
          state text not null constraint ck_deliveries_state_known check (state in ('due', 'sent', 'done', 'dead')),
          attempts integer not null default 0,
          due_at timestamptz not null,
          finished_at timestamptz,
          last_error text
        )
        """
    )
    op.execute("create unique index uq_deliveries_event_id_consumer on messaging.deliveries (event_id, consumer)")
    op.execute("create index ix_deliveries_due on messaging.deliveries (due_at) where state in ('due', 'sent')")
    op.execute(
        "create index ix_deliveries_order on messaging.deliveries (consumer, aggregate_id, aggregate_version, ordinal) where "
        "state <> 'done'"
    )
    op.execute(
        """
        create table luneo.idempotent_requests (
          organization_id uuid not null,
          principal_id uuid not null,
          key text not null,
          constraint pk_idempotent_requests primary key (organization_id, principal_id, key),
          request_digest bytea not null,
          status smallint not null,
          headers jsonb not null,
          body bytea not null,
          created_at timestamptz not null
        )
        """
    )
    op.execute("create index ix_idempotent_requests_created_at on luneo.idempotent_requests (created_at)")
    protect("luneo.idempotent_requests")
    grant_app("luneo.idempotent_requests", "select, insert, update")
    allow("luneo_platform", "luneo.idempotent_requests", "select, delete", name="platform")
    op.execute("create table messaging.ticks (job text, due_at timestamptz, constraint pk_ticks primary key (job, due_at))")
    op.execute("grant select, insert, delete on messaging.ticks to luneo_platform")
    for table in ("messaging.events", "messaging.deliveries"):
        protect(table, tenantless_rows=True)
        allow("luneo_platform", table, "select", name="platform")
    grant_app("messaging.events", "select, insert")
    grant_app("messaging.deliveries", "select, insert, update")
    allow("luneo_relay", "messaging.events", "select", name="relay")
    allow("luneo_relay", "messaging.deliveries", "select, update", name="relay")


def downgrade() -> None:
    """Drop it all."""
    for schema in reversed(CONTEXTS):
        op.execute(f"drop schema {schema} cascade")
    op.execute("drop table luneo.idempotent_requests")
    op.execute("drop function luneo.require(boolean, text, text)")
    op.execute("revoke usage on schema luneo from luneo_app, luneo_relay, luneo_platform")
