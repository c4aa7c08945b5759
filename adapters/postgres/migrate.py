"""`luneo migrate`: roles, then revisions, under one lock.

The login of LUNEO_MIGRATION_DATABASE_URL needs CREATEROLE (or the roles must exist) and CREATE on the database. It takes the
role `luneo_owner` before the
first revision, so that the owner of every table is a role nobody can log in as.
"""

from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, create_engine, pool, text

VERSIONS = Path(__file__).parent / "migrations" / "versions"
_LOCK = 4_775_310_927  # any fixed number: one migration at a time in a database
_ROLES: tuple[LiteralString, ...] = ("luneo_owner", "luneo_app", "luneo_relay", "luneo_platform")


class MigrationRefused(Exception):
    """The database or its login is not fit to migrate; says what to do."""


def latest_revision() -> str:
    """Return the newest revision that this installation knows."""
    return max(path.name.split("_", 1)[0] for path in VERSIONS.glob("[0-9]*_*.py"))


def current_revision(dsn: str) -> str | None:
    """Return the database's revision, or `None` before the first migration."""
    with psycopg.connect(_libpq(dsn), connect_timeout=5, autocommit=True) as connection:
        if connection.execute("select to_regclass('luneo.schema_version')").fetchone() == (None,):
            return None
        row = connection.execute("select version_num from luneo.schema_version").fetchone()
        return str(row[0]) if row else None


def ensure_database(superuser_dsn: str, *, database: str, migrator: str, password: str) -> None:
    """Make the login that migrates and the database that it owns, unless they exist. `superuser_dsn` names any other database."""
    with psycopg.connect(_libpq(superuser_dsn), autocommit=True, connect_timeout=5) as connection:
        login, name = sql.Identifier(migrator), sql.Identifier(database)
        if not connection.execute("select 1 from pg_roles where rolname = %s", (migrator,)).fetchone():
            connection.execute(sql.SQL("create role {} login createrole password {}").format(login, sql.Literal(password)))
        if not connection.execute("select 1 from pg_database where datname = %s", (database,)).fetchone():
            connection.execute(sql.SQL("create database {} owner {}").format(name, login))


def migrate(migration_dsn: str, application_dsn: str | None, *, revision: str = "head") -> None:
    """Bring the database to `revision` and grant the application's login its roles.

    The application's login is made, with the password in `application_dsn`, when it does not exist.
    Raises `MigrationRefused` when the login may not do this.
    """
    if application_dsn and conninfo_to_dict(_libpq(application_dsn)).get("user") == conninfo_to_dict(_libpq(migration_dsn)).get("user"):
        raise MigrationRefused("LUNEO_DATABASE_URL must name another login than LUNEO_MIGRATION_DATABASE_URL")
    with psycopg.connect(_libpq(migration_dsn), connect_timeout=5, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
        try:
            _ensure_roles(connection, application_dsn)
            _upgrade(migration_dsn, revision)
        except psycopg.errors.InsufficientPrivilege as error:
            raise MigrationRefused(
                "the login of LUNEO_MIGRATION_DATABASE_URL may not do this: it needs CREATEROLE and CREATE on the database"
                f" ({error.diag.message_primary})"
            ) from error
        finally:
            connection.execute("select pg_advisory_unlock(%s)", (_LOCK,))


def _ensure_roles(connection: psycopg.Connection[tuple[object, ...]], application_dsn: str | None) -> None:
    existing = {row[0] for row in connection.execute("select rolname from pg_roles").fetchall()}
    for role in _ROLES:
        if role not in existing:
            connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))
    migrator = connection.info.user
    member = connection.execute("select pg_has_role(session_user, 'luneo_owner', 'set')").fetchone()
    if member != (True,):
        connection.execute(sql.SQL("grant luneo_owner, luneo_platform to {}").format(sql.Identifier(migrator)))
    connection.execute(sql.SQL("grant create, connect on database {} to luneo_owner").format(sql.Identifier(connection.info.dbname)))
    connection.execute("grant luneo_platform to luneo_owner")  # look-up functions belong to luneo_platform
    if application_dsn is None:
        return
    login = conninfo_to_dict(_libpq(application_dsn))
    name = str(login.get("user") or "")
    if not name:
        raise MigrationRefused("LUNEO_DATABASE_URL must name the application's login")
    if name not in existing:
        connection.execute(
            sql.SQL("create role {} login nosuperuser nobypassrls nocreaterole nocreatedb password {}").format(
                sql.Identifier(name), sql.Literal(str(login.get("password") or ""))
            )
        )
    connection.execute(
        sql.SQL("grant luneo_app, luneo_relay, luneo_platform to {} with inherit false, set true").format(sql.Identifier(name))
    )
    connection.execute(sql.SQL("grant connect on database {} to {}").format(sql.Identifier(connection.info.dbname), sql.Identifier(name)))


def _upgrade(dsn: str, revision: str) -> None:
    from alembic import command  # noqa: PLC0415 - only a migration pays for loading it
    from alembic.config import Config  # noqa: PLC0415

    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(_libpq(dsn)), poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("set role luneo_owner"))
        connection.execute(text("create schema if not exists luneo"))
        connection.commit()
        configuration = Config()
        configuration.set_main_option("script_location", str(VERSIONS.parent).replace("%", "%%"))
        configuration.attributes["connection"] = connection
        _let_platform_own_functions(connection, allowed=True)
        if revision == "head" or (revision.isdigit() and revision >= (_revision(connection) or "")):
            command.upgrade(configuration, revision)
        else:
            command.downgrade(configuration, revision)
        _let_platform_own_functions(connection, allowed=False)
    engine.dispose()


def _let_platform_own_functions(connection: Connection, *, allowed: bool) -> None:
    """Let `luneo_platform` be given the look-up functions while migrating, and make nothing of its own otherwise.

    Postgres wants the new owner of a function to have CREATE on its schema, at that moment alone.
    """
    schemas = connection.execute(
        text("select nspname from pg_namespace where nspowner = 'luneo_owner'::regrole and nspname <> 'luneo'")
    ).scalars()
    for schema in schemas.all():
        verb, preposition = ("grant", "to") if allowed else ("revoke", "from")
        connection.execute(text(f"{verb} create on schema {schema} {preposition} luneo_platform"))
    connection.commit()


def _revision(connection: Connection) -> str | None:
    if connection.execute(text("select to_regclass('luneo.schema_version')")).scalar() is None:
        return None
    value = connection.execute(text("select version_num from luneo.schema_version")).scalar()
    return None if value is None else str(value)


def _libpq(dsn: str) -> str:
    return dsn.replace("postgresql+psycopg://", "postgresql://", 1)
