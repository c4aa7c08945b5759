"""The API's description as a page to browse, made from the same document that programs read."""

import json
from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Any

from litestar import Request
from litestar.enums import MediaType
from litestar.openapi.plugins import OpenAPIRenderPlugin

from entrypoints.http.description import corrected
from entrypoints.web.layout import page

_METHODS = ("get", "post", "put", "patch", "delete")
_UNTITLED = "Other"


class ApiReference(OpenAPIRenderPlugin):
    """Serves the page at `/schema`."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the page."""
        document = corrected(request.app, openapi_schema)
        operations = sorted(_operations(document), key=lambda o: (o[0], o[1]))
        sections = "".join(
            f"<h2>{escape(tag)}</h2>{''.join(_operation(document, *operation[1:]) for operation in group)}"
            for tag, group in groupby(operations, key=lambda o: o[0])
        )
        intro = '<p>The same as a document for programs: <a href="/schema/openapi.json">openapi.json</a>.</p>'
        return page("The Luneo API", intro + sections, language="en").encode()

    def has_path(self, path: str) -> bool:
        """Tell whether `path`, below the router's, is this page."""
        return path == "/"


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if operation := methods.get(method):
                yield (operation.get("tags") or [_UNTITLED])[0], path, method, operation


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    permission = operation.get("x-permission")
    who = f"needs <code>{escape(permission)}</code>" if permission else "everybody" if not operation.get("security") else "signed in"
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answers = [(s, _json_of(a)) for s, a in operation["responses"].items() if s.startswith("2")]
    parts = [f"<p>{escape(str(operation.get('description') or ''))}</p><p>Who: {who}.</p>"]
    if body:
        parts.append(f"<h3>Body</h3><pre>{_shown(document, body)}</pre>")
    parts += [f"<h3>{escape(status)}</h3><pre>{_shown(document, schema)}</pre>" for status, schema in answers if schema]
    title = f"<code><b>{method.upper()}</b> {escape(path)}</code> {escape(str(operation.get('summary') or ''))}"
    return f"<details><summary>{title}</summary>{''.join(parts)}</details>"


def _json_of(answer: dict[str, Any]) -> dict[str, Any] | None:
    schema: dict[str, Any] | None = answer.get("content", {}).get("application/json", {}).get("schema")
    return schema


def _shown(document: dict[str, Any], schema: dict[str, Any]) -> str:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found = document["components"]["schemas"].get(name, schema)
    return escape(json.dumps(found, indent=2, ensure_ascii=False))
