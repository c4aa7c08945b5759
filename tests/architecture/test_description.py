"""`contracts/openapi.json` is what the running app publishes.

After a change of the API: `LUNEO_WRITE_DESCRIPTION=1 make test ARGS=tests/architecture/test_description.py`, then look at the difference.
"""

import json
import os
import typing
from typing import Any

import msgspec

from contracts.http.base import Request
from contracts.http.examples import example_of
from tests.fixtures.app import Site
from tests.fixtures.described import PUBLISHED, mismatches, resolved
from tests.fixtures.routes import described

WRITE = "LUNEO_WRITE_DESCRIPTION"


async def description(site: Site) -> dict[str, Any]:
    answer = await site.client.get("/schema/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_the_contract_is_the_description_that_the_app_publishes(site: Site) -> None:
    text = json.dumps(await description(site), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get(WRITE):
        PUBLISHED.write_text(text, encoding="utf-8")
    assert PUBLISHED.read_text(encoding="utf-8") == text, f"the API has changed: write it anew with {WRITE}=1"


async def test_every_route_of_the_api_is_described_with_its_errors_and_credentials(site: Site) -> None:
    paths = (await description(site))["paths"]
    for route in described(site.app):
        if not route.in_api:
            continue
        operation = _operation(paths, route.template, route.method)
        errors = {status: resolved(answer) for status, answer in operation["responses"].items() if status >= "4"}
        assert errors, route
        assert all(list(answer["content"]) == ["application/problem+json"] for answer in errors.values()), route
        assert bool(operation["security"]) == (route.access.who not in {"public", "open"}), route
        assert " " in operation["summary"], route


async def test_every_operation_names_each_status_that_its_declarations_allow(site: Site) -> None:
    paths = (await description(site))["paths"]
    for route in described(site.app):
        if not route.in_api:
            continue
        statuses = set(_operation(paths, route.template, route.method)["responses"])
        assert "default" not in statuses, f"{route}: a default would describe whatever comes"
        identified, takes_body = route.access.who in {"permission", "signed_in"}, "data" in route.handler.parsed_fn_signature.parameters
        assert statuses >= {"429", "500", "503"}, route
        assert not identified or statuses >= {"401", "403", "404", "422"}, route
        assert not takes_body or statuses >= {"400", "413", "415", "422"}, route
        assert not route.takes_if_match or "409" in statuses, route
        assert not route.parameters or statuses >= {"404", "422"}, route
        assert str(route.handler.status_code) in statuses, route


async def test_every_body_and_every_answer_in_json_has_an_example_that_is_as_its_schema_says(site: Site) -> None:
    published, tried = await description(site), 0
    answers = [("components", name, answer) for name, answer in published["components"]["responses"].items()]
    for path, operations in published["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody")
            answers += [(path, method, answer) for status, answer in operation["responses"].items() if status.startswith("2")]
            if body is not None:
                assert not (wrong := _wrong_example(body, "application/json")), f"{method} {path}: {wrong}"
                tried += 1
    for path, method, answer in answers:
        for kind in set(answer.get("content", {})) & {"application/json", "application/problem+json"}:
            assert not (wrong := _wrong_example(answer, kind)), f"{method} {path}: {wrong}"
            tried += 1
    assert tried > 70


async def test_the_example_of_every_body_is_taken_by_its_type(site: Site) -> None:
    bodies = set()
    for route in described(site.app):
        if (body := route.handler.parsed_fn_signature.parameters.get("data")) is None or not route.handler.include_in_schema:
            continue
        [kind] = [k for k in (body.annotation, *typing.get_args(body.annotation)) if isinstance(k, type) and issubclass(k, Request)]
        msgspec.convert(example_of(kind), kind)
        bodies.add(kind)
    assert len(bodies) > 15


async def test_bodies_say_that_unknown_fields_are_refused(site: Site) -> None:
    schemas = (await description(site))["components"]["schemas"]
    assert schemas["CreateAgentBody"]["additionalProperties"] is False
    assert schemas["PairBody"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["AgentBody"]


def _operation(paths: dict[str, Any], template: str, method: str) -> dict[str, Any]:
    path = "/".join(part.split(":")[0] + "}" if part.startswith("{") and ":" in part else part for part in template.split("/"))
    found: dict[str, Any] = paths[path][method.lower()]
    return found


def _wrong_example(holder: dict[str, Any], kind: str) -> list[str]:
    """Say what is wrong with the example of a body or an answer."""
    content = holder["content"][kind]
    return mismatches(content["schema"], content["example"]) if "example" in content else ["there is none"]
