"""What the middleware of `Idempotency-Key` reads before it knows whether the request is a repetition."""

from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID

import pytest
from litestar.exceptions import ClientException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import ASGIApp, HTTPScope

from contracts.billing.errors import QuotaExceeded
from contracts.idempotency import IdempotentEffects
from entrypoints.http.idempotency import Idempotency
from entrypoints.http.uploads import UPLOAD
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal, PrincipalKind


class Route:
    def __init__(self) -> None:
        self.opt: dict[str, Any] = {UPLOAD: ("name",)}


class NeverBegun:
    def begin(self, *_: object, **__: object) -> AsyncIterator[None]:
        raise AssertionError("a request that is not whole has no effect")


class Known(Exception):
    """The request's digest is known."""


class Noting:
    def begin(self, _: Principal, *, key: str, request_digest: bytes) -> AsyncIterator[None]:
        raise Known(key, request_digest)


async def nowhere(*_: object) -> None:
    raise AssertionError("a request that is not whole reaches no handler")


def keyed(content_type: str = "application/json") -> HTTPScope:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/agents",
        "headers": [(b"idempotency-key", b"k"), (b"content-type", content_type.encode())],
        "route_handler": Route(),
        "user": Principal(PrincipalKind.USER, new_id(), new_id()),
    }
    return cast("HTTPScope", scope)


async def unsent(message: object) -> None:
    raise AssertionError(message)


async def five_megabytes(_: UUID) -> int:
    return 5_000_000


def middleware() -> Idempotency:
    effects = cast("IdempotentEffects", NeverBegun())
    return Idempotency(cast("ASGIApp", nowhere), effects=effects, maximum_body_bytes=2_000, upload_limit=five_megabytes)


async def test_a_body_without_end_is_refused_at_the_limit() -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 1_000, "more_body": True}

    with pytest.raises(RequestEntityTooLarge):
        await middleware()(keyed(), endless, unsent)
    assert read == 3


async def test_a_file_larger_than_the_plan_allows_is_not_read_to_its_end() -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 100_000, "more_body": True}

    form = (b"content-type", b"multipart/form-data; boundary=x")
    for announced, most in (([], 51), ([(b"content-length", b"5065536")], 51), ([(b"content-length", b"5065537")], 0)):
        scope, read = keyed(), 0
        scope["headers"] = [(b"idempotency-key", b"k"), form, *announced]
        scope["route_handler"].opt[UPLOAD] = ()
        with pytest.raises(QuotaExceeded) as refused:
            await middleware()(scope, endless, unsent)
        assert (refused.value.extra["metric"], refused.value.extra["limit"], read) == ("upload_mb", 5, most)


async def test_half_a_request_has_no_effect() -> None:
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def leaving() -> Any:
        return messages.pop(0)

    with pytest.raises(ClientException):
        await middleware()(keyed(), leaving, unsent)


async def digest_of(body: bytes, content_type: str, *, step: int) -> bytes:
    pieces = [body[start : start + step] for start in range(0, len(body), step)]

    async def receive() -> Any:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    effects = cast("IdempotentEffects", Noting())
    noting = Idempotency(cast("ASGIApp", nowhere), effects=effects, maximum_body_bytes=2_000, upload_limit=five_megabytes)
    with pytest.raises(Known) as known:
        await noting(keyed(content_type), receive, unsent)
    found: bytes = known.value.args[1]
    return found


def form(boundary: str, text: str = "--hello --there-- --") -> tuple[bytes, str]:
    part = f'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n{text}'
    return f"--{boundary}\r\n{part}\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


async def test_a_form_is_the_same_whatever_its_boundary_and_its_pieces_are() -> None:
    boundaries = ("x", "-" * 24 + "5fa1", "made-up-anew")
    digests = {await digest_of(*form(boundary), step=step) for boundary in boundaries for step in (1, 2, 7, 30, 1_000)}
    assert len(digests) == 1
    others = [form("x", text="--hello --there-- -"), form("x", text="--hello  --there-- --")]
    assert digests.isdisjoint([await digest_of(*other, step=7) for other in others])
    as_json = [await digest_of(form(boundary)[0], "application/json", step=1_000) for boundary in boundaries]
    assert len({*digests, *as_json}) == 4, "what is no form is taken as it is"
