"""Idempotency keys in Postgres, committed with the effect."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, LiteralString, NamedTuple, Self
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, SmallInteger, Table, Text, text

from adapters.postgres.database import Database, Pipeline
from adapters.postgres.mapping import Json, identifier, metadata, moment
from adapters.postgres.unit_of_work import Together, UnitOfWorkScope, UnitsOfWork
from contracts.idempotency import LIFETIME_SECONDS, AnswerSealing, IdempotencyInProgress, IdempotencyKeyReused, RequestKey, StoredAnswer
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


def _answer_columns(*, certain: bool) -> list[Column[Any]]:
    return [
        Column("request_digest", LargeBinary, nullable=False),
        Column("status", SmallInteger, nullable=not certain),
        Column("headers", Json, nullable=not certain),
        Column("body", LargeBinary, nullable=not certain),
        moment("created_at"),
    ]


idempotent_requests = Table(
    "idempotent_requests",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier("principal_id", primary_key=True),
    Column("key", Text, primary_key=True),
    *_answer_columns(certain=False),
    identifier("turn_id", nullable=True),
    CheckConstraint("(turn_id is null) = (body is not null)", name="answer_or_turn"),
    schema="luneo",
)
"""What a key stands for: the answer that it got, or the turn, which runs longer than the request's transaction."""
Index("ix_idempotent_requests_created_at", idempotent_requests.c.created_at)
Index(
    "ix_idempotent_requests_turn",
    idempotent_requests.c.organization_id,
    idempotent_requests.c.turn_id,
    postgresql_where=text("turn_id is not null"),
)
personal_idempotent_requests = Table(
    "personal_idempotent_requests",
    metadata,
    identifier("principal_id", primary_key=True),
    Column("key", Text, primary_key=True),
    *_answer_columns(certain=True),
    schema="luneo",
)
Index("ix_personal_idempotent_requests_created_at", personal_idempotent_requests.c.created_at)


class _Shelf(NamedTuple):
    """A table of answers: the statements that claim a key there, find its answer and keep it."""

    claim: LiteralString
    first: LiteralString
    keep: LiteralString

    @classmethod
    def of(cls, table: LiteralString, *owner: LiteralString, instead_of: LiteralString = "") -> Self:
        """Return the statements on `table`, whose primary key are the columns `owner` and `key`.

        An answer takes the place of whatever the key stood for on an earlier day: of what the assignments `instead_of` clear too.
        """
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
              set {instead_of} request_digest = excluded.request_digest, status = excluded.status, headers = excluded.headers,
                body = excluded.body, created_at = excluded.created_at
            """,  # noqa: S608 - same
        )


_OF_ORGANIZATIONS = _Shelf.of("luneo.idempotent_requests", "organization_id", "principal_id", instead_of="turn_id = null,")
_OF_PEOPLE = _Shelf.of("luneo.personal_idempotent_requests", "principal_id")

KEY_IS_KNOWN = "idempotency_key_known"
_CLAIM_FOR_TURN: LiteralString = """
with claimed as (
  insert into luneo.idempotent_requests as kept (organization_id, principal_id, key, request_digest, turn_id, created_at)
  select %(organization_id)s::uuid, %(principal_id)s::uuid, %(key)s::text, %(digest)s::bytea, %(turn)s::uuid, %(now)s::timestamptz
   where pg_try_advisory_xact_lock(hashtextextended(%(organization_id)s::text || %(principal_id)s::text || %(key)s::text, 1))
  on conflict (organization_id, principal_id, key) do update
    set request_digest = excluded.request_digest, turn_id = excluded.turn_id, status = null, headers = null, body = null,
        created_at = excluded.created_at
    where kept.created_at <= excluded.created_at - make_interval(secs => %(lifetime)s)
  returning 1
) select luneo.require(exists (select 1 from claimed), 'idempotency_key_known')
"""

_TURN_UNDER: LiteralString = """
select request_digest, turn_id from luneo.idempotent_requests
 where organization_id = %(organization_id)s and principal_id = %(principal_id)s and key = %(key)s
   and created_at > %(now)s - make_interval(secs => %(lifetime)s)
"""


async def claim_for_turn(pipeline: Pipeline, key: RequestKey, turn_id: UUID, at: datetime) -> None:
    """Queue that `key` stands for the turn: one statement, which takes the lock that the claim of every other request takes.

    It is refused as `KEY_IS_KNOWN` when the key stands, or just comes to stand, for anything.
    """
    await pipeline.queue(_CLAIM_FOR_TURN, {**_place(pipeline.principal, key, at), "digest": key.digest, "turn": turn_id})


async def turn_under(database: Database, principal: Principal, key: RequestKey, at: datetime) -> UUID | None:
    """Return the turn that `key` stands for. Raises `IdempotencyKeyReused` when it came with another request."""
    row = await database.row(principal, _TURN_UNDER, _place(principal, key, at))
    if row is None:
        return None
    turn_id: UUID | None = row["turn_id"]
    if turn_id is None or bytes(row["request_digest"]) != key.digest:
        raise IdempotencyKeyReused
    return turn_id


def _place(principal: Principal, key: RequestKey, at: datetime) -> dict[str, object]:
    """Return the parameters that find `key` as it is known at `at`."""
    return {
        "organization_id": principal.organization_id,
        "principal_id": principal.id or principal.tenant,
        "key": key.value,
        "now": at,
        "lifetime": LIFETIME_SECONDS,
    }


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
        place = {**_place(principal, RequestKey(key, digest), self._clock.now()), "digest": digest}
        shelf = _OF_PEOPLE if principal.organization_id is None else _OF_ORGANIZATIONS
        async with Together(self._units, principal) as scope:
            if not (await scope.execute(shelf.claim, place))[0]["claimed"]:
                raise IdempotencyInProgress
            rows = await scope.execute(shelf.first, place)
            first = None
            if rows and rows[0]["body"] is None:
                raise IdempotencyKeyReused  # for a turn
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
