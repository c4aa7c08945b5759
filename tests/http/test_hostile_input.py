"""Every route of the running app, swept with what nobody sane sends: never a 500, always a problem with its request's id."""

import json
import typing
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from shared_kernel.identifiers import new_id
from tests.fixtures.app import Caller, Shop, Site
from tests.fixtures.routes import Route, described, example

IDS = ["x", "%00", "%ff%fe", "..%2f..%2fetc", "0", "9" * 400, "00000000-0000-0000-0000-000000000000", "{id}", "%ed%a0%80", "null", " "]
QUERIES = [
    "limit=0", "limit=-1", "limit=101", "limit=1e309", "limit=" + "9" * 5_000, "limit=x", "limit=", "limit=1&limit=2", "limit=%00",
    "limit=NaN",
    "cursor=%00", "cursor=x", "cursor=%ff", "cursor=" + "a" * 5_000, "cursor=9999999999999999999999", "cursor=%F0%9F%98%80",
    "cursor=&limit=1",
    "cursor=00000000-0000-0000-0000-000000000000", "agent_id=x", "agent_id=%00", "unknown=%00", "%00=%00", "a" * 5_000 + "=1",
    "action=%00", "target=%00", "target_id=x", "head=%00", "head=zz", "from=x", "start=%00", "end=9999-99-99", "since=0001-01-01T00:00:00Z",
    "before=x", "after=%00", "metric=%00", "period=%00", "format=%00", "actor_id=x", "status=%00",
]  # fmt: skip
BODIES: list[bytes] = [
    b"", b"{", b"null", b"[]", b'"text"', b"0", b"{}{}", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000, b'{"a":' * 50_000, b'{"name": "\xff"}',
    b'{"a": 1e400}', b'{"\\u0000": 1}', b'{"\\ud800": 1}', b"\xef\xbb\xbf{}", b'{"a": 1, "a": 2}',
]  # fmt: skip
VALUES: list[Any] = [
    None, True, 0, -1, 2**31, 2**63, 2**64, 1e308, -0.5, "", " ", "x" * 150_000,
    "a\x00b", "\x00", "\u202e", "😀" * 50, [], {}, [None], [[]],
    {"a": {}},
    ["x"] * 2_000, "00000000-0000-0000-0000-000000000000", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "-1", "1' or '1'='1",
    "%s%n{0}",
]  # fmt: skip
RAW = [b'"half \\ud800 pair"', b'"\\udc00"', b"1e400", b"-1e400", b"123456789012345678901234567890", b'"\xed\xa0\x80"']
HEADERS = [
    {"content-type": "text/plain"},
    {"content-type": "application/xml"},
    {"content-type": "multipart/form-data"},
    {"content-type": "application/json; charset=utf-16"},
    {"content-type": "\xff"},
    {"luneo-organization": "\xff"},
    {"luneo-organization": "0"},
    {"idempotency-key": ""},
    {"idempotency-key": "k" * 256},
    {"idempotency-key": "\xe9\xff"},
    {"last-event-id": "-1"},
    {"last-event-id": "9" * 30},
    {"last-event-id": "²"},
    {"if-match": "\xff"},
    {"if-match": '"' + "9" * 30 + '"'},
    {"accept": "\xff"},
    {"x-request-id": "\xff\r"[:1]},
    {"x-forwarded-for": "\xff, ,"},
    {"cookie": "luneo_session=\xff; =; ;;"},
    {"accept-language": "\xff"},
    {"range": "bytes=9-1"},
]


def wrong(route: Route, what: object, answer: httpx.Response) -> str | None:
    """Say what is wrong with an answer."""
    shown = f"{route} with {str(what)[:120]!r}: {answer.status_code} {answer.text[:200]}"
    if answer.status_code >= 500 and answer.status_code != 503:
        return shown
    if "x-request-id" not in answer.headers:
        return f"no request id: {shown}"
    if answer.status_code >= 400:
        if not answer.headers.get("content-type", "").startswith("application/problem+json"):
            return f"no problem: {shown}"
        problem = answer.json()
        if {"type", "title", "status", "detail", "code", "request_id"} - set(problem) or problem["status"] != answer.status_code:
            return f"half a problem: {shown}"
        if problem["request_id"] != answer.headers["x-request-id"]:
            return f"another request's id: {shown}"
        if answer.status_code == 422 and problem["code"] == "validation_failed":
            fields = [e["field"] for e in problem.get("errors", ())]
            if not all(fields) or fields in ([], ["request"]):
                return f"no field named: {shown}"
        if "Traceback" in answer.text or "psycopg" in answer.text or "msgspec" in answer.text:
            return f"tells of its inside: {shown}"
    return None


def field_bodies(route: Route, valid: Any) -> Iterator[bytes]:
    """Bodies with one wrong value each."""
    parameter = route.handler.parsed_fn_signature.parameters.get("data")
    if parameter is None:
        return
    kinds = [parameter.annotation, *typing.get_args(parameter.annotation)]
    struct = next(k for k in kinds if isinstance(k, type) and issubclass(k, msgspec.Struct))
    base = valid or {}
    for field in msgspec.structs.fields(struct):
        for value in VALUES:
            yield json.dumps({**base, field.encode_name: value}).encode()
        for raw in RAW:
            rest = json.dumps({k: v for k, v in base.items() if k != field.encode_name})[1:-1].encode()
            yield b'{"' + field.encode_name.encode() + b'":' + raw + (b"," + rest if rest else b"") + b"}"
    yield json.dumps({**base, "surprise": 1}).encode()


async def shop_and_routes(site: Site) -> tuple[Shop, list[Route]]:
    shop = await site.shop()
    return shop, [r for r in described(site.app) if r.in_api and r.name not in {"log_out", "end_session", "switch_organization"}]


async def send(site: Site, caller: Caller, route: Route, path: str, **request: Any) -> httpx.Response:
    headers = {**caller.headers, **request.pop("headers", {})}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return await site.client.request(route.method, "/api/v1" + path, headers=encoded, **request)


async def test_paths_and_queries(site: Site) -> None:
    shop, routes = await shop_and_routes(site)
    found: list[str | None] = []
    for route in routes:
        body = example(route, shop)
        sent = {} if body is None else {"json": body}
        if route.parameters and route.method != "DELETE":
            for value in IDS:
                ids = {**shop.ids(), route.parameters[-1]: value}
                found.append(wrong(route, value, await send(site, shop.owner, route, route.path(ids), **sent)))
        if route.method == "GET":
            path = route.path(shop.ids())
            found += [wrong(route, query, await send(site, shop.owner, route, f"{path}?{query}")) for query in QUERIES]
    assert not [f for f in found if f], "\n".join(f for f in found if f)
    assert len(found) > 500


async def test_every_list_says_the_same_of_a_cursor_that_it_did_not_give(site: Site) -> None:
    shop, routes = await shop_and_routes(site)
    lists = [r for r in routes if "cursor" in r.handler.parsed_fn_signature.parameters]
    for route in lists:
        for cursor in ("x", "%00", "e30"):
            answer = await send(site, shop.owner, route, f"{route.path(shop.ids())}?cursor={cursor}")
            assert (answer.status_code, answer.json()["errors"]) == (
                422,
                [{"field": "cursor", "code": "invalid", "detail": "is not a next_cursor that this list gave"}],
            ), route
    assert len(lists) > 8


async def test_headers(site: Site) -> None:
    shop, routes = await shop_and_routes(site)
    found: list[str | None] = []
    for route in routes:
        if route.method == "DELETE":
            continue
        body = example(route, shop)
        for headers in HEADERS:
            content = {} if body is None else {"content": json.dumps(body).encode()}
            sent = {"content-type": "application/json", **headers} if body is not None else headers
            found.append(wrong(route, headers, await send(site, shop.owner, route, route.path(shop.ids()), headers=sent, **content)))
    assert not [f for f in found if f], "\n".join(f for f in found if f)


async def test_bodies(site: Site) -> None:
    shop, routes = await shop_and_routes(site)
    found: list[str | None] = []
    json_type = {"content-type": "application/json"}
    for route in routes:
        if route.method in {"GET", "DELETE"} or route.name == "remove_member":
            continue
        ids = shop.ids()
        for body in (*BODIES, *field_bodies(route, example(route, shop))):
            if route.name in {"ask", "stop_turn"} and len(found) % 50 == 0:
                ids["conversation_id"] = await site.conversation(shop.owner, shop.agent_id)
            answer = await send(site, shop.owner, route, route.path(ids), headers=json_type, content=body)
            found.append(wrong(route, body[:100], answer))
            if answer.status_code == 422 and any(e["field"] in {"request", "data"} for e in answer.json().get("errors", ())):
                found.append(f"names no field of the body: {route} with {body[:100]!r}: {answer.text[:300]}")
    assert not [f for f in found if f], "\n".join(f for f in found if f)
    assert len(found) > 1_000


async def test_methods_and_paths_that_do_not_exist(site: Site) -> None:
    owner = await site.person()
    for path in ("/nothing", "/agents/x/y/z", "/../agents", "/%00", "/agents/" + str(new_id()) + "/nothing", "/a" * 500):
        answer = await owner("GET", path)
        assert "code" in answer.json(), (path, answer.text)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    answer = await owner("PUT", "/agents", {"name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"
    for method in ("TRACE", "PROPFIND", "FOO"):
        assert (await owner(method, "/agents")).status_code in {400, 405}


async def test_what_is_not_below_schema_is_a_problem_too(site: Site) -> None:
    for path in ("/schema/nope", "/schema/openapi.yaml", "/schema/nope/deeper", "/nope", "/api", "/health"):
        answer = await site.client.get(path)
        assert (answer.status_code, answer.headers["content-type"], answer.json()["code"]) == (
            404,
            "application/problem+json",
            "not_found",
        ), path
        assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert (await site.client.get("/schema")).headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "kind",
    ["application/x-www-form-urlencoded", "application/xml", "multipart/form-data; boundary=x", "text/plain", "application/jsonp", "json"],
)
@pytest.mark.parametrize("body", [b"name=x", b'{"name": "Guide"}'])
async def test_a_body_that_says_it_is_no_json_is_not_read(site: Site, kind: str, body: bytes) -> None:
    owner = await site.person()
    answer = await owner("POST", "/agents", body, content_type=kind)
    assert (answer.status_code, answer.headers["content-type"], answer.json()["code"]) == (
        415,
        "application/problem+json",
        "unsupported_media_type",
    )


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON ; charset=utf-8", "application/merge-patch+json", ""])
async def test_a_body_that_is_json_or_does_not_say_is_read(site: Site, kind: str) -> None:
    owner = await site.person()
    assert (await owner("POST", "/agents", b'{"name": "Guide"}', content_type=kind)).status_code == 201


async def test_a_wrong_argument_is_named_as_the_client_knows_it(site: Site) -> None:
    shop = await site.shop()
    rollback, sources = f"/agents/{shop.agent_id}/rollback", f"/knowledge-bases/{shop.knowledge_base_id}/search"
    for method, path, body, told in (
        ("POST", "/agents", b"", ("body", "is required, as JSON")),
        ("PATCH", f"/agents/{shop.agent_id}", b"", ("body", "is required, as JSON")),
        ("POST", sources, b"", ("body", "is required, as JSON")),
        ("GET", "/billing/usage?from=abc", None, ("from", "must be a time such as 2030-01-31T12:00:00Z")),
        ("GET", "/billing/usage?to=1767225600.5", None, ("to", "must be a time such as 2030-01-31T12:00:00Z")),
        ("POST", rollback, {"version": 10**12}, ("version", "expected `int` <= 2147483647")),
        ("POST", rollback, {"version": 0}, ("version", "expected `int` >= 1")),
    ):
        answer = await shop.owner(method, path, body)
        [error] = answer.json()["errors"]
        assert (answer.status_code, (error["field"], error["detail"])) == (422, told), path


async def test_a_body_that_is_too_large_is_refused(site: Site) -> None:
    owner = await site.person()
    answer = await owner("POST", "/agents", b'{"name": "' + b"x" * 3_000_000 + b'"}')
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.json()["detail"] == "A body has at most 2000000 bytes"
    keyed = await owner("POST", "/agents", b'{"name": "' + b"x" * 3_000_000 + b'"}', idempotency_key="large")
    assert (keyed.status_code, keyed.json()["detail"]) == (413, "A body has at most 2000000 bytes")


async def test_options_is_a_method_that_no_route_has(site: Site) -> None:
    answer = await site.client.request("OPTIONS", "/api/v1/agents", headers={"origin": "https://elsewhere.example"})
    assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (405, "method_not_allowed", "GET, POST")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
