"""Several statements in one transaction and one round trip, at a fraction of what cursors cost.

`psycopg`'s own pipeline mode sends each queued statement by itself, with system calls and a wake-up of the server for each. Here all of
them are queued in libpq and leave with the Sync, which commits them (PostgreSQL documentation, sections 54.2.4 "Pipelining" and 32.5).
Connections, libpq, the adaptation of values and the errors are psycopg's; only its cursor is not used.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, LiteralString, NamedTuple, TypeAlias

import msgspec
import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.abc import Transformer as AnyTransformer
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg.waiting import Ready, Wait

Row: TypeAlias = dict[str, Any]
Parameters: TypeAlias = Mapping[str, object] | Sequence[object] | None
_Preparation: TypeAlias = tuple[str, tuple[int, ...]]
"""A statement, and the types of its parameters."""

_PLACEHOLDER = re.compile(r"%(?:(%)|\((\w+)\)([sbt])|([sbt]))")
_FORMATS = {"s": PyFormat.AUTO, "b": PyFormat.BINARY, "t": PyFormat.TEXT}
_PREPARED_MAXIMUM = 500
_FAILED = frozenset({ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE})
_NOT_RUN = ExecStatus.PIPELINE_ABORTED


class RoundTripConnection(psycopg.AsyncConnection[Row]):
    """A connection that remembers what it has prepared and how values are adapted, and keeps listening between round trips.

    Registering a socket with the event loop for each answer and taking it out again costs as much as the answer; a socket that stays
    registered also tells by itself, without being asked, that the server has hung up.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - psycopg's own arguments
        super().__init__(*args, **kwargs)
        self.prepared: dict[_Preparation, bytes] = {}
        self.preparations = 0
        set_json_dumps(msgspec.json.encode, self)
        set_json_loads(msgspec.json.decode, self)
        self.transformer = Transformer(self)
        self._listening_on: int | None = None
        self._awaited: asyncio.Future[None] | None = None

    @property
    def is_listening(self) -> bool:
        """Whether anything that arrives between round trips, such as the server's farewell, would be noticed."""
        return self._listening_on is not None

    async def readable(self) -> None:
        """Wait until something has arrived."""
        loop = asyncio.get_running_loop()
        if self._listening_on is None:
            self._listening_on = self.pgconn.socket
            loop.add_reader(self._listening_on, self._arrived)
        self._awaited = loop.create_future()
        try:
            await self._awaited
        finally:
            self._awaited = None

    async def wait(self, gen: PQGen[Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - psycopg's own
        """Wait as psycopg does, which registers the socket for itself."""
        self._listen_no_more()
        return await super().wait(gen, *args, **kwargs)

    async def close(self) -> None:
        """Close the connection; the event loop must not hold a socket that is closed."""
        self._listen_no_more()
        await super().close()

    def _arrived(self) -> None:
        if self._awaited is None:  # nobody asked anything: the server has closed the connection, or says that it will
            self._listen_no_more()
        elif not self._awaited.done():
            self._awaited.set_result(None)

    def _listen_no_more(self) -> None:
        if self._listening_on is not None:
            asyncio.get_running_loop().remove_reader(self._listening_on)
            self._listening_on = None


class Pending:
    """The rows of a queued statement, there to be read once its round trip is done."""

    __slots__ = ("_result", "_transformer")

    def __init__(self) -> None:
        self._result: PGresult | None = None
        self._transformer: AnyTransformer | None = None

    def arrived(self, result: PGresult, transformer: AnyTransformer) -> None:
        """Take the result."""
        self._result, self._transformer = result, transformer

    async def all(self) -> list[Row]:
        """Return every row; none for a statement that gives none."""
        return self._rows(self._arrived.ntuples)

    async def one_or_none(self) -> Row | None:
        """Return the first row, or `None`."""
        rows = self._rows(min(self._arrived.ntuples, 1))
        return rows[0] if rows else None

    async def one(self) -> Row:
        """Return the first row. Raises `LookupError` when there is none: use it where a row is certain."""
        row = await self.one_or_none()
        if row is None:
            raise LookupError("the statement returned no row")
        return row

    @property
    def count(self) -> int:
        """How many rows the statement returned or changed."""
        return self._arrived.command_tuples or 0

    @property
    def _arrived(self) -> PGresult:
        if self._result is None:
            raise RuntimeError("the rows can be read once the round trip is done")
        return self._result

    def _rows(self, number: int) -> list[Row]:
        result, transformer = self._arrived, self._transformer
        if transformer is None or number == 0:
            return []
        transformer.set_pgresult(result)
        names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
        return [dict(zip(names, values, strict=False)) for values in transformer.load_rows(0, number, tuple)]


class _Statement(NamedTuple):
    """A statement as libpq wants it; `names` are the parameters in its order, `None` when they are given by position."""

    text: bytes
    formats: tuple[PyFormat, ...]
    names: tuple[str, ...] | None


class RoundTrip:
    """What is queued, to be sent together by `run`."""

    def __init__(self) -> None:
        self._queued: list[tuple[LiteralString, Parameters, Pending]] = []

    def queue(self, statement: LiteralString, parameters: Parameters = None) -> Pending:
        """Add a statement; nothing is sent yet."""
        pending = Pending()
        self._queued.append((statement, parameters, pending))
        return pending

    async def run(self, connection: RoundTripConnection, *, prepared_maximum: int = _PREPARED_MAXIMUM) -> None:
        """Send everything over `connection`, which is in autocommit, and commit it, or nothing of it.

        A connection that has prepared more than `prepared_maximum` statements forgets them first. Raises the `psycopg.Error` of the first
        statement that failed. A connection in doubt (cancelled, or lost) is closed.
        """
        transformer, libpq = connection.transformer, connection.pgconn
        expected: list[_Preparation | Pending] = []
        try:
            libpq.enter_pipeline_mode()
            if len(connection.prepared) > prepared_maximum:  # every statement is a constant, so this takes odd combinations of types
                connection.prepared.clear()
                libpq.send_query_params(b"deallocate all", None)
                expected.append(Pending())
            for statement, parameters, pending in self._queued:
                text, formats, names = _parsed(statement)
                values = _in_order(parameters, names)
                dumped = transformer.dump_sequence(values, formats)
                types = tuple(transformer.types or ())
                preparation = (statement, types)
                name = connection.prepared.get(preparation)
                if name is None:
                    name = connection.prepared[preparation] = b"luneo_%d" % connection.preparations
                    connection.preparations += 1
                    libpq.send_prepare(name, text, types)
                    expected.append(preparation)
                libpq.send_query_prepared(name, dumped, transformer.formats)
                expected.append(pending)
            libpq.pipeline_sync()
            results = await _exchange(connection)
            libpq.exit_pipeline_mode()
        except BaseException:
            await connection.close()
            raise
        _settle(connection, expected, results)


def _settle(connection: RoundTripConnection, expected: Sequence[_Preparation | Pending], results: Sequence[PGresult]) -> None:
    """Give each result to who waits for it, and forget what could not be prepared."""
    failed: PGresult | None = None
    for awaited, result in zip(expected, results, strict=True):
        refused = result.status in _FAILED
        if refused and failed is None:
            failed = result
        if isinstance(awaited, Pending):
            awaited.arrived(result, connection.transformer)
        elif refused or result.status == _NOT_RUN:
            del connection.prepared[awaited]
    if failed is not None:
        raise errors.error_from_result(failed, encoding=connection.info.encoding)


async def _exchange(connection: RoundTripConnection) -> list[PGresult]:
    """Send what is queued and collect the result of each command, up to the Sync's."""
    libpq = connection.pgconn
    if libpq.flush():  # more than the socket takes at once
        await connection.wait(_flush(libpq))
    results: list[PGresult] = []
    silent = False
    while True:
        while libpq.is_busy():
            await connection.readable()
            libpq.consume_input()
        result = libpq.get_result()
        if result is None:  # a command's end; two in a row mean that nothing more will come
            if silent:
                raise psycopg.OperationalError("the connection was lost")
            silent = True
            continue
        silent = False
        if result.status == ExecStatus.PIPELINE_SYNC:
            return results
        results.append(result)


def _flush(libpq: PGconn) -> PQGen[None]:
    while libpq.flush():
        if (yield Wait.RW) & Ready.R:
            libpq.consume_input()


@lru_cache(maxsize=1024)
def _parsed(statement: LiteralString) -> _Statement:
    """Return a statement with psycopg's placeholders as libpq's; a name that comes twice is one parameter.

    Raises `ValueError` for parameters by position and by name, or for one name in two formats.
    """
    numbers: dict[str, int] = {}
    formats: list[PyFormat] = []
    positional = False

    def numbered(match: re.Match[str]) -> str:
        nonlocal positional
        percent, name, named_format, format_ = match.groups()
        if percent:
            return "%"
        if name is None:
            positional = True
            formats.append(_FORMATS[format_])
            return f"${len(formats)}"
        if name not in numbers:
            formats.append(_FORMATS[named_format])
            numbers[name] = len(formats)
        elif formats[numbers[name] - 1] is not _FORMATS[named_format]:
            raise ValueError(f"the parameter {name} is given in two formats")
        return f"${numbers[name]}"

    text = _PLACEHOLDER.sub(numbered, statement)
    if positional and numbers:
        raise ValueError("parameters go by position or by name")
    return _Statement(text.encode(), tuple(formats), None if positional or not numbers else tuple(numbers))


def _in_order(parameters: Parameters, names: tuple[str, ...] | None) -> Sequence[object]:
    if names is None:
        return () if parameters is None or isinstance(parameters, Mapping) else parameters
    if type(parameters) is not dict and not isinstance(parameters, Mapping):
        raise TypeError("this statement names its parameters")
    return [parameters[name] for name in names]
