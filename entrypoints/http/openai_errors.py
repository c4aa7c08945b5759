"""Problems as clients of OpenAI's API know them: everything under `/v1` is told so."""

from collections.abc import Mapping

from contracts.http.base import Problem
from contracts.http.openai import OpenAIError, OpenAIErrorBody

OPENAI_BASE = "/v1"
MEDIA_TYPE = "application/json"
#: Status, type and code by our code, where OpenAI has its own for that.
_OF_CODE: Mapping[str, tuple[int, str, str]] = {
    "unauthenticated": (401, "invalid_request_error", "invalid_api_key"),
    "quota_exceeded": (429, "insufficient_quota", "insufficient_quota"),
    "model_cannot": (400, "invalid_request_error", "unsupported_value"),
    "rate_limited": (429, "rate_limit_error", "rate_limit_exceeded"),
}
_TYPE_OF_STATUS: Mapping[int, str] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_INVALID, _SERVER_ERROR = 422, 500
#: What a body's field is called here, where a use case knows it by another name.
_PARAMS: Mapping[str, str | None] = {"content": "messages", "body": None}
_CODES: Mapping[str, str] = {"missing": "missing_required_parameter", "invalid": "invalid_value", "empty": "invalid_value"}


def is_openai(path: str) -> bool:
    """Tell whether `path` is answered as OpenAI answers."""
    return path.startswith(OPENAI_BASE + "/")


def openai_error(problem: Problem) -> tuple[int, OpenAIError]:
    """Return the status and the body that tell `problem`. Invalid input is 400 with the first wrong field as its `param`."""
    param, code = None, problem.code
    message = problem.detail or problem.title
    if problem.errors:
        first = problem.errors[0]
        param, code = _PARAMS.get(first.field, first.field), _CODES.get(first.code, first.code)
    status = 400 if problem.status == _INVALID else problem.status
    kind = _TYPE_OF_STATUS.get(status, "server_error" if status >= _SERVER_ERROR else "invalid_request_error")
    if problem.code in _OF_CODE:
        status, kind, code = _OF_CODE[problem.code]
    if problem.code == "model_not_found":
        param = "model"
    return status, OpenAIError(error=OpenAIErrorBody(message=message, type=kind, param=param, code=code))


def openai_headers(problem: Problem) -> Mapping[str, str]:
    """Return what keeps OpenAI's own clients from asking again where that cannot help."""
    passing = problem.retry_after is not None or problem.code in {"turn_in_progress", "idempotency_in_progress"}
    return {} if passing else {"x-should-retry": "false"}
