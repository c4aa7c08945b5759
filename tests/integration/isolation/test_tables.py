"""Every tenant table of the running database, tried by another tenant.

Rows of two organisations are made from the catalogue alone, so a new table is covered the day it is migrated.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import LiteralString, cast
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql

from adapters.postgres.roles import DatabaseRole, as_role

OURS, THEIRS = uuid4(), uuid4()

_COLUMNS: LiteralString = """
select n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), t.typcategory,
       has_column_privilege('luneo_app', c.oid, a.attnum, 'insert')
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity <> 'a'
  join pg_type t on t.oid = a.atttypid
 where c.relkind in ('r', 'p') and c.relrowsecurity and not c.relispartition
 order by 1, 2, a.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    category: str
    app_inserts: bool


@dataclass(frozen=True, slots=True)
class TenantTable:
    schema: str
    name: str
    columns: tuple[Column, ...]

    @property
    def tenant(self) -> str:
        """The column that names the organisation: the organisation's own id in its own table."""
        return "organization_id" if any(c.name == "organization_id" for c in self.columns) else "id"

    @property
    def identifier(self) -> sql.Composed:
        return sql.SQL("{}.{}").format(sql.Identifier(self.schema), sql.Identifier(self.name))

    def row(self, organization_id: UUID) -> dict[str, str]:
        """Return a row of the organisation with a value of the right type in every column."""
        return {c.name: str(organization_id) if c.name == self.tenant else _value(c) for c in self.columns}

    def insert(self, row: dict[str, str], *, app: bool) -> sql.Composed:
        columns = [c for c in self.columns if c.app_inserts or not app]
        names: list[sql.Composable] = [sql.Identifier(c.name) for c in columns]
        values: list[sql.Composable] = [sql.Composed([sql.Literal(row[c.name]), sql.SQL("::"), _type(c)]) for c in columns]
        return sql.SQL("insert into {} ({}) values ({})").format(self.identifier, sql.SQL(", ").join(names), sql.SQL(", ").join(values))


def _type(column: Column) -> sql.SQL:
    return sql.SQL(column.type)  # the catalogue's own name of the type


def _value(column: Column) -> str:
    if column.type == "uuid":
        return str(uuid4())
    if column.type in {"json", "jsonb"}:
        return json.dumps({})
    if column.type == "bytea":
        return "\\x" + secrets.token_hex(32)
    by_category = {
        "N": str(secrets.randbelow(30_000) + 1),
        "B": "true",
        "D": "2026-11-22T10:00:00Z",
        "A": "{}",
        "S": f"value-{secrets.token_hex(8)}",
    }
    if column.category in by_category:
        return by_category[column.category]
    if column.type == "xid8":
        return str(secrets.randbelow(30_000) + 1)
    raise NotImplementedError(f"say what a value of type {column.type} looks like (column {column.name})")


def tenant_tables(url: str) -> dict[str, TenantTable]:
    found: dict[tuple[str, str], list[Column]] = {}
    with psycopg.connect(url) as connection:
        for schema, table, name, kind, category, app_inserts in connection.execute(_COLUMNS).fetchall():
            found.setdefault((schema, table), []).append(Column(name, kind, category, app_inserts))
    return {f"{schema}.{table}": TenantTable(schema, table, tuple(columns)) for (schema, table), columns in found.items()}


@pytest.fixture(scope="module")
def tables(superuser_url: str) -> dict[str, TenantTable]:
    """Every tenant table, with one row of ours and one of theirs.

    The database is this module's own: its CHECK constraints are dropped and its foreign keys are not enforced, so that any row can be made.
    """
    found = tenant_tables(superuser_url)
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        checks = connection.execute(
            "select c.conrelid::regclass::text, c.conname from pg_constraint c join pg_namespace n on n.oid = c.connamespace "
            "where c.contype = 'c' and c.conrelid <> 0 and n.nspname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        for table, name in checks:
            connection.execute(
                sql.SQL("alter table {} drop constraint {}").format(sql.SQL(cast("LiteralString", table)), sql.Identifier(name))
            )
        for table in found.values():
            for organization_id in (OURS, THEIRS):
                connection.execute(table.insert(table.row(organization_id), app=False))
    return found


@pytest.fixture
def app(database_url: str) -> Iterator[psycopg.Connection]:
    """The application acting for our organisation; whatever a test does is rolled back."""
    with psycopg.connect(as_role(database_url, DatabaseRole.APP)) as connection:
        connection.execute("select set_config('luneo.organization_id', %s, true)", (str(OURS),))
        yield connection
        connection.rollback()


def _may(connection: psycopg.Connection, table: TenantTable, privilege: str) -> bool:
    found = connection.execute(
        "select has_table_privilege('luneo_app', %s, %s) or has_any_column_privilege('luneo_app', %s, %s)"
        if privilege != "delete"
        else "select has_table_privilege('luneo_app', %s, %s)",
        (f"{table.schema}.{table.name}", privilege) * (1 if privilege == "delete" else 2),
    ).fetchone()
    return found == (True,)


def _updated_columns(connection: psycopg.Connection, table: TenantTable) -> list[str]:
    """Return the columns that the app may update, of a table of which it may update some."""
    allowed = "select has_column_privilege('luneo_app', %s, %s, 'update')"
    place = f"{table.schema}.{table.name}"
    return [c.name for c in table.columns if connection.execute(allowed, (place, c.name)).fetchone() == (True,)]


def test_there_are_tables_to_try(tables: dict[str, TenantTable]) -> None:
    assert {"messaging.events", "governance.audit_entries"} <= set(tables)


def test_another_tenants_rows_cannot_be_read(tables: dict[str, TenantTable], app: psycopg.Connection) -> None:
    for name, table in tables.items():
        if not _may(app, table, "select"):
            continue
        seen = app.execute(sql.SQL("select distinct {} from {}").format(sql.Identifier(table.tenant), table.identifier)).fetchall()
        assert seen == [(OURS,)], f"{name} shows {seen}"


def test_without_an_organisation_nobodys_rows_are_read(tables: dict[str, TenantTable], app: psycopg.Connection) -> None:
    app.execute("select set_config('luneo.organization_id', '', true)")
    for name, table in tables.items():
        if not _may(app, table, "select"):
            continue
        seen = app.execute(
            sql.SQL("select count(*) from {} where {} = any(%s)").format(table.identifier, sql.Identifier(table.tenant)), ([OURS, THEIRS],)
        ).fetchone()
        assert seen == (0,), f"{name} shows tenants' rows to a transaction without one"


def test_another_tenants_rows_cannot_be_updated_nor_ours_given_away(tables: dict[str, TenantTable], app: psycopg.Connection) -> None:
    for name, table in tables.items():
        if not _may(app, table, "update"):
            continue
        tenant, updated = sql.Identifier(table.tenant), _updated_columns(app, table)
        some = sql.Identifier(updated[0])
        changed = app.execute(sql.SQL("update {} set {} = {} where {} = %s").format(table.identifier, some, some, tenant), (THEIRS,))
        assert changed.rowcount == 0, f"{name} let us update another tenant's row"
        if table.tenant not in updated:
            continue
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"), app.transaction():
            app.execute(sql.SQL("update {} set {} = %s").format(table.identifier, tenant), (uuid4(),))


def test_another_tenants_rows_cannot_be_deleted(tables: dict[str, TenantTable], app: psycopg.Connection) -> None:
    for name, table in tables.items():
        if not _may(app, table, "delete"):
            continue
        deleted = app.execute(sql.SQL("delete from {} where {} = %s").format(table.identifier, sql.Identifier(table.tenant)), (THEIRS,))
        assert deleted.rowcount == 0, f"{name} let us delete another tenant's row"


def test_rows_cannot_be_inserted_for_another_tenant(tables: dict[str, TenantTable], app: psycopg.Connection) -> None:
    tried = 0
    for table in tables.values():
        if not _may(app, table, "insert"):
            continue
        tried += 1
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"), app.transaction():
            app.execute(table.insert(table.row(THEIRS), app=True))
        try:  # the same row of our own passes row-level security, whatever a foreign key says afterwards
            with app.transaction():
                app.execute(table.insert(table.row(OURS), app=True))
        except errors.IntegrityError as error:
            assert isinstance(error, errors.ForeignKeyViolation | errors.UniqueViolation)  # noqa: PT017 - the insert may also succeed
    assert tried > 10
