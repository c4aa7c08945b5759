"""Pages of other origins: what a browser is told, for the origins in the settings and for all others."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from entrypoints.http.cors import REQUEST_HEADERS, RESPONSE_HEADERS
from tests.fixtures.app import Site, open_site, site_settings
from tests.integration.redis_store.valkey import Valkey

SHOP = "https://shop.example"
PREFLIGHT = {"origin": SHOP, "access-control-request-method": "PATCH"}


@pytest.fixture
async def open_to_a_shop(
    database_url: str, superuser_url: str, app_valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    """The app, which pages of one other origin may call."""
    async with open_site(site_settings(database_url, app_valkey.url, tmp_path, cors_origins=(SHOP,)), superuser_url, monkeypatch) as site:
        yield site


async def test_a_preflight_allows_what_the_api_takes(open_to_a_shop: Site) -> None:
    asked = {**PREFLIGHT, "access-control-request-headers": "If-Match, Content-Type,x-csrf-token"}
    answer = await open_to_a_shop.client.request("OPTIONS", "/api/v1/agents", headers=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (answer.headers["access-control-allow-origin"], answer.headers["access-control-allow-credentials"]) == (SHOP, "true")
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert set(answer.headers["access-control-allow-headers"].split(", ")) == set(REQUEST_HEADERS) >= {"if-match", "idempotency-key"}
    assert (answer.headers["vary"], "x-request-id" in answer.headers) == ("Origin", True)


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "https://evil.example"},
        {"origin": "https://shop.example.evil.example"},
        {"origin": "null"},
        {"access-control-request-method": "TRACE"},
        {"access-control-request-headers": "content-type, x-mine"},
    ],
)
async def test_a_refused_preflight_is_told_as_a_problem(open_to_a_shop: Site, changed: dict[str, str]) -> None:
    answer = await open_to_a_shop.client.request("OPTIONS", "/api/v1/agents", headers={**PREFLIGHT, **changed})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert (answer.json()["code"], answer.json()["request_id"]) == ("cross_origin_refused", answer.headers["x-request-id"])
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_answers_and_errors_can_be_read_by_the_origin_alone(open_to_a_shop: Site) -> None:
    for path, status in (("/api/v1/billing/plans", 200), ("/api/v1/agents", 401), ("/api/v1/nothing", 404)):
        answer = await open_to_a_shop.client.get(path, headers={"origin": SHOP})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, SHOP)
        assert set(answer.headers["access-control-expose-headers"].split(", ")) == set(RESPONSE_HEADERS)
        for headers in ({"origin": "https://evil.example"}, {}):
            other = await open_to_a_shop.client.get(path, headers=headers)
            assert not [name for name in other.headers if name.startswith("access-control-")]
            assert other.headers["vary"] == "Origin"
