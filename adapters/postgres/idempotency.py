"""Idempotency keys in Postgres, committed with the effect."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, LiteralString, NamedTuple, Self

from psycopg.types.json import Jsonb
from sqlalchemy import Column, Index, LargeBinary, SmallInteger, Table, Text

from adapters.postgres.mapping import Json, identifier, metadata, moment
from adapters.postgres.unit_of_work import Together, UnitOfWorkScope, UnitsOfWork
from contracts.idempotency import LIFETIME_SECONDS, AnswerSealing, IdempotencyInProgress, IdempotencyKeyReused, StoredAnswer
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


def _answer_columns() -> list[Column[Any]]:
    return [
        Column("request_digest", LargeBinary, nullable=False),
        Column("status", SmallInteger, nullable=False),
        Column("headers", Json, nullable=False),
        Column("body", LargeBinary, nullable=False),
        moment("created_at"),
    ]


idempotent_requests = Table(
    "idempotent_requests",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier("principal_id", primary_key=True),
    Column("key", Text, primary_key=True),
    *_answer_columns(),
    schema="luneo",
)
Index("ix_idempotent_requests_created_at", idempotent_requests.c.created_at)
personal_idempotent_requests = Table(
    "personal_idempotent_requests",
    metadata,
    identifier("principal_id", primary_key=True),
    Column("key", Text, primary_key=True),
    *_answer_columns(),
    schema="luneo",
)
Index("ix_personal_idempotent_requests_created_at", personal_idempotent_requests.c.created_at)


class _Shelf(NamedTuple):
    """A table of answers: the statements that claim a key there, find its answer and keep it."""

    claim: LiteralString
    first: LiteralString
    keep: LiteralString

    @classmethod
    def of(cls, table: LiteralString, *owner: LiteralString) -> Self:
        """Return the statements on `table`, whose primary key are the columns `owner` and `key`."""
        columns = ", ".join((*owner, "key"))
        values = ", ".join(f"%({column})s" for column in (*owner, "key"))
        name = " || ".join(f"%({column})s::text" for column in (*owner, "key"))
        return cls(
            claim=f"select pg_try_advisory_xact_lock(hashtextextended({name}, 1)) as claimed",
            first=f"""
            select request_digest, status, headers, body from {table}
             where ({columns}) = ({values}) and created_at > %(now)s - make_interval(secs => %(lifetime)s)
            """,  # noqa: S608 - our own names
            keep=f"""
            insert into {table} ({columns}, request_digest, status, headers, body, created_at)
            values ({values}, %(digest)s, %(status)s, %(headers)s, %(body)s, %(now)s)
            on conflict ({columns}) do update
              set request_digest = excluded.request_digest, status = excluded.status, headers = excluded.headers, body = excluded.body,
              created_at = excluded.created_at
            """,  # noqa: S608 - same
        )


_OF_ORGANIZATIONS = _Shelf.of("luneo.idempotent_requests", "organization_id", "principal_id")
_OF_PEOPLE = _Shelf.of("luneo.personal_idempotent_requests", "principal_id")


class PostgresIdempotentEffect:
    """One claimed key inside its transaction."""

    def __init__(
        self, scope: UnitOfWorkScope, shelf: _Shelf, place: dict[str, object], sealing: AnswerSealing, first: StoredAnswer | None
    ) -> None:
        self._scope = scope
        self._shelf = shelf
        self._sealing = sealing
        self._place = place
        self._first = first

    @property
    def first_answer(self) -> StoredAnswer | None:
        """The stored answer, or `None` when this is the first request."""
        return self._first

    async def keep(self, answer: StoredAnswer) -> None:
        """Store the answer in the effect's transaction."""
        await self._scope.execute(
            self._shelf.keep,
            {
                **self._place,
                "status": answer.status,
                "headers": Jsonb([list(h) for h in answer.headers]),
                "body": self._sealing.seal(answer.body, _context(self._place)),
            },
        )


class PostgresIdempotentEffects:
    """Claims keys by advisory locks, so that a second request is answered at once instead of waiting. Answers are sealed at rest."""

    def __init__(self, units: UnitsOfWork, sealing: AnswerSealing, clock: Clock) -> None:
        self._sealing = sealing
        self._units = units
        self._clock = clock

    def begin(self, principal: Principal, *, key: str, request_digest: bytes) -> AbstractAsyncContextManager[PostgresIdempotentEffect]:
        """Claim `key`; see `contracts.idempotency.IdempotentEffects`."""
        return self._begin(principal, key, request_digest)

    @asynccontextmanager
    async def _begin(self, principal: Principal, key: str, digest: bytes) -> AsyncIterator[PostgresIdempotentEffect]:
        place: dict[str, object] = {
            "organization_id": principal.organization_id,
            "principal_id": principal.id or principal.tenant,
            "key": key,
            "digest": digest,
            "now": self._clock.now(),
            "lifetime": LIFETIME_SECONDS,
        }
        shelf = _OF_PEOPLE if principal.organization_id is None else _OF_ORGANIZATIONS
        async with Together(self._units, principal) as scope:
            if not (await scope.execute(shelf.claim, place))[0]["claimed"]:
                raise IdempotencyInProgress
            rows = await scope.execute(shelf.first, place)
            first = None
            body = self._sealing.open(bytes(rows[0]["body"]), _context(place)) if rows else None
            if body is not None:
                if bytes(rows[0]["request_digest"]) != digest:
                    raise IdempotencyKeyReused
                first = StoredAnswer(
                    status=rows[0]["status"],
                    headers=tuple((str(n), str(v)) for n, v in rows[0]["headers"]),
                    body=body,
                )
            yield PostgresIdempotentEffect(scope, shelf, place, self._sealing, first)


def _context(place: dict[str, object]) -> bytes:
    return f"{place['organization_id']} {place['principal_id']} {place['key']}".encode()
