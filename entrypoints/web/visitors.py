"""Who looks at a page: the person behind the session cookie, and how the frame of a page introduces them."""

from dataclasses import dataclass

from contracts.identity.queries import Authentication
from domains.identity.ports.reading import IdentityReading
from entrypoints.http.app import session_cookie_name
from entrypoints.web.rendering import PageRequest
from shared_kernel.errors import Unauthenticated
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A person who is signed in, as the frame shows them. `organization` is the name of the one acted for, if they act for one."""

    name: str
    email: str
    locale: str
    organization: str | None
    suspended: bool
    permissions: frozenset[str]


async def person_behind(request: PageRequest, authentication: Authentication, *, secure: bool) -> Principal | None:
    """Return the person whose session cookie came with the request, or `None` when none came or it is no longer valid."""
    cookie = request.cookies.get(session_cookie_name(secure=secure))
    if not cookie:
        return None
    try:
        return await authentication.session_cookie(cookie, origin=request.scope["state"]["origin"], when_suspended=True)
    except Unauthenticated:
        return None


async def visitor_of(principal: Principal, reading: IdentityReading) -> Visitor:
    """Return how the frame introduces `principal`."""
    person = await reading.person(principal)
    organization = await reading.organization(principal) if principal.organization_id is not None else None
    return Visitor(
        name=person.full_name,
        email=person.email,
        locale=person.locale.value,
        organization=organization.name if organization else None,
        suspended=organization is not None and organization.status.value == "suspended",
        permissions=principal.permissions,
    )
