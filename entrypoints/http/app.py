"""The ASGI application."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from dishka import AsyncContainer
from litestar import Litestar, Request, Response, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException, NotFoundException
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.types import ASGIApp, ControllerRouterHandler

from contracts.idempotency import IdempotentEffects
from contracts.identity.queries import Authentication
from contracts.rate_limits import RateLimits
from domains.conversational_ai.use_cases.store_upload import UploadStorage
from entrypoints.http import problems
from entrypoints.http.access import AccessControl, RateLimitSettings
from entrypoints.http.bodies import MAXIMUM_BODY_BYTES, JsonRequest
from entrypoints.http.cors import CrossOrigin
from entrypoints.http.description import DESCRIPTION_BASE, PublishedDescription
from entrypoints.http.edge import Edge
from entrypoints.http.idempotency import Idempotency
from entrypoints.http.routing import unlimited
from entrypoints.observability.metrics import Metrics
from entrypoints.settings import Settings
from shared_kernel.errors import LuneoError
from shared_kernel.principal import Principal

API_BASE = "/api/v1"
_NOT_FOUND = 404
Lifespan = Callable[[], AbstractAsyncContextManager[None]]
Missing = Callable[[Request[Any, Any, Any], Exception], Response[Any]]


def caller(request: Request[Principal, Any, Any]) -> Principal:
    """Return who is calling, as `AccessControl` found."""
    return request.scope["user"]  # type: ignore[no-any-return]


def rate_limit_settings(settings: Settings) -> RateLimitSettings:
    """Return the limits per minute, raised in development."""
    factor = settings.rate_limit_factor
    return RateLimitSettings(
        client=settings.rate_limit_client_per_minute * factor,
        account=settings.rate_limit_account_per_minute * factor,
        api_key=settings.rate_limit_key_per_minute * factor,
        sign_in=settings.rate_limit_sign_in_per_minute * factor,
        refresh=settings.rate_limit_refresh_per_minute * factor,
    )


def session_cookie_name(*, secure: bool) -> str:
    """Return the name of the session cookie; on https the browser itself enforces its scope (`__Host-`)."""
    return "__Host-luneo_session" if secure else "luneo_session"


def _no_page_of_the_frameworks(response: Response[Any]) -> Response[Any]:
    """Let what is not below `/schema` be a problem as everywhere; the framework has a page of its own for it. Raises 404."""
    if response.status_code == _NOT_FOUND:
        raise NotFoundException
    return response


class Served(NamedTuple):
    """What `create_app` makes: `edge` is served, `routes` is the Litestar app inside it."""

    edge: ASGIApp
    routes: Litestar


def create_app(
    *,
    container: AsyncContainer,
    settings: Settings,
    authentication: Authentication,
    rate_limits: RateLimits,
    metrics: Metrics,
    effects: IdempotentEffects,
    api_handlers: Sequence[ControllerRouterHandler],
    root_handlers: Sequence[ControllerRouterHandler],
    lifespan: Lifespan,
    reference: OpenAPIRenderPlugin | None = None,
    reference_policy: str = "",
    missing: Missing = problems.handle,
) -> Served:
    """Return the app to serve, and the Litestar app inside it for those who enumerate its routes.

    `reference` renders the API's description as a page at `/schema`, under the content security policy `reference_policy`.
    `missing` answers for an address that no route has.
    """

    @asynccontextmanager
    async def run(_: Litestar) -> AsyncIterator[None]:
        async with lifespan():
            yield

    async def upload_limit(organization_id: UUID) -> int | None:
        return await (await container.get(UploadStorage)).most_bytes(organization_id)

    app = Litestar(
        route_handlers=[Router(API_BASE, route_handlers=list(api_handlers)), *root_handlers],
        request_class=JsonRequest,
        dependencies={"principal": Provide(caller, sync_to_thread=False)},
        middleware=[
            DefineMiddleware(
                AccessControl,
                authentication=authentication,
                rate_limits=rate_limits,
                limits=rate_limit_settings(settings),
                metrics=metrics,
                session_cookie=session_cookie_name(secure=settings.secure_cookies),
            ),
            DefineMiddleware(Idempotency, effects=effects, maximum_body_bytes=MAXIMUM_BODY_BYTES, upload_limit=upload_limit),
        ],
        exception_handlers={
            LuneoError: problems.handle,
            HTTPException: problems.handle,
            NotFoundException: missing,
            msgspec.DecodeError: problems.handle,
            Exception: problems.handle,
        },
        lifespan=[run],
        request_max_body_size=MAXIMUM_BODY_BYTES,
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Luneo",
            version="1",
            openapi_router=Router(
                DESCRIPTION_BASE,
                route_handlers=[],
                opt=unlimited("the published description of the API"),
                after_request=_no_page_of_the_frameworks,
                response_headers={"Content-Security-Policy": reference_policy} if reference_policy else None,
            ),
            render_plugins=[*([reference] if reference else []), PublishedDescription()],
            use_handler_docstrings=True,
        ),
        debug=False,
        pdb_on_exception=False,
    )
    inside = CrossOrigin(app, settings.cors_origins) if settings.cors_origins else app
    edge = Edge(inside, container=container, metrics=metrics, trusted_proxies=settings.trusted_proxies, https=settings.secure_cookies)
    return Served(edge, app)
