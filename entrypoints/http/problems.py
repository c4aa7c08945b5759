"""Errors as RFC 9457 problem details: the one place that knows statuses."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import msgspec.inspect
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException, SerializationException, ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.params import ParameterKwarg

from contracts.http.base import FieldProblem, Problem
from contracts.http.openai import OpenAIError
from contracts.rate_limits import RateLimited
from entrypoints.http.bodies import MAXIMUM_BODY_BYTES
from entrypoints.http.openai_errors import MEDIA_TYPE as OPENAI_MEDIA_TYPE
from entrypoints.http.openai_errors import is_openai, openai_error, openai_headers
from entrypoints.http.rate_headers import rate_headers
from entrypoints.http.uploads import UPLOAD, is_form
from shared_kernel.errors import (
    Conflict,
    InvalidInput,
    LuneoError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://luneo.example/problems/"

_STATUS_OF_KIND: tuple[tuple[type[LuneoError], int], ...] = (
    (InvalidInput, 422),
    (Unauthenticated, 401),
    (PermissionDenied, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
)
_STATUS_OF_CODE: Mapping[str, int] = {
    "quota_exceeded": 402,
    "feature_not_in_plan": 402,
    "idempotency_key_reused": 422,
    "client_message_id_reused": 422,
    "link_expired": 410,
    "rate_limited": 429,
    "too_many_attempts": 429,
}
_DEFAULT_STATUS = 400
_TITLES: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "The request cannot be understood"),
    401: ("unauthenticated", "Authentication is required"),
    403: ("permission_denied", "You may not do this"),
    404: ("not_found", "There is no such object"),
    405: ("method_not_allowed", "This method does not exist here"),
    406: ("not_acceptable", "No such representation"),
    413: ("too_large", "The request is too large"),
    414: ("target_too_long", "The request's address is too long"),
    415: ("unsupported_media_type", "This kind of body is not understood here"),
    422: ("validation_failed", "The request is not valid"),
    429: ("rate_limited", "Too many requests"),
    431: ("headers_too_large", "The request's headers are too large"),
}
_STEP = re.compile(r"[^.\[]+|\[[^\]]*\]")
_PATH = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`")
#: What the framework says of a body that is not there.
_NO_BODY = "'data'"
#: What the framework says of a client that leaves while it sends: no defect of ours, and anybody could fill the log with it.
_LEFT = "client disconnected prematurely"
#: What the framework says of a body that is too large, and no more.
_TOO_LARGE = "Request Entity Too Large"
_logger = structlog.get_logger("luneo.http")


def status_of(error: LuneoError) -> int:
    """Return the HTTP status of a domain error."""
    by_code = _STATUS_OF_CODE.get(error.code)
    if by_code is not None:
        return by_code
    return next((status for kind, status in _STATUS_OF_KIND if isinstance(error, kind)), _DEFAULT_STATUS)


def problem_of(error: Exception, request_id: str, body: object = None, names: Mapping[str, str] | None = None) -> Problem:
    """Return what the caller is told about `error`; defects of ours are told as 500 without a detail.

    `body` is the type of body that the route takes: it knows what a field may hold. `names` are the names by which a client knows
    the route's other arguments, where they differ.
    """
    if isinstance(error, LuneoError):
        return _domain_problem(error, request_id)
    if isinstance(error, ValidationException):
        fields = _field_errors(error, body, names or {})
        return _problem(422, "validation_failed", "; ".join(f"{f.field}: {f.detail}" for f in fields) or error.detail, request_id, fields)
    if isinstance(error, InternalServerException) and error.detail == _LEFT:
        return _problem(400, "bad_request", "The request ended before it was whole", request_id)
    if isinstance(error, HTTPException):
        if error.status_code == 400 and _is_undecodable(error):  # noqa: PLR2004
            return _problem(400, "malformed_json", "The body is not valid JSON", request_id)
        code, title = _TITLES.get(error.status_code, ("error", "Something went wrong"))
        if isinstance(error, RequestEntityTooLarge) and error.detail == _TOO_LARGE:
            return _problem(413, code, f"A body has at most {MAXIMUM_BODY_BYTES} bytes", request_id)
        detail = error.detail if error.status_code < 500 and error.status_code not in {404, 405} else title  # noqa: PLR2004
        return _problem(error.status_code, code, detail, request_id)
    if isinstance(error, UnicodeDecodeError | RecursionError | msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        # a recursion without end is a body that is nested too deep
        return _problem(400, "malformed_json", "The body is not valid JSON", request_id)
    return _problem(500, "internal_error", "Something went wrong on our side; the request id helps us to find it", request_id)


def _is_undecodable(error: BaseException | None) -> bool:
    """Tell whether `error` came, through whatever Litestar made of it, from a body that is no JSON."""
    while error is not None:
        if isinstance(error, SerializationException | msgspec.DecodeError | UnicodeDecodeError):
            return True
        error = error.__cause__ or error.__context__
    return False


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Problem | OpenAIError]:
    """Litestar's handler of every exception, told as OpenAI does under `/v1`. An error of ours may bring `headers` in its `extra`."""
    request_id = str(request.scope.get("state", {}).get("request_id", ""))
    taken = request.route_handler.parsed_fn_signature.parameters if isinstance(error, ValidationException) else {}
    names = {
        n: p.kwarg_definition.name for n, p in taken.items() if isinstance(p.kwarg_definition, ParameterKwarg) and p.kwarg_definition.name
    }
    problem = problem_of(error, request_id, body=taken["data"].annotation if "data" in taken else None, names=names)
    if problem.status >= 500 and not isinstance(error, LuneoError):  # noqa: PLR2004
        _logger.error("unhandled_error", exc_info=error, request_id=request_id)
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 401:  # noqa: PLR2004
        headers["WWW-Authenticate"] = 'Bearer realm="luneo"'
    handler = cast("Mapping[str, Any]", request.scope).get("route_handler")  # an unknown path has none
    takes_files = handler is not None and handler.opt.get(UPLOAD) is not None
    if takes_files and is_form(request.headers.get("content-type")):
        headers["Connection"] = "close"  # the rest of a file that was refused would be read only to be thrown away
    if isinstance(error, RateLimited):
        headers.update({name.decode(): value.decode() for name, value in rate_headers(error.decision, request.scope["path"])})
    if isinstance(error, LuneoError):
        headers.update(cast("Mapping[str, str]", error.extra.get("headers", {})))
    if isinstance(error, HTTPException) and error.headers:
        headers.update({k: _allowed_methods(v) for k, v in error.headers.items() if k.lower() == "allow"})
    if is_openai(request.scope["path"]):
        status, told = openai_error(problem)
        return Response(told, status_code=status, media_type=OPENAI_MEDIA_TYPE, headers={**headers, **openai_headers(problem)})
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def _allowed_methods(methods: str) -> str:
    """Return the methods without the one that the framework makes beside every route, and that is refused there."""
    return ", ".join(sorted({method.strip() for method in methods.split(",")} - {"OPTIONS"}))


def _domain_problem(error: LuneoError, request_id: str) -> Problem:
    fields = (
        tuple(FieldProblem(field=e.field, code=e.code, detail=e.detail) for e in error.errors) if isinstance(error, InvalidInput) else ()
    )
    metric, limit, resets_at, retry_after = (error.extra.get(k) for k in ("metric", "limit", "resets_at", "retry_after"))
    return Problem(
        type=TYPE_BASE + error.code,
        title=error.title,
        status=status_of(error),
        detail=error.detail,
        code=error.code,
        request_id=request_id,
        errors=fields,
        metric=str(metric) if metric is not None else None,
        limit=limit if isinstance(limit, int | float) else None,
        resets_at=str(resets_at) if resets_at is not None else None,
        retry_after=retry_after if isinstance(retry_after, int) else None,
    )


def _problem(status: int, code: str, detail: str, request_id: str, errors: tuple[FieldProblem, ...] = ()) -> Problem:
    _, title = _TITLES.get(status, ("", "Something went wrong"))
    return Problem(type=TYPE_BASE + code, title=title, status=status, detail=detail, code=code, request_id=request_id, errors=errors)


def _field_errors(error: ValidationException, body: object, names: Mapping[str, str]) -> tuple[FieldProblem, ...]:
    found: list[FieldProblem] = []
    for item in error.extra if isinstance(error.extra, list) else ():
        message, key = str(item.get("message", "")), str(item.get("key", ""))
        found.append(_field_problem(message, names.get(key, key), body))
    return tuple(found)


def _field_problem(message: str, key: str, body: object) -> FieldProblem:
    missing = re.search(r"missing required field `([^`]+)`", message)
    unknown = re.search(r"contains unknown field `([^`]+)`", message)
    name = key.removeprefix("data.").removeprefix("data")
    path = _PATH.search(message)
    if path:
        name, message = path.group(1), message[: path.start()]
    if message == _NO_BODY:
        return FieldProblem(field="body", code="missing", detail="is required, as JSON")
    if missing:
        return FieldProblem(field=".".join(p for p in (name, missing.group(1)) if p), code="missing", detail="is required")
    if unknown:
        return FieldProblem(field=".".join(p for p in (name, unknown.group(1)) if p), code="unknown", detail="there is no such field")
    allowed = [] if body is None else list(_allowed(msgspec.inspect.type_info(body), _STEP.findall(name)))
    detail = f"must be one of {', '.join(allowed)}" if allowed else message[:1].lower() + message[1:]
    return FieldProblem(field=name or "body", code="invalid", detail=detail)


def _allowed(kind: msgspec.inspect.Type, steps: Sequence[str]) -> Iterator[str]:
    """Return the texts to choose from where `steps` (fields, `[n]` for an entry of a list) lead inside `kind`; none where one is free."""
    if isinstance(kind, msgspec.inspect.UnionType):
        for one in kind.types:
            yield from _allowed(one, steps)
    elif isinstance(kind, msgspec.inspect.StructType) and steps:
        for field in kind.fields:
            if field.encode_name == steps[0]:
                yield from _allowed(field.type, steps[1:])
    elif isinstance(kind, msgspec.inspect.ListType) and steps:
        yield from _allowed(kind.item_type, steps[1:])
    elif isinstance(kind, msgspec.inspect.LiteralType):
        yield from (str(value) for value in kind.values)
    elif isinstance(kind, msgspec.inspect.EnumType):
        yield from (str(member.value) for member in kind.cls)
