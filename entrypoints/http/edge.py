"""The outermost layer of the app: request id, origin, injection, security headers, one log line and one measurement per request."""

import re
import time
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import structlog
from dishka import AsyncContainer
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.observability.metrics import Metrics
from entrypoints.observability.tracing import ORGANIZATION_ID, RequestSpan, is_tracing
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Origin, Principal

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
SECURITY_HEADERS: Sequence[tuple[bytes, bytes]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_SERVER_ERROR = 500


class Edge:
    """Wraps the Litestar app."""

    def __init__(self, app: ASGIApp, *, container: AsyncContainer, metrics: Metrics, trusted_proxies: Sequence[str], https: bool) -> None:
        self._app = app
        self._container = container
        self._metrics = metrics
        self._trusted = tuple(ip_network(p) for p in trusted_proxies)
        self._headers = [*SECURITY_HEADERS, *([_HSTS] if https else [])]
        self._log = structlog.get_logger("luneo.http").bind()  # a lazy logger is made anew for each line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        given = {name: value for name, value in scope["headers"] if name in {b"x-request-id", b"user-agent", b"x-forwarded-for"}}
        asked = given.get(b"x-request-id", b"")
        request_id = asked.decode() if _REQUEST_ID.fullmatch(asked) else str(new_id())
        origin = Origin(
            ip_address=self._client(scope, given.get(b"x-forwarded-for")),
            user_agent=given.get(b"user-agent", b"").decode("latin-1")[:300] or None,
            request_id=request_id,
        )
        state: dict[str, Any] = {"request_id": request_id, "origin": origin, "dishka_container": self._container}
        scope["state"] = {**scope.get("state", {}), **state}
        traced = RequestSpan(scope["method"], scope["headers"]) if is_tracing() and scope["path"] not in _QUIET else None
        started = time.perf_counter()
        status = _SERVER_ERROR
        extra = [*self._headers, (b"x-request-id", request_id.encode())]

        async def wrapped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                names = {bytes(name).lower() for name, _ in headers}
                message["headers"] = [*headers, *((n, v) for n, v in extra if n not in names)]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, wrapped)
            finally:
                seconds = time.perf_counter() - started
                template = scope.get("path_template")
                route = str(template or "unmatched")
                self._metrics.request_answered(scope["method"], route, status, seconds)
                if route not in _QUIET or status >= _SERVER_ERROR:
                    principal = scope["state"].get("principal")
                    who = principal if isinstance(principal, Principal) else None
                    self._log.info(
                        "request",
                        method=scope["method"],
                        route=route,
                        status=status,
                        milliseconds=round(seconds * 1000, 1),
                        organization_id=str(who.organization_id) if who else None,
                        principal_id=str(who.id) if who else None,
                    )
                if traced is not None:
                    traced.answered(template, status, **_described(request_id, scope["state"].get("principal")))

    def _client(self, scope: Scope, forwarded: bytes | None) -> str | None:
        """Return the caller's address: the right-most forwarded one that is not a trusted proxy, when the peer itself is trusted."""
        client = scope.get("client")
        peer = client[0] if client else None
        if not self._trusted or forwarded is None or peer is None or not self._is_trusted(peer):
            return peer
        for hop in reversed(forwarded.decode("latin-1").split(",")):
            address = hop.strip()
            if not self._is_trusted(address):
                return address if _is_address(address) else peer
        return peer

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in network for network in self._trusted)


_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})


def _described(request_id: str, principal: object) -> dict[str, str]:
    """Return what a request's span says of it besides route and status."""
    described = {"luneo.request_id": request_id}
    if isinstance(principal, Principal) and principal.organization_id is not None:
        described[ORGANIZATION_ID] = str(principal.organization_id)
    return described


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
