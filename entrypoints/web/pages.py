"""The page at the address, and the page that a verification mail leads to.

Opening the link changes nothing, since mail scanners open links too: the button does.
"""

from html import escape
from typing import Any

from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import Request, Response, get, head, post
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.params import FromQuery, URLEncodedBody
from litestar.types import ControllerRouterHandler

from contracts.http.base import Request as Body
from domains.identity.model.session import SessionKind
from domains.identity.use_cases.verify_email import VerifyEmail, VerifyEmailHandler
from entrypoints.http.identity.sessions import SessionAnswers
from entrypoints.http.problems import status_of
from entrypoints.http.routing import public
from entrypoints.web.layout import CONTENT_SECURITY_POLICY, page
from shared_kernel.errors import LuneoError
from shared_kernel.principal import Principal

_HEADERS = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"}
_TEXTS = {
    "en": {
        "welcome": "Luneo is running",
        "api": "The API is described at",
        "confirm": "Confirm your e-mail address",
        "why": "One click, and your account exists.",
        "button": "Confirm",
        "done": "Your address is confirmed",
        "next": "Your account exists and you are signed in.",
        "refused": "This link cannot be used",
    },
    "fr": {
        "welcome": "Luneo fonctionne",
        "api": "L'API est décrite à l'adresse",
        "confirm": "Confirmez votre adresse e-mail",
        "why": "Un clic, et votre compte existe.",
        "button": "Confirmer",
        "done": "Votre adresse est confirmée",
        "next": "Votre compte existe et vous êtes connecté.",
        "refused": "Ce lien ne peut pas servir",
    },
}


class ConfirmForm(Body, frozen=True):
    """The confirmation's hidden field."""

    token: str


@get("/", opt=public("where the address leads"), include_in_schema=False)
async def index(request: Request[Principal, Any, Any]) -> Response[str]:
    """Say that Luneo runs, and where the API is described."""
    texts = _texts(request)
    return _page(request, texts["welcome"], f'<p>{texts["api"]} <a href="/schema">/schema</a>.</p>')


@head("/", opt=public("where the address leads"), include_in_schema=False)
async def index_alone() -> None:
    """Tell the same by the status alone."""


@get("/verify-email", opt=public("its visitor has no account yet"), include_in_schema=False)
async def confirmation(request: Request[Principal, Any, Any], token: FromQuery[str] = "") -> Response[str]:
    """Show the button that confirms a mailbox."""
    texts = _texts(request)
    form = (
        f'<p>{texts["why"]}</p><form method="post" action="/verify-email">'
        f'<input type="hidden" name="token" value="{escape(token)}"><button>{texts["button"]}</button></form>'
    )
    return _page(request, texts["confirm"], form)


@post("/verify-email", status_code=200, opt=public("its visitor has no account yet", rate="sign_in"), include_in_schema=False)
@inject
async def confirm(
    request: Request[Principal, Any, Any],
    data: URLEncodedBody[ConfirmForm],
    principal: NamedDependency[Principal],
    handler: FromDishka[VerifyEmailHandler],
    answers: FromDishka[SessionAnswers],
) -> Response[str]:
    """Confirm a mailbox, make the account and sign its owner in."""
    texts = _texts(request)
    try:
        session = await handler(VerifyEmail(token=data.token, session=SessionKind.COOKIE, requested_by=principal))
    except LuneoError as error:
        return _page(request, texts["refused"], f"<p>{escape(error.detail)}</p>", status=status_of(error))
    answer = _page(request, texts["done"], f"<p>{texts['next']}</p>")
    answer.cookies = answers.signed_in(session).cookies
    return answer


def _texts(request: Request[Principal, Any, Any]) -> dict[str, str]:
    return _TEXTS[_language(request)]


def _language(request: Request[Principal, Any, Any]) -> str:
    return "fr" if request.headers.get("accept-language", "").lower().startswith("fr") else "en"


def _page(request: Request[Principal, Any, Any], title: str, body: str, *, status: int = 200) -> Response[str]:
    html = page(title, body, language=_language(request))
    return Response(html, status_code=status, media_type=MediaType.HTML, headers=_HEADERS)


route_handlers: list[ControllerRouterHandler] = [index, index_alone, confirmation, confirm]
