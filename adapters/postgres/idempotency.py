"""Idempotency keys in Postgres, committed with the effect."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import LiteralString

from psycopg.types.json import Jsonb
from sqlalchemy import Column, Index, LargeBinary, SmallInteger, Table, Text

from adapters.postgres.mapping import Json, identifier, metadata, moment
from adapters.postgres.unit_of_work import Together, UnitOfWorkScope, UnitsOfWork
from contracts.idempotency import LIFETIME_SECONDS, AnswerSealing, IdempotencyInProgress, IdempotencyKeyReused, StoredAnswer
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal

idempotent_requests = Table(
    "idempotent_requests",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier("principal_id", primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_digest", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("headers", Json, nullable=False),
    Column("body", LargeBinary, nullable=False),
    moment("created_at"),
    schema="luneo",
)
Index("ix_idempotent_requests_created_at", idempotent_requests.c.created_at)

_CLAIM: LiteralString = """
select pg_try_advisory_xact_lock(hashtextextended(%(organization)s::text || %(principal)s::text || %(key)s, 1)) as claimed
"""
_FIRST: LiteralString = """
select request_digest, status, headers, body from luneo.idempotent_requests
 where organization_id = %(organization)s and principal_id = %(principal)s and key = %(key)s
   and created_at > %(now)s - make_interval(secs => %(lifetime)s)
"""
_KEEP: LiteralString = """
insert into luneo.idempotent_requests (organization_id, principal_id, key, request_digest, status, headers, body, created_at)
values (%(organization)s, %(principal)s, %(key)s, %(digest)s, %(status)s, %(headers)s, %(body)s, %(now)s)
on conflict (organization_id, principal_id, key) do update
  set request_digest = excluded.request_digest, status = excluded.status, headers = excluded.headers, body = excluded.body,
  created_at = excluded.created_at
"""


class PostgresIdempotentEffect:
    """One claimed key inside its transaction."""

    def __init__(self, scope: UnitOfWorkScope, place: dict[str, object], sealing: AnswerSealing, first: StoredAnswer | None) -> None:
        self._scope = scope
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
            _KEEP,
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
            "organization": principal.tenant,
            "principal": principal.id or principal.tenant,
            "key": key,
            "digest": digest,
            "now": self._clock.now(),
            "lifetime": LIFETIME_SECONDS,
        }
        async with Together(self._units, principal) as scope:
            if not (await scope.execute(_CLAIM, place))[0]["claimed"]:
                raise IdempotencyInProgress
            rows = await scope.execute(_FIRST, place)
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
            yield PostgresIdempotentEffect(scope, place, self._sealing, first)


def _context(place: dict[str, object]) -> bytes:
    return f"{place['organization']} {place['principal']} {place['key']}".encode()
