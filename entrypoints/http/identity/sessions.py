"""How a session travels: in cookies that scripts can't read, or in the body."""

from dataclasses import dataclass

from litestar import Response
from litestar.datastructures import Cookie

from contracts.http.identity import CookieSessionBody, SessionOrganizationBody, TokenSessionBody, UserBody
from domains.identity.model.session import SessionKind
from domains.identity.use_cases.signed_in import SignedIn
from entrypoints.http.app import API_BASE, session_cookie_name
from shared_kernel.clock import Clock

REFRESH_PATH = f"{API_BASE}/auth"
CSRF_COOKIE = "luneo_csrf"


def refresh_cookie_name(*, secure: bool) -> str:
    """Return the name of the refresh cookie. It has a path of its own, which `__Host-` forbids: only routes of `/auth` ever see it."""
    return "__Secure-luneo_refresh" if secure else "luneo_refresh"


@dataclass(frozen=True, slots=True)
class SessionAnswers:
    """Writes sessions into responses. `secure` says whether browsers reach us over https."""

    secure: bool
    clock: Clock

    def signed_in(self, session: SignedIn) -> Response[TokenSessionBody | CookieSessionBody]:
        """Return the answer to whoever signed in: tokens for those who keep them, else cookies."""
        now = self.clock.now()
        expires_in = max(int((session.access_expires_at - now).total_seconds()), 0)
        user = UserBody(
            id=session.person.id, email=session.person.email, full_name=session.person.full_name, locale=session.person.locale.value
        )
        place = session.organization
        organization = (
            None
            if place is None
            else SessionOrganizationBody(id=place.id, name=place.name, slug=place.slug, role=place.role, status=place.status.value)
        )
        headers = {"Cache-Control": "no-store"}
        if session.kind is SessionKind.TOKEN:
            tokens = TokenSessionBody(
                access_token=session.access_token,
                refresh_token=session.refresh_token,
                token_type="Bearer",  # noqa: S106 - the name of a scheme
                expires_in=expires_in,
                user=user,
                organization=organization,
            )
            return Response(tokens, headers=headers)
        lasting = max(int((session.refresh_expires_at - now).total_seconds()), 0)
        body = CookieSessionBody(csrf_token=session.csrf_token, expires_in=expires_in, user=user, organization=organization)
        cookies = self._cookies((session.access_token, expires_in), (session.refresh_token, lasting), (session.csrf_token, lasting))
        return Response(body, headers=headers, cookies=cookies)

    def signed_out(self) -> Response[None]:
        """Return an empty answer that makes a browser forget the cookies."""
        return Response(None, status_code=204, headers={"Cache-Control": "no-store"}, cookies=self._cookies(("", 0), ("", 0), ("", 0)))

    @property
    def refresh_cookie(self) -> str:
        """The name of the refresh cookie."""
        return refresh_cookie_name(secure=self.secure)

    def _cookies(self, access: tuple[str, int], refresh: tuple[str, int], csrf: tuple[str, int]) -> list[Cookie]:
        def cookie(name: str, value: tuple[str, int], *, path: str = "/", readable: bool = False) -> Cookie:
            return Cookie(key=name, value=value[0], max_age=value[1], path=path, secure=self.secure, httponly=not readable, samesite="lax")

        return [
            cookie(session_cookie_name(secure=self.secure), access),
            cookie(self.refresh_cookie, refresh, path=REFRESH_PATH),
            cookie(CSRF_COOKIE, csrf, readable=True),
        ]
