"""Which pages of other origins may call the API from a browser: the Fetch standard's CORS protocol, for the origins in the settings.

Stands around the whole app, so that errors carry the headers too, and only where an origin is set at all.
"""

from collections.abc import Sequence

import msgspec
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.problems import MEDIA_TYPE, problem_of
from shared_kernel.errors import PermissionDenied

METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
#: What a page may send besides what it always may.
REQUEST_HEADERS = (
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "last-event-id",
    "luneo-organization",
    "x-csrf-token",
)
#: What a page may read besides what it always may.
RESPONSE_HEADERS = (
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Luneo-Turn",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
)
_ALWAYS_SENT = frozenset({"accept", "accept-language", "content-language"})
_SECONDS = 600
_VARY = (b"vary", b"Origin")


class CrossOriginRefused(PermissionDenied):
    """A page of another origin may not send this."""

    code = "cross_origin_refused"
    title = "A page of this origin may not send this request"


class CrossOrigin:
    """Answers preflights, and tells browsers which answers the pages of `origins` may read."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._exposed = (b"access-control-expose-headers", ", ".join(RESPONSE_HEADERS).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = Headers.from_scope(scope)
        origin = headers.get("origin", "")
        if origin and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await self._preflight(scope, headers, send)
            return
        shown = [_VARY, *_allowed(origin), self._exposed] if origin in self._origins else [_VARY]

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *shown]
            await send(message)

        await self._app(scope, receive, wrapped)

    async def _preflight(self, scope: Scope, headers: Headers, send: Send) -> None:
        origin, refused = headers["origin"], self._refusal(headers)
        if refused is None:
            answer = [
                _VARY,
                *_allowed(origin),
                (b"access-control-allow-methods", ", ".join(METHODS).encode()),
                (b"access-control-allow-headers", ", ".join(REQUEST_HEADERS).encode()),
                (b"access-control-max-age", str(_SECONDS).encode()),
            ]
            await send({"type": "http.response.start", "status": 204, "headers": answer})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        problem = problem_of(CrossOriginRefused(refused), str(scope["state"].get("request_id", "")))
        body = msgspec.json.encode(problem)
        told = [
            _VARY,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": problem.status, "headers": told})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _refusal(self, headers: Headers) -> str | None:
        """Return what is not allowed; `None` when everything is."""
        if headers["origin"] not in self._origins:
            return "This origin is not among those that may call the API"
        if headers["access-control-request-method"] not in METHODS:
            return f"The method must be one of {', '.join(METHODS)}"
        asked = {name.strip().lower() for name in headers.get("access-control-request-headers", "").split(",")} - {""}
        if asked - _ALWAYS_SENT - set(REQUEST_HEADERS):
            return f"The headers must be among {', '.join(REQUEST_HEADERS)}"
        return None


def _allowed(origin: str) -> list[tuple[bytes, bytes]]:
    return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"access-control-allow-credentials", b"true")]
