"""Tables of the context governance."""

from alembic import op

from adapters.postgres.row_level_security import allow, grant_app, protect

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# `transaction` is left out: the app can't choose the number that its entries are ordered and sealed by.
_APPENDED = (
    "id, organization_id, recorded_at, actor_kind, actor_id, actor_role, action, target, target_id, before, after, commitments, request_id"
)


def upgrade() -> None:
    """Create entries, personal values and seals."""
    op.execute(
        """
        create table governance.audit_entries (
          id uuid constraint pk_audit_entries primary key,
          organization_id uuid,
          transaction xid8 not null default pg_current_xact_id(),
          recorded_at timestamptz not null,
          actor_kind text not null,
          actor_id uuid,
          actor_role text,
          action text not null,
          target text not null,
          target_id uuid not null,
          before jsonb not null,
          after jsonb not null,
          commitments jsonb not null,
          request_id text,
          constraint uq_audit_entries_organization_id_id unique nulls not distinct (organization_id, id)
        )
        """
    )
    op.execute("create index ix_audit_entries_transaction_id on governance.audit_entries (transaction, id)")
    op.execute(
        "create index ix_audit_entries_organization_id_transaction_id on governance.audit_entries (organization_id, transaction, id)"
    )
    op.execute(
        """
        create table governance.audit_personal_values (
          entry_id uuid not null,
          field text not null,
          organization_id uuid,
          salt bytea not null,
          value text not null,
          constraint pk_audit_personal_values primary key (entry_id, field),
          constraint fk_audit_personal_values_organization_id_entry_id
            foreign key (organization_id, entry_id) references governance.audit_entries (organization_id, id)
        )
        """
    )
    op.execute("create index ix_audit_personal_values_organization_id on governance.audit_personal_values (organization_id, entry_id)")
    op.execute(
        """
        create table governance.audit_seals (
          seal_hash bytea constraint pk_audit_seals primary key,
          organization_id uuid,
          sequence bigint not null,
          sealed_below xid8 not null,
          leaves bytea not null,
          merkle_root bytea not null,
          previous_hash bytea not null,
          sealed_at timestamptz not null,
          constraint uq_audit_seals_organization_id_sequence unique nulls not distinct (organization_id, sequence)
        )
        """
    )
    op.execute("alter table governance.audit_seals alter column leaves set storage external")  # hashes don't compress
    op.execute("create index ix_audit_seals_sealed_below on governance.audit_seals (sealed_below)")
    for table in ("governance.audit_entries", "governance.audit_personal_values", "governance.audit_seals"):
        protect(table, tenantless_rows=True)
    grant_app("governance.audit_entries", f"select, insert ({_APPENDED})")
    grant_app("governance.audit_personal_values", "select, insert")
    grant_app("governance.audit_seals", "select")
    allow("luneo_platform", "governance.audit_entries", "select", name="platform")
    allow("luneo_platform", "governance.audit_personal_values", "select, delete", name="platform")
    allow("luneo_platform", "governance.audit_seals", "select, insert", name="platform")
    # Verification asks how far the sealer has got in any organisation: an entry below that which no seal covers was tampered with.
    op.execute(
        """
        create function governance.audit_sealed_below() returns xid8 language sql stable security definer set search_path = pg_catalog as $$
          select coalesce((select sealed_below from governance.audit_seals order by sealed_below desc limit 1), '0'::xid8)
        $$
        """
    )
    op.execute("alter function governance.audit_sealed_below() owner to luneo_platform")
    op.execute("revoke execute on function governance.audit_sealed_below() from public")
    op.execute("grant execute on function governance.audit_sealed_below() to luneo_app")


def downgrade() -> None:
    """Drop them."""
    op.execute("drop function governance.audit_sealed_below()")
    for table in ("audit_seals", "audit_personal_values", "audit_entries"):
        op.execute(f"drop table governance.{table}")
