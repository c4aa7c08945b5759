"""The published description of the API (OpenAPI 3.1): the framework's document, corrected where it does not tell what we do.

The framework describes its own error bodies, leaves out that unknown fields are refused, and does not know our credentials.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute

from contracts.http.base import Problem
from contracts.http.base import Request as Body
from contracts.http.conversations import TurnAnswer
from contracts.http.openai import ChatCompletion, ChatCompletionChunk, OpenAIError
from entrypoints.http.openai_errors import is_openai
from entrypoints.http.routing import ACCESS, Access
from entrypoints.http.uploads import UPLOAD

_REFERENCE = "#/components/schemas/{name}"
_STREAM = "text/event-stream"
_FIRST_ERROR = "4"
_IN_TWO_FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "/api/v1/conversations/{conversation_id}/messages": ("TurnAnswer", {"type": "string"}),
    "/api/v1/turns/{turn_id}/regenerate": ("TurnAnswer", {"type": "string"}),
    "/v1/chat/completions": ("ChatCompletion", {"$ref": _REFERENCE.format(name="ChatCompletionChunk")}),
}
_PROBLEM = {
    "description": "A problem (RFC 9457); its `code` is stable",
    "content": {"application/problem+json": {"schema": {"$ref": _REFERENCE.format(name="Problem")}}},
}
_OPENAI_ERROR = {
    "description": "An error as OpenAI tells it",
    "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name="OpenAIError")}}},
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access token (`lat_…`) or an API key (`lun_live_…`, `lun_sbx_…`)"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "luneo_session",
        "description": "A browser's session (`__Host-luneo_session` on https); unsafe requests also need the header X-CSRF-Token",
    },
}


class PublishedDescription(JsonRenderPlugin):
    """Serves the corrected document as JSON, in a fixed order."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document."""
        return msgspec.json.encode(corrected(request.app, openapi_schema), order="sorted")


def corrected(app: Litestar, document: dict[str, Any]) -> dict[str, Any]:
    """Return `document` with our errors, credentials and refusals of unknown fields; `document` itself stays as it is."""
    document = msgspec.json.decode(msgspec.json.encode(document))
    schemas: dict[str, Any] = document["components"]["schemas"]
    _, ours = msgspec.json.schema_components(
        [Problem, TurnAnswer, OpenAIError, ChatCompletion, ChatCompletionChunk], ref_template=_REFERENCE
    )
    for name, schema in ours.items():
        schemas.setdefault(name, schema)
    for body in _below(Body):
        if body.__name__ in schemas and body.__struct_config__.forbid_unknown_fields:
            schemas[body.__name__]["additionalProperties"] = False
    document["components"]["securitySchemes"] = _SCHEMES
    handlers = _handlers(app)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            handler = handlers.get((method.upper(), path))
            if handler is not None and (beside := handler.opt.get(UPLOAD)) is not None:
                _take_files(operation, beside)
            if handler is not None and isinstance(handler.opt.get(ACCESS), Access):
                _correct(operation, handler.opt[ACCESS], _OPENAI_ERROR if is_openai(path) else _PROBLEM)
    for path, (whole, streamed) in _IN_TWO_FORMS.items():
        if (answer := document["paths"].get(path, {}).get("post")) is not None:
            answer["responses"]["200"]["content"] = {
                "application/json": {"schema": {"$ref": _REFERENCE.format(name=whole)}},
                _STREAM: {"schema": streamed},
            }
    return {name: value for name, value in document.items() if value is not None}


def _take_files(operation: dict[str, Any], beside: Sequence[str]) -> None:
    """Say that the body is JSON as the type has it, or a form with a file; one of them there must be."""
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    [body] = [choice for choice in schema.get("oneOf", [schema]) if choice != {"type": "null"}]
    fields = {"file": {"type": "string", "format": "binary"}, **{name: {"type": "string"} for name in beside}}
    form = {"type": "object", "properties": fields, "required": ["file"], "additionalProperties": False}
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": body}, "multipart/form-data": {"schema": form}},
    }


def _correct(operation: dict[str, Any], access: Access, error: dict[str, Any]) -> None:
    responses = {status: answer for status, answer in operation["responses"].items() if not status.startswith(_FIRST_ERROR)}
    operation["responses"] = {**responses, "default": error}
    operation["security"] = [] if access.who in {"public", "open"} else [{"bearer": []}, {"session": []}]
    if said := operation.get("description"):
        operation["summary"] = str(said).splitlines()[0]
    if access.permission is not None:
        operation["x-permission"] = access.permission.value
    if access.when_suspended:
        operation["x-when-suspended"] = True


def _handlers(app: Litestar) -> dict[tuple[str, str], HTTPRouteHandler]:
    return {
        (method, route.path_format): handler
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
    }


def _below(kind: type[Body]) -> Iterator[type[Body]]:
    child: type[Body]
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)
