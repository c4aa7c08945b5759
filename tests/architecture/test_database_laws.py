"""The laws of the database, read from a migrated one."""

import secrets
from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import create_engine, pool

from adapters.postgres.migrate import VERSIONS, latest_revision, migrate
from adapters.postgres.schema import metadata

SCHEMAS = ("identity", "billing", "conversational_ai", "governance", "messaging", "luneo")

# Tables without an organisation, each with its reason: row-level security has nothing to compare there.
WITHOUT_ORGANIZATION = {
    "luneo.schema_version": "the revision of the whole database; nobody but the owner may write it",
    "luneo.personal_idempotent_requests": "a person's, wherever they act; reached by the person's own id, answers are sealed",
    "messaging.ticks": "which replica runs a scheduled job; only the platform role may touch it",
    "identity.users": "a person belongs to several organisations; reached by id or e-mail alone",
    "identity.sessions": "a person's, across organisations; reached by the session's own secret",
    "identity.sign_ups": "a person without an account yet; reached by a secret sent to the mailbox",
    "conversational_ai.turn_runners": "heartbeats of our own processes",
}

# Rows that may belong to nobody: both sides are written by one statement under one setting, and a composite key would not hold for null.
SIMPLE_FOREIGN_KEYS = {"fk_deliveries_event_id"}

# What may look across organisations, and why. Everything here belongs to luneo_platform and has a fixed search path.
LOOK_UP_FUNCTIONS = {
    "identity.places_of": "sign-in and 'my organisations'",
    "identity.organization_with_slug": "whether a new organisation's slug is taken",
    "governance.audit_sealed_below": "verification: how far the sealer has got anywhere",
}


def rows(url: str, statement: LiteralString, *parameters: object, **named: object) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement, named or parameters or None).fetchall()


_TABLES: LiteralString = """
select n.nspname || '.' || c.relname, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner),
       exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped),
       array(select p.polname::text from pg_policy p where p.polrelid = c.oid)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname = any(%s)
 order by 1
"""


def tables(url: str) -> list[tuple[str, bool, bool, str, bool, list[str]]]:
    return rows(url, _TABLES, list(SCHEMAS))  # type: ignore[return-value]


def test_every_table_with_an_organisation_has_forced_row_level_security(superuser_url: str) -> None:
    found = tables(superuser_url)
    assert len(found) > 10
    for name, enabled, forced, _, has_organization, policies in found:
        if has_organization:
            assert enabled, f"{name} has no row-level security"
            assert forced, f"{name} does not force it on its owner"
            assert "tenant" in policies, f"{name} has no policy for its tenant"


def test_a_table_without_an_organisation_is_listed_with_its_reason(superuser_url: str) -> None:
    unprotected = {name for name, enabled, _, _, _, _ in tables(superuser_url) if not enabled}
    assert unprotected == set(WITHOUT_ORGANIZATION)


def test_every_policy_of_the_app_compares_with_the_current_tenant(superuser_url: str) -> None:
    policies = rows(
        superuser_url,
        "select schemaname || '.' || tablename, policyname, coalesce(qual, with_check) from pg_policies where 'luneo_app' = any(roles)",
    )
    assert policies
    for table, policy, condition in policies:
        assert "luneo.organization_id" in str(condition), f"{policy} on {table} lets the app see {condition}"
        assert "SELECT" in str(condition), f"{policy} on {table} asks for the setting once per row: write it as a sub-select"


def test_the_app_owns_nothing_and_is_no_stronger_than_the_app(superuser_url: str) -> None:
    assert {owner for _, _, _, owner, _, _ in tables(superuser_url)} == {"luneo_owner"}
    roles = rows(
        superuser_url,
        "select rolname, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication, rolcanlogin from pg_roles "
        "where rolname in ('luneo_owner', 'luneo_app', 'luneo_relay', 'luneo_platform')",
    )
    assert len(roles) == 4
    assert all(not strong and not login for _, strong, login in roles)
    memberships = rows(
        superuser_url,
        "select r.rolname, m.rolname from pg_auth_members a join pg_roles r on r.oid = a.roleid join pg_roles m on m.oid = a.member "
        "where m.rolname in ('luneo_app', 'luneo_relay', 'luneo_platform')",
    )
    assert memberships == []


def test_nobody_but_the_owner_may_truncate_or_reference(superuser_url: str) -> None:
    excessive = rows(
        superuser_url,
        "select table_schema || '.' || table_name, grantee, privilege_type from information_schema.table_privileges "
        "where table_schema = any(%s) and grantee <> 'luneo_owner' and privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')",
        list(SCHEMAS),
    )
    assert excessive == []
    public = rows(
        superuser_url,
        "select table_schema || '.' || table_name from information_schema.table_privileges "
        "where table_schema = any(%s) and grantee = 'PUBLIC'",
        list(SCHEMAS),
    )
    assert public == []


def test_the_relay_sees_events_and_deliveries_alone(superuser_url: str) -> None:
    reached = rows(
        superuser_url,
        "select distinct table_schema || '.' || table_name from information_schema.table_privileges where grantee = 'luneo_relay'",
    )
    assert {name for (name,) in reached} == {"messaging.events", "messaging.deliveries", "luneo.schema_version"}


def test_the_trail_can_be_appended_to_and_read_but_not_rewritten(superuser_url: str) -> None:
    granted = rows(
        superuser_url,
        "select table_name, grantee, privilege_type from information_schema.table_privileges "
        "where table_schema = 'governance' and grantee <> 'luneo_owner' and privilege_type in ('UPDATE', 'DELETE')",
    )
    assert granted == [("audit_personal_values", "luneo_platform", "DELETE")]
    columns = rows(
        superuser_url,
        "select column_name from information_schema.column_privileges "
        "where table_schema = 'governance' and table_name = 'audit_entries' and grantee = 'luneo_app' and privilege_type = 'INSERT'",
    )
    assert ("transaction",) not in columns
    assert len(columns) == 13


_FOREIGN_KEYS: LiteralString = """
with tenant as (
  select a.attrelid as oid from pg_attribute a where a.attname = 'organization_id' and not a.attisdropped
)
select f.conname, f.conrelid::regclass::text, f.confrelid::regclass::text,
       array(select a.attname::text from unnest(f.conkey) k join pg_attribute a on a.attrelid = f.conrelid and a.attnum = k),
       f.conrelid in (select oid from tenant) and f.confrelid in (select oid from tenant),
       (select relnamespace from pg_class where oid = f.conrelid) = (select relnamespace from pg_class where oid = f.confrelid)
  from pg_constraint f where f.contype = 'f'
"""


def test_foreign_keys_between_tenant_tables_carry_the_organisation_and_none_leaves_its_context(superuser_url: str) -> None:
    found = rows(superuser_url, _FOREIGN_KEYS)
    assert found
    for name, table, target, columns, between_tenants, same_schema in found:
        assert same_schema, f"{name} ties {table} to another context's {target}"
        if between_tenants and name not in SIMPLE_FOREIGN_KEYS:
            assert "organization_id" in columns, f"{name} of {table} accepts another tenant's row of {target}"  # type: ignore[operator]


def test_what_looks_across_organisations_stands_in_the_list(superuser_url: str) -> None:
    found = rows(
        superuser_url,
        "select n.nspname || '.' || p.proname, pg_get_userbyid(p.proowner), p.proconfig::text, "
        "exists (select 1 from aclexplode(p.proacl) a where a.grantee = 0) or p.proacl is null "
        "from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.prosecdef and n.nspname = any(%s)",
        list(SCHEMAS),
    )
    assert {name for name, _, _, _ in found} == set(LOOK_UP_FUNCTIONS)
    for name, owner, configuration, public in found:
        assert owner == "luneo_platform", f"{name} belongs to {owner}"
        assert "search_path=" in str(configuration), f"{name} can be led astray by its caller's search path"
        assert not public, f"everybody may call {name}"


def test_no_full_text_or_trigram_index_lies_under_row_level_security(superuser_url: str) -> None:
    found = rows(
        superuser_url,
        "select i.indexrelid::regclass::text, am.amname from pg_index i join pg_class c on c.oid = i.indrelid and c.relrowsecurity "
        "join pg_class x on x.oid = i.indexrelid join pg_am am on am.oid = x.relam "
        "join pg_namespace n on n.oid = c.relnamespace where n.nspname = any(%s) and am.amname not in ('btree', 'hash', 'brin')",
        list(SCHEMAS),
    )
    assert found == [], "their operators are not leakproof: the policy is checked first and the index is not used"


def test_autogenerate_finds_nothing(superuser_url: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(superuser_url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "compare_type": True,
                "version_table": "schema_version",
                "version_table_schema": "luneo",
                "include_name": lambda name, kind, _: kind != "schema" or name in SCHEMAS,
            },
        )
        differences = compare_metadata(context, metadata)
    engine.dispose()
    assert differences == []


@pytest.fixture
def empty_database(postgres_superuser: str) -> Iterator[str]:
    name = f"luneo_stairs_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_superuser, dbname="postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        information = connection.info
        yield f"postgresql://{information.user}:{information.password}@{information.host}:{information.port}/{name}"
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def schema_of(url: str) -> list[tuple[object, ...]]:
    """Return every table, column, constraint, index, policy, function and privilege of ours."""
    return rows(
        url,
        """
        select 'column', table_schema || '.' || table_name,
               column_name || ' ' || data_type || ' ' || is_nullable || coalesce(column_default, '')
          from information_schema.columns where table_schema = any(%(s)s)
        union all select 'constraint', conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(c.oid)
          from pg_constraint c join pg_namespace n on n.oid = c.connamespace where n.nspname = any(%(s)s)
        union all select 'index', tablename, indexdef from pg_indexes where schemaname = any(%(s)s)
        union all select 'policy', tablename, policyname || coalesce(qual, '') || coalesce(with_check, '') from pg_policies
         where schemaname = any(%(s)s)
        union all select 'function', p.proname, pg_get_functiondef(p.oid) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname = any(%(s)s)
        union all select 'privilege', table_name, grantee || privilege_type from information_schema.table_privileges
         where table_schema = any(%(s)s)
        order by 1, 2, 3
        """,
        s=list(SCHEMAS),
    )


def test_every_step_of_the_migrations_goes_up_and_down_and_up(empty_database: str) -> None:
    revisions = sorted(path.name.split("_", 1)[0] for path in VERSIONS.glob("[0-9]*_*.py"))
    assert revisions[-1] == latest_revision()
    below = "base"
    for revision in revisions:
        migrate(empty_database, None, revision=revision)
        first = schema_of(empty_database)
        migrate(empty_database, None, revision=below)
        migrate(empty_database, None, revision=revision)
        assert schema_of(empty_database) == first, f"{revision} does not come back as it was"
        below = revision
