"""A server that closed idle connections (a restart, an administrator) costs nobody an error."""

import asyncio

import psycopg
from sqlalchemy import text

from adapters.postgres.database import Database
from adapters.postgres.unit_of_work import Sessions
from shared_kernel.principal import Principal

CONNECTIONS = 4
_CLOSE_ALL = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""


def close_all(superuser_url: str) -> int:
    """End every other connection to the database; return how many there were."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        return len(connection.execute(_CLOSE_ALL).fetchall())


async def test_a_reader_gets_a_fresh_connection(superuser_url: str, database_url: str) -> None:
    database = Database(database_url, size=CONNECTIONS, minimum=CONNECTIONS)
    await database.open()
    try:
        await asyncio.gather(*(database.rows(Principal.system(None), "select pg_sleep(0.05)") for _ in range(CONNECTIONS)))
        assert close_all(superuser_url) >= CONNECTIONS
        for _ in range(2 * CONNECTIONS):
            assert await database.rows(Principal.system(None), "select 1 as one") == [{"one": 1}]
    finally:
        await database.close()


async def test_a_command_gets_a_fresh_connection(superuser_url: str, database_url: str) -> None:
    sessions = Sessions(database_url, size=CONNECTIONS)

    async def use() -> None:
        async with sessions() as session:
            await session.execute(text("select pg_sleep(0.05)"))

    try:
        await asyncio.gather(*(use() for _ in range(CONNECTIONS)))
        assert close_all(superuser_url) >= CONNECTIONS
        await asyncio.gather(*(use() for _ in range(2 * CONNECTIONS)))
    finally:
        await sessions.close()
