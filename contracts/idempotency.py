"""Idempotency keys: the answer is kept with the effect, in one transaction.

After the IETF draft "The Idempotency-Key HTTP Header Field".
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from shared_kernel.errors import Conflict, LuneoError
from shared_kernel.principal import Principal

LIFETIME_SECONDS = 24 * 3600


class IdempotencyInProgress(Conflict):
    """The first request with this key has not finished."""

    code = "idempotency_in_progress"
    title = "A request with this idempotency key is still running"


class IdempotencyKeyReused(LuneoError):
    """The key was used with another body, or on another path."""

    code = "idempotency_key_reused"
    title = "This idempotency key was used for another request"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An `Idempotency-Key`, and what tells the request that it came with from others: the SHA-256 of its path and body."""

    value: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """The first answer to a request."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class AnswerSealing(Protocol):
    """Keeps stored answers secret at rest: one of them may hold an API key that is shown once."""

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Return `plain` sealed for `context`."""
        ...

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """Return what was sealed for `context`, or `None` when it was not sealed by us for it."""
        ...


class IdempotentEffect(Protocol):
    """The open transaction of one keyed request."""

    @property
    def first_answer(self) -> StoredAnswer | None:
        """The answer to the same request before, or `None` when this is the first."""
        ...

    async def keep(self, answer: StoredAnswer) -> None:
        """Store `answer`; it becomes permanent with the effect when the block is left."""
        ...


class IdempotentEffects(Protocol):
    """Runs keyed requests: every unit of work inside the block joins its one transaction."""

    def begin(self, principal: Principal, *, key: str, request_digest: bytes) -> AbstractAsyncContextManager[IdempotentEffect]:
        """Claim `key` for the principal in its organisation; one that acts for none, a person, has keys of their own.

        In the latter case the block's first unit of work chooses the organisation of the effect.
        Raises `IdempotencyInProgress` while another request holds it, `IdempotencyKeyReused` when it was used for another
        request. An error inside the
        block undoes the effect and frees the key.
        """
        ...
