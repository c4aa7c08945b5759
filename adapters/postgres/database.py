"""The hot way into Postgres: a psycopg pool in which each transaction is one round trip.

The pool's connections are in autocommit. Inside `pipeline()` the tenant setting and the statements are queued, and the Sync at
the end both sends
and commits them (an implicit transaction: PostgreSQL documentation, section 54.2.4 "Pipelining"). An error in the middle leaves
nothing behind.
Results are read after the block.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import LiteralString, Protocol
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from adapters.postgres.liveness import hung_up
from adapters.postgres.refusals import translated
from adapters.postgres.roles import DatabaseRole, as_role, refuse_unsafe_role
from adapters.postgres.round_trip import Parameters, Pending, RoundTrip, RoundTripConnection, Row
from shared_kernel.errors import Unavailable
from shared_kernel.principal import Principal

Connection = psycopg.AsyncConnection[Row]
__all__ = ["Connection", "Database", "Executing", "Parameters", "Pending", "Pipeline", "Row", "tenant"]

SET_TENANT: LiteralString = "select set_config('luneo.organization_id', %s, true)"
_QUICKLY: LiteralString = ", set_config('synchronous_commit', 'off', true)"
_PLANNED_ONCE: LiteralString = ", set_config('plan_cache_mode', 'force_generic_plan', true)"
_SET_TENANT: Mapping[tuple[bool, bool], LiteralString] = {
    (True, False): SET_TENANT,
    (True, True): SET_TENANT + _PLANNED_ONCE,
    (False, False): SET_TENANT + _QUICKLY,
    (False, True): SET_TENANT + _QUICKLY + _PLANNED_ONCE,
}
"""By durable, planned once."""


class Executing(Protocol):
    """What runs a statement on a transaction: a connection at once, a `Pipeline` when it is sent."""

    async def execute(self, statement: LiteralString, parameters: Parameters = None, /) -> object:
        """Run or queue `statement`."""
        ...


_GIVE_UP: LiteralString = "select luneo.require(false, 'given_up')"


class Pipeline:
    """One transaction in one round trip. A `UnitOfWork` that other contexts' commands may join: they queue on its `connection`."""

    __slots__ = ("_round_trip", "connection", "principal")

    def __init__(self, principal: Principal, round_trip: RoundTrip) -> None:
        self.principal = principal
        self.connection = self
        self._round_trip = round_trip

    async def queue(self, statement: LiteralString, parameters: Parameters = None) -> Pending:
        """Queue `statement`; its rows can be read after the block."""
        return self._round_trip.queue(statement, parameters)

    async def execute(self, statement: LiteralString, parameters: Parameters = None) -> Pending:
        """Do as `queue` does, under the name that a connection has for it."""
        return self._round_trip.queue(statement, parameters)


class Transaction:
    """The block of `Database.pipeline`: what was queued in it is sent when it ends, and nothing when it raises."""

    __slots__ = ("_database", "_principal", "_round_trip")

    def __init__(self, database: "Database", principal: Principal, set_tenant: LiteralString) -> None:
        self._database = database
        self._principal = principal
        self._round_trip = RoundTrip()
        self._round_trip.queue(set_tenant, (str(principal.organization_id or ""),))

    async def __aenter__(self) -> Pipeline:
        return Pipeline(self._principal, self._round_trip)

    async def __aexit__(self, exception_type: type[BaseException] | None, *_: object) -> None:
        if exception_type is None:
            await self._database.send(self._round_trip)


class Database:
    """A pool of connections that act as one database role."""

    def __init__(self, dsn: str, role: DatabaseRole = DatabaseRole.APP, *, size: int = 10, minimum: int = 1) -> None:
        """Prepare a pool of at most `size` connections; nothing connects before `open`."""
        self.role = role
        self._pool: AsyncConnectionPool[RoundTripConnection] = AsyncConnectionPool(
            as_role(dsn, role),
            connection_class=RoundTripConnection,
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
            async with self._pool.connection() as connection:
                await refuse_unsafe_role(connection)
        except PoolTimeout as error:
            await self._pool.close()
            raise Unavailable("Postgres does not answer") from error
        except BaseException:  # a worker of the pool that is just connecting swallows a cancellation, and would keep the process alive
            await self._pool.close()
            raise

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

    def pipeline(self, principal: Principal, *, durable: bool = True, planned_once: bool = False) -> "Transaction":
        """Open a transaction of the principal's organisation that is sent and committed in one round trip.

        One that is not `durable` is committed without waiting for the disk: a crash of the server may undo its last fraction of a second,
        but what is committed later never survives without it. The statements of one that is `planned_once` are not planned again for
        each set of values, which costs more than some of them do: for statements that look everything up by its key.
        Raises what `refusals` makes of a failing statement: a context's own error, `Conflict`, or `Unavailable`.
        """
        return Transaction(self, principal, _SET_TENANT[durable, planned_once])

    async def send(self, round_trip: RoundTrip) -> None:
        """Send and commit what was queued. Raises as `pipeline` says."""
        try:
            connection = await self._lend()
            try:
                await round_trip.run(connection)
            finally:
                await self._pool.putconn(connection)
        except PoolTimeout as error:
            raise Unavailable("Postgres does not answer") from error
        except psycopg.Error as error:
            raise translated(error) from error

    async def _lend(self) -> RoundTripConnection:
        """Return a connection that the server has not closed meanwhile; the pool replaces each that it has."""
        connection = await self._pool.getconn()
        for _ in range(self._pool.max_size):
            if connection.is_listening or not hung_up(connection):
                break
            await self._pool.putconn(connection)
            connection = await self._pool.getconn()
        return connection

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
