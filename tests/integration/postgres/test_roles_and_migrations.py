"""The application refuses a login that could bypass row-level security, and says when Postgres is not there."""

import asyncio

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.checks import DatabaseUnfit, check_database, wait_for_database
from adapters.postgres.database import Database
from adapters.postgres.migrate import MigrationRefused, current_revision, latest_revision, migrate
from adapters.postgres.roles import DatabaseRole, UnsafeDatabaseRole
from shared_kernel.errors import Unavailable
from shared_kernel.principal import Principal


@pytest.mark.parametrize("role", [DatabaseRole.APP, DatabaseRole.RELAY, DatabaseRole.PLATFORM])
async def test_the_application_login_takes_each_of_its_roles(database_url: str, role: DatabaseRole) -> None:
    database = Database(database_url, role, size=1)
    await database.open()
    row = await database.row(Principal.system(None), "select current_user as name")
    await database.close()
    assert row == {"name": role.value}
    assert await check_database(database_url, role) == f"revision {latest_revision()}"


async def test_a_superuser_is_refused(superuser_url: str) -> None:
    database = Database(superuser_url, size=1)
    with pytest.raises(UnsafeDatabaseRole, match="a superuser"):
        await database.open()
    await database.close()
    with pytest.raises(DatabaseUnfit, match="a superuser"):
        await check_database(superuser_url, DatabaseRole.APP)


async def test_a_member_of_the_owner_role_is_refused(superuser_url: str, database_url: str) -> None:
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("create role luneo_overreach login password 'x'")
        connection.execute("grant luneo_app, luneo_owner to luneo_overreach")
        try:
            with pytest.raises(DatabaseUnfit, match="a member of luneo_owner"):
                await check_database(database_url.replace("luneo_test:luneo-test", "luneo_overreach:x"), DatabaseRole.APP)
        finally:
            connection.execute("drop role luneo_overreach")


async def test_a_login_without_the_role_is_told_to_migrate(superuser_url: str, database_url: str) -> None:
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("create role luneo_stranger login password 'x'")
        try:
            with pytest.raises(DatabaseUnfit, match="luneo migrate"):
                await check_database(database_url.replace("luneo_test:luneo-test", "luneo_stranger:x"), DatabaseRole.APP)
        finally:
            connection.execute("drop role luneo_stranger")


async def test_a_process_waits_for_a_migration_that_has_made_the_roles_and_no_table_yet(superuser_url: str, database_url: str) -> None:
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("create database luneo_awaited")
    here = str(conninfo_to_dict(superuser_url)["dbname"])
    superuser, application = (url.replace(here, "luneo_awaited") for url in (superuser_url, database_url))
    told: asyncio.Queue[str] = asyncio.Queue()
    try:
        waiting = asyncio.create_task(wait_for_database(application, DatabaseRole.APP, seconds=60, waiting=told.put_nowait))
        reason = await asyncio.wait_for(told.get(), 10)
        await asyncio.to_thread(migrate, superuser, application)
        await asyncio.wait_for(waiting, 10)
    finally:
        with psycopg.connect(superuser_url, autocommit=True) as connection:
            connection.execute("drop database luneo_awaited with (force)")
    assert "no schema of ours yet" in reason
    assert told.empty()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql://nobody:x@127.0.0.1:1/none", size=1)
    with pytest.raises(Unavailable):
        await database.open()
    await database.close()


def test_migrating_again_changes_nothing(superuser_url: str, database_url: str) -> None:
    migrate(superuser_url, database_url)
    assert current_revision(superuser_url) == latest_revision()


def test_the_application_must_not_migrate_itself(database_url: str) -> None:
    with pytest.raises(MigrationRefused):
        migrate(database_url, None)
    with pytest.raises(MigrationRefused, match="another login"):
        migrate(database_url, database_url)


def test_the_platform_role_makes_nothing_of_its_own(superuser_url: str) -> None:
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        found = connection.execute(
            "select nspname from pg_namespace where has_schema_privilege('luneo_platform', oid, 'create') and nspname not like 'pg\\_%'"
        ).fetchall()
    assert found == []
