"""`Idempotency-Key` on every POST: the first answer again, kept in one transaction with the effect.

Routes with `opt[OWN_IDEMPOTENCY]` (a turn runs longer than a transaction) handle the header themselves; those with
`opt[NO_IDEMPOTENCY]` know no such header. A key belongs to its caller in the
organisation that they act for; on routes with `opt[KEY_OF_A_PERSON]`, whose effect is in another organisation, to the person wherever they
act.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from tempfile import SpooledTemporaryFile
from typing import IO
from uuid import UUID

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.exceptions import ClientException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import ASGIApp, HTTPRequestEvent, HTTPResponseBodyEvent, HTTPResponseStartEvent, Message, Receive, Scope, Send

from contracts.billing.errors import QuotaExceeded
from contracts.idempotency import IdempotentEffects, StoredAnswer
from domains.conversational_ai.use_cases.store_upload import file_too_large
from entrypoints.http.uploads import MAXIMUM_UPLOAD_BYTES, MOST_BESIDE, UPLOAD, boundary_of, is_form
from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.principal import Principal

OWN_IDEMPOTENCY = "own_idempotency"
NO_IDEMPOTENCY = "no_idempotency"
KEY_OF_A_PERSON = "key_of_a_person"
MAXIMUM_KEY_LENGTH = 255
_FIRST_ERROR = 400
_PIECE = 1_000_000
_KEPT_HEADERS = frozenset({b"content-type", b"location", b"etag"})
UploadLimit = Callable[[UUID], Awaitable[int | None]]
"""How many bytes a file of an organisation may have; `None` is as many as any may."""


class _Refused(Exception):
    """The answer is an error: undo the effect, keep nothing."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """How many bytes a body may have, and, where that is the plan's word, its refusal.

    Nobody may fill the memory, or the disk, with a body that would be refused: the framework's limit, and the use case's, come too late.
    """

    most: int
    refusal: QuotaExceeded | None = None

    def check(self, size: int) -> None:
        """Raise for a body of `size` bytes that is too large."""
        if size > self.most:
            raise self.refusal or RequestEntityTooLarge(f"A body has at most {self.most} bytes")


class Idempotency:
    """Litestar middleware; sits inside `AccessControl`, so it knows the principal."""

    def __init__(self, app: ASGIApp, *, effects: IdempotentEffects, maximum_body_bytes: int, upload_limit: UploadLimit) -> None:
        self.app = app
        self._effects = effects
        self._maximum_body_bytes = maximum_body_bytes
        self._upload_limit = upload_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request once per key."""
        opt = scope["route_handler"].opt
        if scope["type"] != ScopeType.HTTP or scope["method"] != "POST" or opt.get(OWN_IDEMPOTENCY) or opt.get(NO_IDEMPOTENCY):
            await self.app(scope, receive, send)
            return
        key = key_of(Headers.from_scope(scope))
        principal = scope.get("user")
        if key is None or not isinstance(principal, Principal) or principal.id is None:
            await self.app(scope, receive, send)
            return
        if scope["route_handler"].opt.get(KEY_OF_A_PERSON):
            principal = replace(principal, organization_id=None)
        content_type = Headers.from_scope(scope).get("content-type")
        is_upload = scope["route_handler"].opt.get(UPLOAD) is not None and is_form(content_type)
        limit = await self._limit(scope, principal) if is_upload else _Limit(self._maximum_body_bytes)
        said = _Said(scope["path"], boundary=boundary_of(content_type) if is_upload else "")
        with SpooledTemporaryFile(max_size=self._maximum_body_bytes) as body:
            digest = await _read(receive, body, said, limit=limit)
            answer, replayed = await self._once(scope, principal, key, digest, body)
        await _send(send, answer, replayed=replayed)

    async def _limit(self, scope: Scope, principal: Principal) -> "_Limit":
        """Return how much of an upload may be read. Raises at once when its sender announces more than the plan allows for a file."""
        allowed = await self._upload_limit(principal.tenant)
        if allowed is None:
            return _Limit(MAXIMUM_UPLOAD_BYTES)
        announced = Headers.from_scope(scope).get("content-length", "")
        limit = _Limit(allowed + MOST_BESIDE, file_too_large(allowed))
        if announced.isdecimal():
            limit.check(int(announced))
        return limit

    async def _once(self, scope: Scope, principal: Principal, key: str, digest: bytes, body: IO[bytes]) -> tuple[list[Message], bool]:
        """Return the answer's messages, and whether they are a repetition."""
        captured: list[Message] = []

        async def again() -> HTTPRequestEvent:
            piece = body.read(_PIECE)
            return {"type": "http.request", "body": piece, "more_body": len(piece) == _PIECE}

        async def capture(message: Message) -> None:
            captured.append(message)

        try:
            async with self._effects.begin(principal, key=key, request_digest=digest) as effect:
                if effect.first_answer is not None:
                    return _messages(effect.first_answer), True
                await self.app(scope, again, capture)
                answer = _answer(captured)
                _undo_if_refused(answer)
                await effect.keep(answer)
        except _Refused:
            return captured, False
        return captured, False


def _undo_if_refused(answer: StoredAnswer) -> None:
    if answer.status >= _FIRST_ERROR:
        raise _Refused


async def _send(send: Send, messages: list[Message], *, replayed: bool) -> None:
    for message in messages:
        if replayed and message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"idempotent-replayed", b"true")]
        await send(message)


def _messages(answer: StoredAnswer) -> list[Message]:
    start: HTTPResponseStartEvent = {
        "type": "http.response.start",
        "status": answer.status,
        "headers": [*((n.encode(), v.encode()) for n, v in answer.headers), (b"content-length", str(len(answer.body)).encode())],
    }
    end: HTTPResponseBodyEvent = {"type": "http.response.body", "body": answer.body, "more_body": False}
    return [start, end]


def key_of(headers: Headers) -> str | None:
    """Return the request's `Idempotency-Key`. Raises `InvalidInput` for an empty or too long one."""
    key = headers.get("idempotency-key")
    if key is None:
        return None
    key = key.strip().strip('"')
    if not 1 <= len(key) <= MAXIMUM_KEY_LENGTH or not key.isprintable():
        raise InvalidInput(FieldError("Idempotency-Key", "invalid", f"must be 1 to {MAXIMUM_KEY_LENGTH} printable characters"))
    return key


def request_digest(path: str, body: bytes) -> bytes:
    """Return the SHA-256 of what makes two requests the same: the path and the body."""
    return hashlib.sha256(path.encode() + b"\0" + body).digest()


class _Said:
    """The digest of a request that arrives in pieces: as `request_digest`, and of a form whatever its boundary is.

    Clients make up another boundary each time that they send the same form.
    """

    def __init__(self, path: str, *, boundary: str) -> None:
        self._digest = hashlib.sha256(path.encode() + b"\0")
        self._delimiter = b"--" + boundary.encode() if boundary else b""
        self._held = b""

    def add(self, piece: bytes) -> None:
        """Add what arrived."""
        if not self._delimiter:
            self._digest.update(piece)
            return
        # what may be the beginning of a boundary waits for its end; no boundary has the character that stands for it
        known = (self._held + piece).replace(self._delimiter, b"\0")
        ready = max(len(known) - len(self._delimiter) + 1, 0)
        self._digest.update(known[:ready])
        self._held = known[ready:]

    def digest(self) -> bytes:
        """Return the digest of all of it."""
        self._digest.update(self._held)
        return self._digest.digest()


async def _read(receive: Receive, body: IO[bytes], said: _Said, *, limit: _Limit) -> bytes:
    """Put the whole body into `body` and return the request's digest."""
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientException("The client left before its request was whole")
        piece = message.get("body", b"")
        size += len(piece)
        limit.check(size)
        said.add(piece)
        body.write(piece)
        if not message.get("more_body"):
            body.seek(0)
            return said.digest()


def _answer(messages: list[Message]) -> StoredAnswer:
    status, headers, body = 500, [], b""
    for message in messages:
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [(bytes(n).decode(), bytes(v).decode()) for n, v in message.get("headers", ()) if bytes(n).lower() in _KEPT_HEADERS]
        elif message["type"] == "http.response.body":
            body += message.get("body", b"")
    return StoredAnswer(status=status, headers=tuple(headers), body=body)
