"""Every page, with what all of them have in common: errors are told in words, and other sites' forms are refused."""

from collections.abc import Sequence

from litestar import Router
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from entrypoints.web.conversational_ai.pages import route_handlers as conversational_ai
from entrypoints.web.identity.pages import route_handlers as identity
from entrypoints.web.rendering import refuse_other_sites, refused
from entrypoints.web.system.pages import development_handlers as development
from entrypoints.web.system.pages import route_handlers as system
from shared_kernel.errors import LuneoError


def _pages(handlers: Sequence[ControllerRouterHandler]) -> Router:
    return Router(
        "/",
        route_handlers=handlers,
        before_request=refuse_other_sites,
        exception_handlers={LuneoError: refused, HTTPException: refused, Exception: refused},
    )


route_handlers: list[ControllerRouterHandler] = [_pages([*system, *identity, *conversational_ai])]
development_handlers: list[ControllerRouterHandler] = [_pages(development)]
