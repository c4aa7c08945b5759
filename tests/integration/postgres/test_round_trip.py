"""Round trips on a real server: values, errors in the middle, and connections in doubt."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import psycopg
import pytest

from adapters.postgres.database import Database, tenant
from adapters.postgres.round_trip import RoundTrip, RoundTripConnection, _parsed
from shared_kernel.errors import Unavailable
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal

NOBODY = Principal.system(None)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, size=1)
    await database.open()
    yield database
    await database.close()


async def test_statements_of_one_round_trip_see_each_other_and_their_tenant(database: Database) -> None:
    organization = new_id()
    async with database.pipeline(tenant(organization)) as pipeline:
        first = await pipeline.queue("select set_config('luneo.x', %(value)s, true), %(value)s::text as value", {"value": "100 % sure"})
        second = await pipeline.queue(
            "select current_setting('luneo.x') as x, current_setting('luneo.organization_id')::uuid as tenant, 7 %% 4 as rest"
        )
    assert (await first.one())["value"] == "100 % sure"
    assert await second.one() == {"x": "100 % sure", "tenant": organization, "rest": 3}
    assert await database.rows(NOBODY, "select current_setting('luneo.organization_id') as tenant") == [{"tenant": ""}]


async def test_values_come_back_as_they_went(database: Database) -> None:
    given = {"id": new_id(), "numbers": [1, None, 3], "text": "é\n'", "nothing": None, "yes": True, "raw": b"\x00\xff"}
    row = await database.row(
        NOBODY,
        "select %(id)s::uuid as id, %(numbers)s::bigint[] as numbers, %(text)s::text as text, %(nothing)s::text as nothing, "
        "%(yes)s as yes, %(raw)b as raw",
        given,
    )
    assert row == given


async def test_an_error_leaves_nothing_behind_and_the_connection_usable(database: Database) -> None:
    runner = new_id()
    with pytest.raises(psycopg.errors.DivisionByZero):  # noqa: PT012 - the block is what fails
        async with database.pipeline(NOBODY) as pipeline:
            await pipeline.queue("insert into conversational_ai.turn_runners (id, heard_at) values (%s, now())", (runner,))
            await pipeline.queue("select 1 / %s::integer", (0,))
            await pipeline.queue("select %s::text as never_prepared", ("x",))
    assert await database.rows(NOBODY, "select 1 from conversational_ai.turn_runners where id = %s", (runner,)) == []
    for _ in range(2):
        assert await database.rows(NOBODY, "select %s::text as never_prepared", ("x",)) == [{"never_prepared": "x"}]


@pytest.mark.parametrize(
    "state", ["53000", "53100", "53200", "58000", "58030"], ids=["resources", "disk full", "memory", "system", "reading"]
)
async def test_a_server_that_lacks_something_is_unavailable(database: Database, state: str) -> None:
    failing = "do $$ begin raise exception 'could not extend file' using errcode = '" + state + "'; end $$"
    with pytest.raises(Unavailable):
        await database.rows(NOBODY, failing)
    assert await database.rows(NOBODY, "select 1 as one") == [{"one": 1}]


async def test_an_error_in_the_block_sends_nothing(database: Database) -> None:
    runner = new_id()
    with pytest.raises(LookupError):  # noqa: PT012 - the block is what fails
        async with database.pipeline(NOBODY) as pipeline:
            await pipeline.queue("insert into conversational_ai.turn_runners (id, heard_at) values (%s, now())", (runner,))
            raise LookupError
    assert await database.rows(NOBODY, "select 1 from conversational_ai.turn_runners where id = %s", (runner,)) == []


async def test_a_cancelled_round_trip_gives_its_place_to_the_next(database: Database) -> None:
    sleeping = asyncio.create_task(database.rows(NOBODY, "select pg_sleep(30)"))
    async with asyncio.timeout(5):
        while not _is_busy(database, sleeping):  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0.01)
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        assert await database.rows(NOBODY, "select 1 as one") == [{"one": 1}]


def _is_busy(database: Database, task: asyncio.Task[object]) -> bool:
    assert not task.done()
    return database._pool.get_stats().get("pool_available") == 0


async def test_many_combinations_of_types_are_forgotten_in_time(database_url: str) -> None:
    connection = await RoundTripConnection.connect(database_url, autocommit=True)
    for value in (1, 70_000, 2**40, 2**70, b"x", 0.5, True, UUID(int=0), 1, 70_000):
        round_trip = RoundTrip()
        asked = round_trip.queue("select %s is null as empty", (value,))
        await round_trip.run(connection, prepared_maximum=3)
        assert await asked.one() == {"empty": False}
        assert 1 <= len(connection.prepared) <= 4
    await connection.close()


def test_placeholders_become_numbers() -> None:
    assert _parsed("select %(a)s, %(b)b, %(a)s, 5 %% 2")[0] == b"select $1, $2, $1, 5 % 2"
    assert _parsed("select %s, %s")[0] == b"select $1, $2"
    with pytest.raises(ValueError, match="two formats"):
        _parsed("select %(a)s, %(a)b")
    with pytest.raises(ValueError, match="by position or by name"):
        _parsed("select %(a)s, %s")
