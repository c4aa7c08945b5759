"""Who may call a route: authentication, cross-site protection, rate limits and the permission, in this order, before every handler.

A Litestar middleware: it runs after routing, so that it knows the route's declared `Access`. A route that declares none is refused.
"""

import hmac
from dataclasses import dataclass
from uuid import UUID

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.exceptions import MethodNotAllowedException
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from contracts.identity.queries import Authentication
from contracts.rate_limits import RateDecision, RateLimited, RateLimits, RateRule
from entrypoints.http.rate_headers import rate_headers
from entrypoints.http.routing import ACCESS, RATE, Access
from entrypoints.observability.metrics import Metrics
from shared_kernel.errors import FieldError, InvalidInput, PermissionDenied, Unauthenticated
from shared_kernel.principal import Origin, Principal, PrincipalKind

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MINUTE = 60


class CsrfFailed(PermissionDenied):
    """A browser's unsafe request without its session's token."""

    code = "csrf_failed"
    title = "Send the session's token in the header X-CSRF-Token"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitSettings:
    """Requests per minute: of one address, one person, one API key, and at the routes that take passwords or codes (per address)."""

    client: int
    account: int
    api_key: int
    sign_in: int
    refresh: int


class AccessControl:
    """Decides about one request. See the module."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authentication: Authentication,
        rate_limits: RateLimits,
        limits: RateLimitSettings,
        metrics: Metrics,
        session_cookie: str,
    ) -> None:
        self.app = app
        self._authentication = authentication
        self._rate_limits = rate_limits
        self._limits = limits
        self._metrics = metrics
        self._session_cookie = session_cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through as a `Principal` in `scope["user"]`, or raise."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        opt = scope["route_handler"].opt
        access = opt.get(ACCESS)
        if not isinstance(access, Access):
            if scope["method"] == "OPTIONS":  # made by the framework beside every route, for lack of one of ours
                raise MethodNotAllowedException(headers={"Allow": _methods(scope)})
            raise PermissionDenied("This route declares no access rule")
        origin: Origin = scope["state"]["origin"]
        if access.who == "open":
            scope["user"] = Principal.anonymous(origin)
            await self.app(scope, receive, send)
            return
        try:
            principal = await self._principal(scope, access, origin)
        except Unauthenticated:
            await self._limit((self._client_rule(origin),))
            raise
        decision = await self._limit(self._rules(principal, opt.get(RATE), origin))
        self._authorise(principal, access)
        scope["user"] = principal
        scope["state"]["principal"] = principal
        await self.app(scope, receive, _with_headers(send, rate_headers(decision, scope["path"])))

    async def _principal(self, scope: HTTPScope, access: Access, origin: Origin) -> Principal:
        headers = Headers.from_scope(scope)
        authorization = headers.get("authorization")
        if access.who == "public":
            return Principal.anonymous(origin)
        if authorization:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise Unauthenticated("The Authorization header must be 'Bearer <token>'")
            token, chosen = token.strip(), _chosen_organization(headers)
            return self._by_claims(access, token, chosen, origin, cookie=False) or await self._authentication.bearer(
                token, organization_id=chosen, origin=origin, when_suspended=access.when_suspended
            )
        cookie = cookie_value(headers.get("cookie", ""), self._session_cookie)
        if not cookie:
            raise Unauthenticated
        principal = self._by_claims(access, cookie, None, origin, cookie=True) or await self._authentication.session_cookie(
            cookie, origin=origin, when_suspended=access.when_suspended
        )
        if scope["method"] not in SAFE_METHODS:
            given = headers.get("x-csrf-token", "")
            if not hmac.compare_digest(given.encode(), self._authentication.csrf_token(principal).encode()):
                raise CsrfFailed
        return principal

    def _by_claims(self, access: Access, token: str, chosen: UUID | None, origin: Origin, *, cookie: bool) -> Principal | None:
        if not access.confirmed_inside or access.permission is None:
            return None
        return self._authentication.by_claims(token, cookie=cookie, organization_id=chosen, permission=access.permission, origin=origin)

    def _rules(self, principal: Principal, rate: object, origin: Origin) -> tuple[RateRule, ...]:
        if principal.kind is PrincipalKind.API_KEY:
            return (RateRule("api_key", f"{principal.tenant}:{principal.id}", self._limits.api_key, _MINUTE),)
        if principal.kind is PrincipalKind.USER:
            return (RateRule("account", f"user:{principal.id}", self._limits.account, _MINUTE),)
        if rate == "sign_in":
            return (self._client_rule(origin), RateRule("sign_in", f"sign_in:{origin.ip_address}", self._limits.sign_in, _MINUTE))
        if rate == "refresh":
            return (self._client_rule(origin), RateRule("refresh", f"refresh:{origin.ip_address}", self._limits.refresh, _MINUTE))
        return (self._client_rule(origin),)

    def _client_rule(self, origin: Origin) -> RateRule:
        return RateRule("client", f"client:{origin.ip_address}", self._limits.client, _MINUTE)

    async def _limit(self, rules: tuple[RateRule, ...]) -> RateDecision:
        decision = await self._rate_limits.check(rules)
        if not decision.allowed:
            self._metrics.rate_limited(decision.policy)
            raise RateLimited(decision)
        return decision

    @staticmethod
    def _authorise(principal: Principal, access: Access) -> None:
        if access.who == "signed_in" and principal.kind is not PrincipalKind.USER:
            raise PermissionDenied("Only a person who is signed in may do this")
        if access.permission is not None:
            principal.require(access.permission)


def _methods(scope: HTTPScope) -> str:
    routes = (r for r in scope["litestar_app"].routes if isinstance(r, HTTPRoute) and r.path_format == scope.get("path_template"))
    return ", ".join({method for route in routes for method in route.methods})


def _chosen_organization(headers: Headers) -> UUID | None:
    value = headers.get("luneo-organization")
    if value is None:
        return None
    try:
        return UUID(value)
    except ValueError:
        raise InvalidInput(FieldError("Luneo-Organization", "invalid", "must be an organisation's id")) from None


def cookie_value(header: str, name: str) -> str | None:
    """Return the value of the cookie `name` in a `Cookie` header, or `None`."""
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return None


def _with_headers(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return wrapped
