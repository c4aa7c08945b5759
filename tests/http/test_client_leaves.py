"""Whoever hangs up in the middle of a request is no defect of ours."""

from typing import Any

from litestar import Litestar, post
from litestar.params import JSONBody

from contracts.http.base import Request as Body
from entrypoints.http import problems


class Named(Body, frozen=True):
    name: str


async def test_half_a_body_is_the_callers_error() -> None:
    @post("/things", opt={})
    async def make(data: JSONBody[Named]) -> str:
        return data.name

    app = Litestar([make], exception_handlers={Exception: problems.handle}, openapi_config=None)
    received: list[Any] = [{"type": "http.request", "body": b'{"na', "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return received.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
    scope: Any = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/things", "raw_path": b"/things", "root_path": "",
        "query_string": b"", "scheme": "http", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "extensions": {},
    }  # fmt: skip
    await app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert b'"bad_request"' in sent[1]["body"]
