"""Probes and metrics."""

from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest
from dishka import Provider, Scope, make_async_container
from dishka.integrations.litestar import setup_dishka
from litestar import Litestar

from entrypoints.http.system import DependencyCheck, Readiness, ready, ready_alone
from tests.fixtures.app import Site


@dataclass
class KnownReadiness:
    """`Readiness` of a database and a cache, of which the first is required."""

    database: bool
    cache: bool

    async def check(self) -> list[DependencyCheck]:
        """Return both."""
        return [DependencyCheck("database", self.database, required=True), DependencyCheck("cache", self.cache, required=False)]


@pytest.mark.parametrize(
    ("readiness", "status", "told"),
    [
        (KnownReadiness(database=True, cache=True), 200, "ok"),
        (KnownReadiness(database=True, cache=False), 200, "degraded"),
        (KnownReadiness(database=False, cache=True), 503, "down"),
    ],
)
async def test_readiness_is_told_with_and_without_a_body(readiness: KnownReadiness, status: int, told: str) -> None:
    provider = Provider(scope=Scope.APP)
    provider.provide(lambda: readiness, provides=Readiness)
    container = make_async_container(provider)
    app = Litestar([ready, ready_alone], openapi_config=None, logging_config=None)
    setup_dishka(container, app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(cast("Any", app)), base_url="http://probe") as probe:
        whole, alone = await probe.get("/health/ready"), await probe.head("/health/ready")
    await container.close()
    assert (whole.status_code, whole.json()["status"]) == (status, told)
    assert (alone.status_code, alone.content) == (status, b"")


async def test_what_only_asks_for_the_head_gets_the_same_without_a_body(site: Site) -> None:
    for path in ("/health/live", "/health/ready", "/"):
        whole, alone = await site.client.get(path), await site.client.head(path)
        assert (alone.status_code, alone.content) == (whole.status_code, b""), path
        assert "x-request-id" in alone.headers
    assert (await site.client.head("/api/v1/agents")).status_code == 405


async def test_metrics_say_their_format_once(site: Site) -> None:
    kinds = (await site.client.get("/metrics")).headers.get_list("content-type")
    assert kinds == ["text/plain; version=1.0.0; charset=utf-8"]
