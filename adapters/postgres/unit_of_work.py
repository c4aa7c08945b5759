"""The unit of work behind every command.

One session, one transaction. On leaving the block it flushes the aggregates with their optimistic versions, then writes what
they recorded: events
with their deliveries and audit entries, all in the same transaction; after the commit it wakes the relay. An error inside the block
leaves nothing behind.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, LiteralString, Self, TypeVar, cast

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import Select, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from adapters.postgres.database import SET_TENANT, Connection, Parameters, Row
from adapters.postgres.liveness import hung_up
from adapters.postgres.messaging.outbox import EventRecord, Outbox
from adapters.postgres.refusals import translated
from adapters.postgres.roles import DatabaseRole, as_role
from contracts.governance.commands import AuditedChange, AuditTrail
from shared_kernel.aggregate import Aggregate
from shared_kernel.clock import Clock
from shared_kernel.errors import Conflict, NotFound, PermissionDenied, Unavailable
from shared_kernel.events import Delivery
from shared_kernel.principal import Principal

WakeRelay = Callable[[], None]
T = TypeVar("T")
A = TypeVar("A", bound=Aggregate)

_ambient: ContextVar["UnitOfWorkScope | None"] = ContextVar("luneo_unit_of_work", default=None)


@dataclass(frozen=True, slots=True)
class UnitsOfWork:
    """Opens units of work: what they all share."""

    sessions: "Sessions"
    outbox: Outbox
    audit_trail: AuditTrail
    clock: Clock
    wake_relay: WakeRelay

    def open(self, principal: Principal, *, completes: Delivery | None = None) -> "UnitOfWorkScope":
        """Return a transaction of the principal's organisation to be entered with `async with`.

        Inside `Together` the transaction that is open there is joined instead; one that acts for no organisation yet takes the first
        one's that joins it, and stays with it. `completes` is the delivery whose effect this transaction is.
        """
        return UnitOfWorkScope(self, principal, completes)


class Sessions:
    """Sessions on a pool of connections that act as `role`. Nothing is loaded lazily: aggregates are loaded whole."""

    def __init__(self, dsn: str, role: DatabaseRole = DatabaseRole.APP, *, size: int = 5) -> None:
        """Prepare a pool of `size` connections, twice as many at a peak; nothing connects before the first session."""
        self._engine = _engine(as_role(dsn, role), size)
        self._make = async_sessionmaker(self._engine, expire_on_commit=False, autoflush=False)

    def __call__(self) -> AsyncSession:
        """Return a new session."""
        return self._make()

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _engine(conninfo: str, size: int) -> AsyncEngine:
    async def connect() -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(conninfo, prepare_threshold=0)

    engine = create_async_engine(
        "postgresql+psycopg_async://", async_creator=connect, pool_size=size, max_overflow=size, pool_timeout=5, pool_pre_ping=False
    )
    event.listen(engine.sync_engine, "checkout", _refuse_hung_up)
    return engine


def _refuse_hung_up(connection: DBAPIConnection, _record: object, _fairy: object) -> None:
    """Let the pool replace all that are older than this one when the server closed it, instead of failing a command on each."""
    if hung_up(cast("psycopg.AsyncConnection[object]", connection.driver_connection)):
        raise InvalidatePoolError("the server closed this connection")


class UnitOfWorkScope:
    """An open transaction. Other contexts' commands may join it through `connection`."""

    def __init__(self, units: UnitsOfWork, principal: Principal, completes: Delivery | None) -> None:
        self._units = units
        self._completes = completes
        self._joined: UnitOfWorkScope | None = None
        self._touched: dict[int, Aggregate] = {}
        self._connection: Connection | None = None
        self.principal = principal
        self.session: AsyncSession

    async def __aenter__(self) -> Self:
        outer = _ambient.get()
        if outer is not None:
            if outer.principal.organization_id is None and self.principal.organization_id is not None:
                await outer.act_for(self.principal)
            if outer.principal.organization_id != self.principal.organization_id:
                raise PermissionDenied("One transaction cannot span two organisations")
            self._joined, self.session, self._connection = outer, outer.session, outer.connection
            return self
        self.session = self._units.sessions()
        event.listen(self.session.sync_session, "before_flush", self._collect)
        try:
            connection = await self.session.connection()
            raw = await connection.get_raw_connection()
            self._connection = cast("Connection", raw.driver_connection)
            await self.act_for(self.principal)
        except BaseException as error:
            await self.session.close()
            raise _translated(error) from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._joined is not None:
            if error is None:
                await self._guarded(self._joined.save)
            elif not isinstance(error, Exception):
                raise error
            else:
                refusal = _translated(error)
                if refusal is not error:
                    raise refusal from error
            return
        try:
            if error is not None:
                await self._rollback()
                refusal = _translated(error)
                if refusal is not error:
                    raise refusal from error
                return
            wake = False
            try:
                await self.save()
                wake = await self._write_records()
                await self.session.commit()
            except BaseException as failure:
                await self._rollback()
                refusal = _translated(failure)
                if refusal is not failure:
                    raise refusal from failure
                raise
            if wake:
                self._units.wake_relay()
        finally:
            await self.session.close()

    async def act_for(self, principal: Principal) -> None:
        """Let row-level security show the organisation of `principal`. A transaction does so once: before, it saw nobody's rows."""
        self.principal = principal
        await self.execute(SET_TENANT, (str(principal.organization_id or ""),))

    async def execute(self, statement: LiteralString, parameters: Parameters = None) -> list[Row]:
        """Run one SQL statement on the transaction and return its rows as dicts."""
        async with self.connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    @property
    def connection(self) -> Connection:
        """The psycopg connection that carries the transaction."""
        if self._connection is None:
            raise RuntimeError("the unit of work is not open")
        return self._connection

    def add(self, aggregate: Aggregate) -> None:
        """Save a new aggregate when the block is left."""
        self.session.add(aggregate)
        self.touch(aggregate)

    async def find(self, statement: Select[A]) -> A | None:
        """Load the aggregate that `statement` selects by a key, if it is there; what is done to it is saved when the block is left."""
        found = (await self.session.execute(statement)).scalar_one_or_none()
        if found is not None:
            self.touch(found)
        return found

    async def get(self, statement: Select[A], missing: str = "") -> A:
        """Do as `find` does. Raises `NotFound`, which says `missing`, when it is not there."""
        found = await self.find(statement)
        if found is None:
            raise NotFound(missing)
        return found

    async def remove(self, aggregate: Aggregate) -> None:
        """Delete an aggregate when the block is left; what it recorded is written all the same."""
        self.touch(aggregate)
        await self.session.delete(aggregate)

    def touch(self, aggregate: Aggregate) -> None:
        """Collect what `aggregate` records, even when none of its columns change."""
        if self._joined is not None:
            self._joined.touch(aggregate)
        else:
            self._touched[id(aggregate)] = aggregate

    def _collect(self, session: Session, _context: object, _instances: object) -> None:
        for instance in (*session.new, *session.dirty, *session.deleted):
            if isinstance(instance, Aggregate):
                self._touched[id(instance)] = instance

    async def save(self) -> None:
        """Send the changes of the aggregates to the database; nothing is permanent before the block is left."""
        await self.session.flush()

    async def _guarded(self, action: Callable[[], Any]) -> None:
        try:
            await action()
        except Exception as failure:
            refusal = _translated(failure)
            if refusal is not failure:
                raise refusal from failure
            raise

    async def _write_records(self) -> bool:
        at = self._units.clock.now()
        records: list[EventRecord] = []
        changes: list[AuditedChange] = []
        for aggregate in self._touched.values():
            for ordinal, happened in enumerate(aggregate.take_events()):
                records.append(
                    EventRecord(
                        event=happened,
                        aggregate=aggregate.AGGREGATE,
                        aggregate_id=aggregate.id,
                        aggregate_version=aggregate.version,
                        ordinal=ordinal,
                    )
                )
            changes.extend(
                AuditedChange(note=note, target=aggregate.AGGREGATE, target_id=aggregate.id, at=at) for note in aggregate.take_notes()
            )
        wake = await self._units.outbox.write(self.connection, self.principal, records, at)
        if changes:
            await self._units.audit_trail.append(self, changes)
        if self._completes is not None:
            await self._units.outbox.finish(self.connection, self._completes, at)
        return wake

    async def _rollback(self) -> None:
        try:
            await self.session.rollback()
        except (DBAPIError, psycopg.Error):
            await self.session.invalidate()


class Together:
    """Everything that opens a unit of work inside this block shares one transaction, committed when the block is left.

    It is how an answer is stored with its effect under an idempotency key.
    """

    def __init__(self, units: UnitsOfWork, principal: Principal) -> None:
        self._scope = units.open(principal)
        self._token: Token[UnitOfWorkScope | None] | None = None

    async def __aenter__(self) -> UnitOfWorkScope:
        scope = await self._scope.__aenter__()
        self._token = _ambient.set(scope)
        return scope

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._token is not None:
            _ambient.reset(self._token)
        await self._scope.__aexit__(kind, error, trace)


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, StaleDataError):
        return Conflict("Somebody else changed this meanwhile; read it again")
    if isinstance(error, PoolTimeout):
        return Unavailable("Postgres does not answer")
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, psycopg.Error):
        known = translated(original)
        if known is not original:
            return known
    if isinstance(error, OperationalError):
        return Unavailable("Postgres does not answer")
    return error


class PostgresTransaction(Generic[T]):
    """Base of a context's transactions: builds the context's view (its repositories) on an open unit of work.

    Subclasses say how: `view(scope)`. Calling the instance gives the context manager that use cases enter.
    """

    def __init__(self, units: UnitsOfWork) -> None:
        self._units = units

    def view(self, scope: UnitOfWorkScope) -> T:
        """Return what the use case sees of the transaction."""
        raise NotImplementedError

    def __call__(self, principal: Principal, *, completes: Delivery | None = None) -> AbstractAsyncContextManager[T]:
        """Return the transaction of `principal`'s organisation to be entered with `async with`."""
        return _Viewed(self._units.open(principal, completes=completes), self.view)


class _Viewed(Generic[T]):
    def __init__(self, scope: UnitOfWorkScope, view: Callable[[UnitOfWorkScope], T]) -> None:
        self._scope = scope
        self._view = view

    async def __aenter__(self) -> T:
        return self._view(await self._scope.__aenter__())

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._scope.__aexit__(kind, error, trace)
