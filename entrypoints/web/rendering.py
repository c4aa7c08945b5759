"""How a page becomes an answer: its language, its theme, its policy, its template."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response
from litestar.enums import MediaType

from contracts.http.base import Problem
from entrypoints.http.problems import handle
from entrypoints.web.bundle import Bundle
from entrypoints.web.texts import TEXTS, Language, language_named, preferred
from shared_kernel.errors import InvalidInput, LuneoError, PermissionDenied, Unauthenticated
from shared_kernel.principal import Principal

LANGUAGE_COOKIE: Final = "luneo_language"
THEME_COOKIE: Final = "luneo_theme"
THEMES: Final = ("system", "light", "dark")
PageRequest = Request[Principal, Any, Any]

_TEMPLATES: Final = Path(__file__).parent / "templates"
_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PLAIN_SHEET: Final = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
_NO_PAGES: Final = frozenset({"api", "v1", "schema", "health", "metrics", "static", "dev"})
"""Where an address begins that programs call: what is missing there is a problem for whoever asks."""
_SAFE: Final = frozenset({"GET", "HEAD"})
_SAME_SITE: Final = frozenset({"same-origin", "none"})
_CSRF_COOKIE: Final = "luneo_csrf"


def policy(nonce: str) -> str:
    """Return what a page may do: run scripts that carry its nonce, use our own sheets and pictures, and talk to us alone."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; img-src 'self' data:; "
        "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


def bundle_of(request: PageRequest) -> Bundle:
    """Return the built scripts and sheets that the app was given."""
    bundle: Bundle = request.app.state.bundle
    return bundle


def language_of(request: PageRequest, own: str | None = None) -> Language:
    """Return the language chosen on this device, else the person's `own`, else the one that the browser asks for."""
    chosen = language_named(request.cookies.get(LANGUAGE_COOKIE)) or language_named(own)
    return chosen or preferred(request.headers.get("accept-language", ""))


def rendered(
    request: PageRequest,
    template: str,
    entry: str = "page",
    status: int = 200,
    own_language: str | None = None,
    **values: object,
) -> Response[str]:
    """Return a page made from `template`, driven by the script `entry`.

    Without built scripts and sheets the page still says what it says, in the plain sheet. Nothing keeps pages: they are somebody's.
    """
    nonce = secrets.token_urlsafe(16)
    language = language_of(request, own_language)
    theme = request.cookies.get(THEME_COOKIE, "")
    text = TEXTS[language]
    html = _ENVIRONMENT.get_template(template).render(
        t=text,
        language=language.value,
        languages=[member.value for member in Language],
        theme=theme if theme in THEMES else THEMES[0],
        themes=THEMES,
        nonce=nonce,
        entry=bundle_of(request).entry(entry),
        plain_sheet=_PLAIN_SHEET,
        here=_here(request),
        **values,
    )
    headers = {"Content-Security-Policy": policy(nonce), "Cache-Control": "no-store", "Content-Language": language.value}
    return Response(html, status_code=status, media_type=MediaType.HTML, headers=headers)


def sent_to(request: PageRequest, path: str) -> Response[str]:
    """Return an answer that leads the browser to `path`, whether it sent a form itself or htmx did."""
    if "hx-request" in request.headers:
        return Response("", media_type=MediaType.HTML, headers={"HX-Redirect": path, "Cache-Control": "no-store"})
    return Response("", status_code=303, media_type=MediaType.HTML, headers={"Location": path, "Cache-Control": "no-store"})


def local(path: str) -> str:
    """Return `path` when it is one of ours, else the first page: an address of elsewhere never leaves with us."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"


def may_resume(request: PageRequest) -> bool:
    """Tell whether the browser had a session whose access token has run out: its refresh token goes to the API alone."""
    return bool(request.cookies.get(_CSRF_COOKIE))


def refuse_other_sites(request: PageRequest) -> None:
    """Refuse a form that another site sends in somebody's browser. Raises `PermissionDenied`.

    Browsers say where a request comes from (`Sec-Fetch-Site`, or at least `Origin`); a client that says neither is no browser.
    """
    if request.method in _SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = (
        site not in _SAME_SITE if site is not None else origin is not None and origin.partition("://")[2] != request.headers.get("host")
    )
    if foreign:
        raise PermissionDenied("This form was sent by another site")


def refused(request: PageRequest, error: Exception) -> Response[str]:
    """Litestar's handler of a page's errors: told as a page, in words; a visitor without a session is led to the door."""
    if isinstance(error, Unauthenticated):
        if may_resume(request):
            return rendered(request, "resume.html", status=401, next=_asked(request))
        return sent_to(request, f"/sign-in?next={quote(_asked(request), safe='/')}")
    return told(request, error)


def not_found(request: PageRequest, error: Exception) -> Response[Any]:
    """Litestar's handler of an address that there is not: a page for a browser that looks for one, else the problem as everywhere."""
    looks = request.method in _SAFE and _accepts_pages(request.headers.get("accept", ""))
    if looks and request.url.path.strip("/").partition("/")[0] not in _NO_PAGES:
        return told(request, error)
    return handle(request, error)


def _accepts_pages(accept: str) -> bool:
    """Tell whether `accept` names HTML with a weight (RFC 9110, section 12.5.1): browsers do, other clients take what they get."""
    for choice in accept.lower().split(","):
        name, *parameters = (part.strip() for part in choice.split(";"))
        if name == MediaType.HTML:
            return not any(p.startswith("q=0") and not p.removeprefix("q=").strip("0.") for p in parameters)
    return False


def told(request: PageRequest, error: Exception) -> Response[str]:
    """Return the page that says what went wrong, and what to do."""
    problem = handle(request, error).content  # which keeps a line of what nobody expected
    if not isinstance(problem, Problem):
        raise TypeError("a page is no part of the API that tells its errors otherwise")
    return rendered(
        request, "problem.html", status=problem.status, code=problem.code, detail=problem.detail, retry_after=problem.retry_after
    )


def field_errors(request: PageRequest, error: LuneoError) -> Mapping[str, str]:
    """Return what is wrong by field, in the page's language; the field `""` is the form as a whole."""
    text = TEXTS[language_of(request)]
    if isinstance(error, InvalidInput):
        return {e.field: text.known(f"error.{e.code}", e.detail) for e in error.errors}
    return {"": text.known(f"error.{error.code}", error.detail)}


def _asked(request: PageRequest) -> str:
    return _here(request) if request.method in _SAFE else "/"


def _here(request: PageRequest) -> str:
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
