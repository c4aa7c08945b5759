"""Signing up, proving the mailbox, signing in.

Opening the mailed link changes nothing, since mail scanners open links too: the button does.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, URLEncodedBody
from litestar.types import ControllerRouterHandler

from contracts.http.base import Request as Body
from domains.identity.model.names import Locale
from domains.identity.model.session import SessionKind
from domains.identity.use_cases.log_in import LogIn, LogInHandler
from domains.identity.use_cases.request_sign_up import RequestSignUp, RequestSignUpHandler
from domains.identity.use_cases.signed_in import SignedIn
from domains.identity.use_cases.verify_email import VerifyEmail, VerifyEmailHandler
from entrypoints.http.identity.sessions import SessionAnswers
from entrypoints.http.problems import status_of
from entrypoints.http.routing import public
from entrypoints.settings import Settings
from entrypoints.web.rendering import PageRequest, field_errors, language_of, local, rendered, sent_to, told
from shared_kernel.errors import LuneoError
from shared_kernel.principal import Principal

_NO_ERRORS: Mapping[str, str] = {}


class SignInForm(Body, frozen=True):
    """What the sign-in form sends. `remember` is there when its box is ticked; `next` is the page to go on to."""

    email: str = ""
    password: str = ""
    remember: str | None = None
    next: str = "/"


class SignUpForm(Body, frozen=True):
    """What the sign-up form sends."""

    email: str = ""
    password: str = ""
    full_name: str = ""
    organization_name: str = ""


class ConfirmForm(Body, frozen=True):
    """The proof of a mailbox: the link's token, or the address and the six digits."""

    token: str | None = None
    email: str | None = None
    code: str | None = None


@get("/sign-in", opt=public("its visitor is not signed in"), include_in_schema=False, name="sign_in_page")
async def sign_in_page(request: PageRequest, next: FromQuery[str] = "/") -> Response[str]:  # noqa: A002 - the name in the address
    """Show the sign-in form."""
    return rendered(request, "sign_in.html", form=SignInForm(next=local(next)), errors=_NO_ERRORS)


@post("/sign-in", status_code=200, opt=public("signs in", rate="sign_in"), include_in_schema=False)
@inject
async def sign_in(
    request: PageRequest,
    data: URLEncodedBody[SignInForm],
    principal: NamedDependency[Principal],
    handler: FromDishka[LogInHandler],
    answers: FromDishka[SessionAnswers],
) -> Response[str]:
    """Sign in and go on to the page that was asked for."""
    command = LogIn(
        email=data.email,
        password=data.password,
        remember=data.remember is not None,
        session=SessionKind.COOKIE,
        requested_by=principal,
    )
    try:
        session = await handler(command)
    except LuneoError as error:
        errors = {"": field_errors(request, error).get("", error.detail)}
        return rendered(request, "sign_in.html", status=status_of(error), form=data, errors=errors)
    return _signed_in(request, local(data.next), answers, session)


@get("/sign-up", opt=public("its visitor has no account yet"), include_in_schema=False)
async def sign_up_page(request: PageRequest) -> Response[str]:
    """Show the sign-up form."""
    return rendered(request, "sign_up.html", form=SignUpForm(), errors=_NO_ERRORS)


@post("/sign-up", status_code=200, opt=public("has no account yet", rate="sign_in"), include_in_schema=False)
@inject
async def sign_up_by_form(
    request: PageRequest,
    data: URLEncodedBody[SignUpForm],
    principal: NamedDependency[Principal],
    handler: FromDishka[RequestSignUpHandler],
) -> Response[str]:
    """Ask for an account; what comes next is in the mail, and never tells whether there was one.

    The page that takes the code has an address of its own, so that going back and loading anew lead to it.
    """
    command = RequestSignUp(
        email=data.email,
        password=data.password,
        full_name=data.full_name,
        organization_name=data.organization_name or None,
        locale=Locale(language_of(request).value),
        requested_by=principal,
    )
    try:
        await handler(command)
    except LuneoError as error:
        return rendered(request, "sign_up.html", status=status_of(error), form=data, errors=field_errors(request, error))
    return sent_to(request, "/check-mailbox?" + urlencode({"email": data.email}))


@get("/check-mailbox", opt=public("its visitor has no account yet"), include_in_schema=False)
@inject
async def check_mailbox_page(request: PageRequest, settings: FromDishka[Settings], email: FromQuery[str] = "") -> Response[str]:
    """Show where to enter the code that was sent to `email`; without an address, the sign-up."""
    return _check_mailbox(request, email, settings.development, _NO_ERRORS) if email else sent_to(request, "/sign-up")


@get("/verify-email", opt=public("its visitor has no account yet"), include_in_schema=False)
async def confirmation(request: PageRequest, token: FromQuery[str] = "") -> Response[str]:
    """Show the button that confirms a mailbox."""
    return rendered(request, "confirm.html", token=token)


@post("/verify-email", status_code=200, opt=public("its visitor has no account yet", rate="sign_in"), include_in_schema=False)
@inject
async def confirm(  # noqa: PLR0917 - passed by name
    request: PageRequest,
    data: URLEncodedBody[ConfirmForm],
    principal: NamedDependency[Principal],
    handler: FromDishka[VerifyEmailHandler],
    answers: FromDishka[SessionAnswers],
    settings: FromDishka[Settings],
) -> Response[str]:
    """Confirm a mailbox by the link's token or by the address and its code, make the account, sign its owner in and lead them inside."""
    code = None if data.code is None else "".join(data.code.split())
    command = VerifyEmail(token=data.token, email=data.email, code=code, session=SessionKind.COOKIE, requested_by=principal)
    try:
        session = await handler(command)
    except LuneoError as error:
        if data.token is None and data.email:
            said = next(iter(field_errors(request, error).values()), error.detail)
            return _check_mailbox(request, data.email, settings.development, {"code": said}, status_of(error))
        return told(request, error)
    return _signed_in(request, "/", answers, session)


def _check_mailbox(request: PageRequest, email: str, development: bool, errors: Mapping[str, str], status: int = 200) -> Response[str]:
    return rendered(request, "check_mailbox.html", status=status, email=email, development=development, errors=errors)


def _signed_in(request: PageRequest, path: str, answers: SessionAnswers, session: SignedIn) -> Response[str]:
    answer = sent_to(request, path)
    answer.cookies = answers.signed_in(session).cookies
    return answer


route_handlers: list[ControllerRouterHandler] = [
    sign_in_page,
    sign_in,
    sign_up_page,
    sign_up_by_form,
    check_mailbox_page,
    confirmation,
    confirm,
]
