"""Built files, what a device prefers, and the pages of development: the mailbox and the components."""

import re
from typing import Final

from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.params import FromPath, URLEncodedBody
from litestar.types import ControllerRouterHandler

from contracts.http.base import Request as Body
from entrypoints.http.identity.sessions import SessionAnswers
from entrypoints.http.routing import public, unlimited
from entrypoints.http.system import MailBody, Mailbox
from entrypoints.web.rendering import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, PageRequest, bundle_of, local, rendered, sent_to
from entrypoints.web.texts import language_named
from shared_kernel.errors import FieldError, InvalidInput, NotFound

_YEAR_SECONDS: Final = 31_536_000
_LINK: Final = re.compile(r"https?://[^\s<>\"]+")


class PreferencesForm(Body, frozen=True):
    """What this device prefers; what is left out stays. `back` is the page that the form stands on."""

    language: str | None = None
    theme: str | None = None
    back: str = "/"


@get("/static/{name:path}", opt=unlimited("scripts and sheets, the same for everybody"), include_in_schema=False, sync_to_thread=False)
def built_file(request: PageRequest, name: FromPath[str]) -> Response[bytes]:
    """Return a built file: its name carries a hash of its content, so that browsers may keep it for ever. Raises `NotFound`."""
    file = bundle_of(request).file(name.removeprefix("/"))
    if file is None:
        raise NotFound
    headers = {"Cache-Control": f"public, max-age={_YEAR_SECONDS}, immutable", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.packed, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.content, media_type=file.media_type, headers=headers)


@post("/preferences", status_code=200, opt=public("language and theme are the device's"), include_in_schema=False)
@inject
async def keep_preferences(
    request: PageRequest, data: URLEncodedBody[PreferencesForm], answers: FromDishka[SessionAnswers]
) -> Response[str]:
    """Keep language and theme for this device, and show the page again. Raises `InvalidInput` for one that there is not."""
    kept = {}
    if data.language is not None:
        if language_named(data.language) is None:
            raise InvalidInput(FieldError("language", "unknown", "must be one of en, fr"))
        kept[LANGUAGE_COOKIE] = data.language
    if data.theme is not None:
        if data.theme not in THEMES:
            raise InvalidInput(FieldError("theme", "unknown", f"must be one of {', '.join(THEMES)}"))
        kept[THEME_COOKIE] = data.theme
    answer = sent_to(request, local(data.back))
    answer.cookies = [
        Cookie(key=key, value=value, max_age=_YEAR_SECONDS, secure=answers.secure, httponly=True, samesite="lax")
        for key, value in kept.items()
    ]
    return answer


@get("/dev/mail", opt=public("exists in development only"), include_in_schema=False)
@inject
async def mail_page(request: PageRequest, mailbox: FromDishka[Mailbox]) -> Response[str]:
    """Show the mails that would have been sent, with their links to follow."""
    mails = [(mail, _link_in(mail)) for mail in await mailbox.list()]
    return rendered(request, "mail.html", mails=mails)


@get("/design", opt=public("exists in development only"), include_in_schema=False)
async def design_page(request: PageRequest) -> Response[str]:
    """Show every component in all its states."""
    return rendered(request, "design.html")


def _link_in(mail: MailBody) -> str | None:
    found = _LINK.search(mail.text)
    return found[0] if found else None


route_handlers: list[ControllerRouterHandler] = [built_file, keep_preferences]
development_handlers: list[ControllerRouterHandler] = [mail_page, design_page]
