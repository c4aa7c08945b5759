"""The hot way into Postgres: a psycopg pool in which each transaction is one round trip.

The pool's connections are in autocommit. Inside `pipeline()` the tenant setting and the statements are queued, and the Sync at
the end both sends
and commits them (an implicit transaction: PostgreSQL documentation, section 54.2.4 "Pipelining"). An error in the middle leaves
nothing behind.
Results are read after the block.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from adapters.postgres.refusals import translated
from adapters.postgres.roles import DatabaseRole, as_role, refuse_unsafe_role
from shared_kernel.errors import Unavailable
from shared_kernel.principal import Principal

Row = dict[str, Any]
Connection = psycopg.AsyncConnection[Row]
Parameters = Mapping[str, object] | Sequence[object] | None
T = TypeVar("T")

SET_TENANT: LiteralString = "select set_config('luneo.organization_id', %s, true)"
_GIVE_UP: LiteralString = "select luneo.require(false, 'given_up')"


class Pending:
    """The rows of a queued statement, there to be read once its pipeline has been left."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: psycopg.AsyncCursor[Row]) -> None:
        self._cursor = cursor

    async def all(self) -> list[Row]:
        """Return every row; none for a statement that gives none."""
        if self._cursor.description is None:
            return []
        return await self._cursor.fetchall()

    async def one_or_none(self) -> Row | None:
        """Return the first row, or `None`."""
        if self._cursor.description is None:
            return None
        return await self._cursor.fetchone()

    async def one(self) -> Row:
        """Return the first row. Raises `LookupError` when there is none: use it where a row is certain."""
        row = await self._cursor.fetchone()
        if row is None:
            raise LookupError("the statement returned no row")
        return row

    @property
    def count(self) -> int:
        """How many rows the statement returned or changed."""
        return self._cursor.rowcount


@dataclass(slots=True)
class Pipeline:
    """One transaction in one round trip. A `UnitOfWork` that other contexts' commands may join."""

    principal: Principal
    connection: Connection

    async def queue(self, statement: LiteralString, parameters: Parameters = None) -> Pending:
        """Queue `statement`; its rows can be read after the block."""
        return Pending(await self.connection.execute(statement, parameters))


class Database:
    """A pool of connections that act as one database role."""

    def __init__(self, dsn: str, role: DatabaseRole = DatabaseRole.APP, *, size: int = 10, minimum: int = 1) -> None:
        """Prepare a pool of at most `size` connections; nothing connects before `open`."""
        self.role = role
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            as_role(dsn, role),
            connection_class=psycopg.AsyncConnection[Row],
            kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
            min_size=minimum,
            max_size=size,
            timeout=5,
            open=False,
            reconnect_timeout=5,
        )

    async def open(self) -> None:
        """Connect, and refuse a login that could bypass row-level security.

        Raises `UnsafeDatabaseRole`, or `Unavailable` when the server does not answer within 5 s.
        """
        try:
            await self._pool.open(wait=True, timeout=10)
        except PoolTimeout as error:
            raise Unavailable("Postgres does not answer") from error
        async with self._pool.connection() as connection:
            await refuse_unsafe_role(connection)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection in autocommit, without a tenant. Raises `Unavailable` when none can be had."""
        try:
            async with self._pool.connection() as connection:
                yield connection
        except PoolTimeout as error:
            raise Unavailable("Postgres does not answer") from error
        except psycopg.OperationalError as error:
            raise translated(error) from error

    @asynccontextmanager
    async def pipeline(self, principal: Principal) -> AsyncIterator[Pipeline]:
        """Open a transaction of the principal's organisation that is sent and committed in one round trip.

        An error inside the block leaves nothing behind. Raises what `refusals` makes of a failing statement: a context's own error, `Conflict`,
        or `Unavailable`.
        """
        tenant = str(principal.organization_id or "")
        try:
            async with self._pool.connection() as connection, connection.pipeline():
                await connection.execute(SET_TENANT, (tenant,))
                try:
                    yield Pipeline(principal, connection)
                except BaseException:
                    # leaving the pipeline sends its Sync, which would commit what was queued before the error
                    await connection.execute(_GIVE_UP)
                    raise
        except PoolTimeout as error:
            raise Unavailable("Postgres does not answer") from error
        except psycopg.Error as error:
            raise translated(error) from error

    async def rows(self, principal: Principal, statement: LiteralString, parameters: Parameters = None) -> list[Row]:
        """Return the rows of one statement, run as the principal's organisation, in one round trip."""
        async with self.pipeline(principal) as pipeline:
            pending = await pipeline.queue(statement, parameters)
        return await pending.all()

    async def row(self, principal: Principal, statement: LiteralString, parameters: Parameters = None) -> Row | None:
        """Return the first row of one statement, run as the principal's organisation, or `None`."""
        async with self.pipeline(principal) as pipeline:
            pending = await pipeline.queue(statement, parameters)
        return await pending.one_or_none()


def tenant(organization_id: UUID | None) -> Principal:
    """Return the system acting for `organization_id`, for background readers."""
    return Principal.system(organization_id)
