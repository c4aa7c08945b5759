"""Tables of the context identity."""

from alembic import op

from adapters.postgres.row_level_security import CURRENT_TENANT, allow, grant_app, protect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        create table identity.users (
          id uuid constraint pk_users primary key,
          email text not null,
          full_name text not null,
          password_hash text not null,
          locale text not null,
          created_at timestamptz not null,
          email_verified_at timestamptz not null,
          platform_admin boolean not null,
          version integer not null
        )
        """
    )
    op.execute("create unique index uq_users_email on identity.users (email)")
    op.execute(
        """
        create table identity.sign_ups (
          id uuid constraint pk_sign_ups primary key,
          email text not null,
          password_hash text not null,
          full_name text not null,
          organization_name text,
          locale text not null,
          requested_at timestamptz not null,
          expires_at timestamptz not null,
          code_attempts integer not null constraint ck_sign_ups_code_attempts_bounded check (code_attempts between 0 and 5),
          mailed_at timestamptz,
          verified_at timestamptz,
          version integer not null
        )
        """
    )
    op.execute("create index ix_sign_ups_email on identity.sign_ups (email, id)")
    op.execute("create index ix_sign_ups_expires_at on identity.sign_ups (expires_at)")
    op.execute(
        """
        create table identity.sessions (
          id uuid constraint pk_sessions primary key,
          user_id uuid not null constraint fk_sessions_user_id references identity.users (id) on delete cascade,
          active_organization_id uuid,
          kind text not null constraint ck_sessions_kind_known check (kind in ('cookie', 'token')),
          remembered boolean not null,
          started_at timestamptz not null,
          rotated_at timestamptz not null,
          expires_at timestamptz not null,
          user_agent text,
          generation integer not null,
          revoked_at timestamptz,
          revoked_reason text,
          version integer not null,
          constraint ck_sessions_revoked_for_a_reason check ((revoked_at is null) = (revoked_reason is null))
        )
        """
    )
    op.execute("create index ix_sessions_user_id on identity.sessions (user_id, rotated_at)")
    op.execute("create index ix_sessions_expires_at on identity.sessions (expires_at)")
    op.execute(
        """
        create table identity.organizations (
          id uuid constraint pk_organizations primary key,
          name text not null,
          slug text not null,
          locale text not null,
          status text not null constraint ck_organizations_status_known check (status in ('active', 'suspended')),
          created_at timestamptz not null,
          version integer not null
        )
        """
    )
    op.execute("create unique index uq_organizations_slug on identity.organizations (slug)")
    op.execute(
        """
        create table identity.memberships (
          organization_id uuid not null
            constraint fk_memberships_organization_id references identity.organizations (id) on delete cascade,
          id uuid not null,
          user_id uuid not null constraint fk_memberships_user_id references identity.users (id) on delete cascade,
          role text not null constraint ck_memberships_role_known check (role in ('owner', 'admin', 'member', 'viewer')),
          joined_at timestamptz not null,
          version integer not null,
          constraint pk_memberships primary key (organization_id, id)
        )
        """
    )
    op.execute("create unique index uq_memberships_organization_id_user_id on identity.memberships (organization_id, user_id)")
    op.execute("create index ix_memberships_user_id on identity.memberships (user_id)")
    op.execute(
        """
        create table identity.api_keys (
          organization_id uuid not null
            constraint fk_api_keys_organization_id references identity.organizations (id) on delete cascade,
          id uuid not null,
          name text not null,
          prefix_shown text not null,
          digest bytea not null,
          scopes text[] not null constraint ck_api_keys_scopes_counted check (cardinality(scopes) between 1 and 100),
          sandbox boolean not null,
          created_by uuid not null constraint fk_api_keys_created_by references identity.users (id),
          created_at timestamptz not null,
          expires_at timestamptz,
          last_used_at timestamptz,
          revoked_at timestamptz,
          version integer not null,
          constraint pk_api_keys primary key (organization_id, id)
        )
        """
    )
    op.execute("create unique index uq_api_keys_digest on identity.api_keys (digest)")

    # an organisation is its own tenant, so the policy compares its id
    op.execute("alter table identity.organizations enable row level security")
    op.execute("alter table identity.organizations force row level security")
    op.execute(
        f"create policy tenant on identity.organizations to luneo_app using (id = {CURRENT_TENANT}) with check (id = {CURRENT_TENANT})"
    )
    protect("identity.memberships")
    protect("identity.api_keys")
    grant_app("identity.users", "select, insert, update")
    grant_app("identity.sign_ups")
    grant_app("identity.sessions")
    grant_app("identity.organizations", "select, insert, update")
    grant_app("identity.memberships")
    grant_app("identity.api_keys", "select, insert, update")
    allow("luneo_platform", "identity.organizations", "select", name="platform")
    allow("luneo_platform", "identity.memberships", "select", name="platform")

    op.execute(
        """
        create function identity.places_of(person uuid)
        returns table (organization_id uuid, name text, slug text, locale text, status text, role text, created_at timestamptz)
        language sql stable security definer set search_path = '' rows 5 as $$
          select o.id, o.name, o.slug, o.locale, o.status, m.role, o.created_at
            from identity.memberships m join identity.organizations o on o.id = m.organization_id
           where m.user_id = person
           order by m.joined_at, m.id
        $$
        """
    )
    op.execute(
        """
        create function identity.organization_with_slug(wanted text) returns uuid
        language sql stable security definer set search_path = '' as $$
          select o.id from identity.organizations o where o.slug = wanted
        $$
        """
    )
    for function in ("identity.places_of(uuid)", "identity.organization_with_slug(text)"):
        op.execute(f"alter function {function} owner to luneo_platform")
        op.execute(f"revoke execute on function {function} from public")
        op.execute(f"grant execute on function {function} to luneo_app")


def downgrade() -> None:
    """Drop the tables."""
    op.execute("drop function identity.places_of(uuid)")
    op.execute("drop function identity.organization_with_slug(text)")
    for table in ("api_keys", "memberships", "organizations", "sessions", "sign_ups", "users"):
        op.execute(f"drop table identity.{table}")
