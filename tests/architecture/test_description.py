"""`contracts/openapi.json` is what the running app publishes.

After a change of the API: `LUNEO_WRITE_DESCRIPTION=1 make test ARGS=tests/architecture/test_description.py`, then look at the difference.
"""

import json
import os
from pathlib import Path
from typing import Any

from tests.fixtures.app import Site
from tests.fixtures.routes import described

PUBLISHED = Path(__file__).parents[2] / "contracts" / "openapi.json"
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
        assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"], route
        assert not [status for status in operation["responses"] if status.startswith("4")], route
        assert bool(operation["security"]) == (route.access.who not in {"public", "open"}), route
        assert " " in operation["summary"], route


async def test_bodies_say_that_unknown_fields_are_refused(site: Site) -> None:
    schemas = (await description(site))["components"]["schemas"]
    assert schemas["CreateAgentBody"]["additionalProperties"] is False
    assert schemas["PairBody"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["AgentBody"]


def _operation(paths: dict[str, Any], template: str, method: str) -> dict[str, Any]:
    path = "/".join(part.split(":")[0] + "}" if part.startswith("{") and ":" in part else part for part in template.split("/"))
    found: dict[str, Any] = paths[path][method.lower()]
    return found
