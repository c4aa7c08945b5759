"""The published description of the API (OpenAPI 3.1): the framework's document, corrected where it does not tell what we do.

The framework describes its own error bodies, leaves out that unknown fields are refused, and does not know our credentials.
"""

import typing
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

import litestar
import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute

from contracts.http.base import Problem, Request, Response
from contracts.http.conversations import TurnAnswer
from contracts.http.examples import example_of
from contracts.http.openai import ChatCompletion, ChatCompletionChunk, OpenAIError
from entrypoints.http.documented_answers import components, error_answers, honours_key, success_headers
from entrypoints.http.idempotency import MAXIMUM_KEY_LENGTH
from entrypoints.http.openai_errors import is_openai
from entrypoints.http.routing import ACCESS, Access
from entrypoints.http.system import ReadyAnswer
from entrypoints.http.uploads import UPLOAD
from shared_kernel.pagination import MAXIMUM_LIMIT

DESCRIPTION_BASE = "/schema"
_REFERENCE = "#/components/schemas/{name}"
_JSON, _FORM, _STREAM = "application/json", "multipart/form-data", "text/event-stream"
_FIRST_ERROR = "4"
_PARTS = frozenset({"oneOf", "anyOf"})
#: The POSTs that answer whole or as a stream: the type of the whole answer, and the schema of what a stream is made of.
_IN_TWO_FORMS: dict[str, tuple[type[Response], dict[str, Any]]] = {
    "/api/v1/conversations/{conversation_id}/messages": (TurnAnswer, {"type": "string"}),
    "/api/v1/turns/{turn_id}/regenerate": (TurnAnswer, {"type": "string"}),
    "/v1/chat/completions": (ChatCompletion, {"type": "string"}),
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and request again give the first answer again, for 24 hours",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAXIMUM_KEY_LENGTH},
}
_ORGANIZATION = {
    "name": "Luneo-Organization",
    "in": "header",
    "required": False,
    "description": "The organisation to act for, among a person's; an API key and a session in cookies have their own",
    "schema": {"type": "string", "format": "uuid"},
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "Only the events after the one with this id",
    "schema": {"type": "string", "pattern": "^[0-9]{1,9}$"},
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

    def render(self, request: litestar.Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document."""
        return msgspec.json.encode(corrected(request.app, openapi_schema), order="sorted")


def corrected(app: Litestar, document: dict[str, Any]) -> dict[str, Any]:
    """Return `document` with our errors, headers, credentials, examples and refusals of unknown fields; `document` stays as it is."""
    document = _plain(msgspec.json.decode(msgspec.json.encode(document)))
    schemas: dict[str, Any] = document["components"]["schemas"]
    _, ours = msgspec.json.schema_components(
        [Problem, TurnAnswer, OpenAIError, ChatCompletion, ChatCompletionChunk], ref_template=_REFERENCE
    )
    for name, schema in ours.items():
        schemas.setdefault(name, schema)
    for body in _below(Request):
        if body.__name__ in schemas and body.__struct_config__.forbid_unknown_fields:
            schemas[body.__name__]["additionalProperties"] = False
    document["components"] |= {"securitySchemes": _SCHEMES, **components()}
    handlers = _handlers(app)
    paths = document["paths"]
    for path in [path for path in paths if path.startswith(DESCRIPTION_BASE)]:
        del paths[path]  # the description and its page are not part of what it describes
    for path, methods in paths.items():
        for method, operation in methods.items():
            handler = handlers[method.upper(), path]
            if (beside := handler.opt.get(UPLOAD)) is not None:
                _take_files(operation, beside)
            _correct(operation, handler, method.upper(), path)
    described: dict[str, Any] = msgspec.json.decode(msgspec.json.encode({k: v for k, v in document.items() if v is not None}))
    return described


def _plain(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what is said in a choice of one without the choice; elsewhere any of several may fit: an integer is a number, too."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(value) for name, value in schema.items()}
    for part in _PARTS & plain.keys():
        choices = plain.pop(part)
        if len(choices) == 1:
            return {**choices[0], **plain}
        plain["anyOf"] = choices
    return plain


def _take_files(operation: dict[str, Any], beside: Sequence[str]) -> None:
    """Say that the body is JSON as the type has it, or a form with a file; one of them there must be."""
    schema = operation["requestBody"]["content"][_JSON]["schema"]
    [body] = [choice for choice in schema.get("anyOf", [schema]) if choice != {"type": "null"}]
    fields = {"file": {"type": "string", "format": "binary"}, **{name: {"type": "string"} for name in beside}}
    form = {"type": "object", "properties": fields, "required": ["file"], "additionalProperties": False}
    operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}, _FORM: {"schema": form}}}


def _correct(operation: dict[str, Any], handler: HTTPRouteHandler, method: str, path: str) -> None:
    access: Access = handler.opt[ACCESS]
    signature = handler.parsed_fn_signature
    inputs = bool(operation.get("parameters"))
    operation["parameters"] = _parameters(operation.get("parameters") or [], handler, access, method)
    if "data" in signature.parameters:
        [kind] = _structs(signature.parameters["data"].annotation)
        operation["requestBody"]["content"][_JSON]["example"] = example_of(kind)
    answers = {status: answer for status, answer in operation["responses"].items() if not status.startswith(_FIRST_ERROR)}
    for answer in answers.values():
        _complete(answer, handler, access, method, path)
    if ReadyAnswer in _structs(signature.return_type.annotation):
        answers["503"] = {**answers["200"], "description": "A required dependency is down"}
    operation["responses"] = answers | error_answers(handler, access, method, openai=is_openai(path), inputs=inputs)
    operation["security"] = [{"bearer": []}, {"session": []}] if access.identifies else []
    if said := operation.get("description"):
        operation["summary"] = str(said).splitlines()[0]
    if access.permission is not None:
        operation["x-permission"] = access.permission.value
    if access.when_suspended:
        operation["x-when-suspended"] = True


def _parameters(known: list[dict[str, Any]], handler: HTTPRouteHandler, access: Access, method: str) -> list[dict[str, Any]]:
    """Return the parameters that the handler declares, and the headers that whole groups of routes know."""
    for parameter in known:
        if parameter["name"] == "limit" and parameter["in"] == "query":
            parameter["schema"] |= {"minimum": 1, "maximum": MAXIMUM_LIMIT}
    organization = [_ORGANIZATION] if access.identifies else []
    key = [_IDEMPOTENCY_KEY] if honours_key(handler, access, method) else []
    return [*known, *organization, *key, *([_LAST_EVENT_ID] if handler.media_type == _STREAM else [])]


def _complete(answer: dict[str, Any], handler: HTTPRouteHandler, access: Access, method: str, path: str) -> None:
    """Give an operation's success its headers and an example, and both forms where it has two."""
    annotation: Any = handler.parsed_fn_signature.return_type.annotation
    structs = _structs(annotation)
    in_two_forms = method == "POST" and path in _IN_TWO_FORMS
    if in_two_forms:
        whole, streamed = _IN_TWO_FORMS[path]
        structs = [whole]
        answer["content"] = {_JSON: {"schema": {"$ref": _REFERENCE.format(name=whole.__name__)}}, _STREAM: {"schema": streamed}}
    versioned = any("version" in kind.__struct_fields__ for kind in structs)
    answer["headers"] = success_headers(handler, access, method, versioned=versioned, turn=in_two_forms)
    if handler.status_code == HTTPStatus.NO_CONTENT:
        answer.pop("content", None)
    elif structs:
        example = example_of(structs[0])
        answer["content"][_JSON]["example"] = [example] if typing.get_origin(annotation) is list else example


def _structs(annotation: Any) -> list[type[msgspec.Struct]]:  # noqa: ANN401 - a type as it is annotated
    """Return the types of bodies in an annotation, in their order."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [annotation]
    return [kind for argument in typing.get_args(annotation) for kind in _structs(argument)]


def _handlers(app: Litestar) -> dict[tuple[str, str], HTTPRouteHandler]:
    return {
        (method, route.path_format): handler
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
    }


def _below(kind: type[Request]) -> Iterator[type[Request]]:
    child: type[Request]
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)
