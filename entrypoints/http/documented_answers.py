"""Which answers a route can give, for the description of the API: derived from what the route declares, never listed by hand.

What every route shares (credentials, limits, a body that can't be read) follows from its access, its method and its body. A response
that this does not foresee fails the tests: the client of the test app compares each answer with the description.
"""

from collections.abc import Iterator
from typing import Any, Final

from litestar.handlers import HTTPRouteHandler

from contracts.http.base import FieldProblem, Problem
from entrypoints.http.idempotency import NO_IDEMPOTENCY
from entrypoints.http.openai_errors import openai_error
from entrypoints.http.problems import MEDIA_TYPE, TYPE_BASE
from entrypoints.http.routing import ALSO_ANSWERS, RATE, Access
from entrypoints.http.uploads import UPLOAD
from shared_kernel.errors import FieldError

_REFERENCE: Final = "#/components/{kind}/{name}"
_REQUEST_ID: Final = "0192f0c1-7a4e-7c3b-9d52-5b8f0e6a1c2d"
#: By status: the component's name, what it means, and a problem that is told so: its code, title and detail.
_ERRORS: Final[dict[str, tuple[str, str, str, str, str]]] = {
    "400": ("BadRequest", "The body can't be read, or the request breaks a rule", "malformed_json", "", "The body is not valid JSON"),
    "401": ("Unauthenticated", "There is no credential, or it is no good", "unauthenticated", "Authentication is required", ""),
    "402": ("QuotaExceeded", "The plan doesn't hold it", "quota_exceeded", "The quota is used up", "10 of 10 agents are used"),
    "403": ("PermissionDenied", "The caller may not do this", "permission_denied", "You may not do this", "It needs agents:edit"),
    "404": ("NotFound", "There is no such object for the caller", "not_found", "There is no such object", ""),
    "409": ("Conflict", "It does not fit the present state", "conflict", "Somebody changed this in between", "Read it again"),
    "410": ("Gone", "It was there, and is no more", "link_expired", "This link has expired", "Ask for a new one"),
    "413": ("TooLarge", "The body is too large", "too_large", "The request is too large", "A body has at most 2000000 bytes"),
    "415": ("UnsupportedMediaType", "The body is of another kind", "unsupported_media_type", "", "Send the body as application/json"),
    "422": (
        "Invalid",
        "Some input is wrong: `errors` names each field",
        "validation_failed",
        "The request is not valid",
        "name: is required",
    ),
    "429": ("RateLimited", "Too many requests", "rate_limited", "Too many requests", "60 requests per minute"),
    "500": ("InternalError", "A defect of ours", "internal_error", "Something went wrong", "The request id helps us to find it"),
    "503": ("Unavailable", "Something that it needs does not answer", "unavailable", "The service is not available", "Try again"),
}
_PROBLEM, _OPENAI = "", "OpenAI"
_HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "X-Request-Id": ("The request's id: the caller's own, or one of ours", {"type": "string", "minLength": 8}),
    "RateLimit": ("What is left of the limit (IETF draft-ietf-httpapi-ratelimit-headers)", {"type": "string"}),
    "RateLimit-Policy": ("The limit that applies (same draft)", {"type": "string"}),
    "Retry-After": ("After how many seconds the request may succeed", {"type": "string", "pattern": "^[0-9]+$"}),
    "WWW-Authenticate": ("How to authenticate", {"type": "string"}),
    "ETag": ("The object's version, for `If-Match`", {"type": "string", "pattern": '^"[0-9]+"$'}),
    "Luneo-Turn": ("The turn that answers", {"type": "string", "format": "uuid"}),
    "Idempotent-Replayed": ("`true` where the first answer is given again", {"type": "string", "enum": ["true"]}),
}


def components() -> dict[str, dict[str, Any]]:
    """Return the answers and headers that every operation refers to."""
    responses = {}
    for status in _ERRORS:
        responses[_name(status, _PROBLEM)] = _told_as_problem(status)
        responses[_name(status, _OPENAI)] = _told_as_openai(status)
    headers = {name: {"description": text, "schema": schema} for name, (text, schema) in _HEADERS.items()}
    needed = {_needed(name): {**header, "required": True} for name, header in headers.items()}
    return {"responses": responses, "headers": headers | needed}


def error_answers(handler: HTTPRouteHandler, access: Access, method: str, *, openai: bool, inputs: bool) -> dict[str, Any]:
    """Return what an operation may answer instead of a success. `inputs` tells that it takes parameters."""
    told = {"402": "429", "422": "400"} if openai else {}
    statuses = sorted({told.get(status, status) for status in _statuses(handler, access, method, inputs=inputs)})
    form = _OPENAI if openai else _PROBLEM
    return {status: {"$ref": _REFERENCE.format(kind="responses", name=_name(status, form))} for status in statuses}


def success_headers(handler: HTTPRouteHandler, access: Access, method: str, *, versioned: bool, turn: bool) -> dict[str, Any]:
    """Return the headers of an operation's success. `versioned` gives an `ETag`, `turn` names the turn that answers."""
    needed = ["X-Request-Id", *(["RateLimit", "RateLimit-Policy"] if access.who != "open" else [])]
    needed += [*(["ETag"] if versioned else []), *(["Luneo-Turn"] if turn else [])]
    optional = ["Idempotent-Replayed"] if honours_key(handler, access, method) else []
    return {name: _header(name, needed=name in needed) for name in (*needed, *optional)}


def honours_key(handler: HTTPRouteHandler, access: Access, method: str) -> bool:
    """Tell whether a route knows `Idempotency-Key`."""
    return method == "POST" and access.identifies and not handler.opt.get(NO_IDEMPOTENCY)


def _statuses(handler: HTTPRouteHandler, access: Access, method: str, *, inputs: bool) -> Iterator[str]:
    yield "500"
    yield from handler.opt.get(ALSO_ANSWERS, ())
    if access.who == "open":
        return
    yield from ("429", "503")
    identified, changes = access.identifies, method != "GET"
    takes_body = "data" in handler.parsed_fn_signature.parameters
    if identified:
        yield from ("401", "403", "404", "422")  # an organisation may be chosen that is none, or is nobody's business
    elif handler.opt.get(RATE) is not None:  # the limit of those that look at a credential themselves
        yield from ("401", "403", "409")
    if inputs:
        yield from ("404", "422")
    if takes_body or handler.opt.get(UPLOAD) is not None:
        yield from ("400", "413", "415", "422")
    if identified and changes:
        yield from ("400", "409")
    if honours_key(handler, access, method):
        yield "413"  # whatever its body is, it is read for the request's Idempotency-Key
    if access.permission is not None and method in {"POST", "PUT"}:
        yield "402"


def _name(status: str, form: str) -> str:
    return f"{form}{_ERRORS[status][0]}"


def _needed(header: str) -> str:
    return f"{header}-always"


def _header(name: str, *, needed: bool) -> dict[str, Any]:
    return {"$ref": _REFERENCE.format(kind="headers", name=_needed(name) if needed else name)}


def _problem(status: str) -> Problem:
    _, meaning, code, title, detail = _ERRORS[status]
    field = FieldError("name", "missing", "is required")
    errors = (FieldProblem(field=field.field, code=field.code, detail=field.detail),) if code == "validation_failed" else ()
    return Problem(
        type=TYPE_BASE + code,
        title=title or meaning,
        status=int(status),
        detail=detail,
        code=code,
        request_id=_REQUEST_ID,
        errors=errors,
        retry_after=2 if status == "429" else None,
    )


def _error_headers(status: str) -> dict[str, Any]:
    headers = {"X-Request-Id": _header("X-Request-Id", needed=True)}
    if status in {"429", "503"}:
        headers["Retry-After"] = _header("Retry-After", needed=False)
    if status == "401":
        headers["WWW-Authenticate"] = _header("WWW-Authenticate", needed=True)
    return headers


def _told_as_problem(status: str) -> dict[str, Any]:
    content = {"schema": {"$ref": _REFERENCE.format(kind="schemas", name="Problem")}, "example": _problem(status)}
    return {"description": _ERRORS[status][1], "headers": _error_headers(status), "content": {MEDIA_TYPE: content}}


def _told_as_openai(status: str) -> dict[str, Any]:
    _, told = openai_error(_problem(status))
    content = {"schema": {"$ref": _REFERENCE.format(kind="schemas", name="OpenAIError")}, "example": told}
    return {"description": _ERRORS[status][1], "headers": _error_headers(status), "content": {"application/json": content}}
