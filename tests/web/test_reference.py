"""The API's description as a page."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from dishka import make_async_container

from entrypoints.http.app import create_app
from entrypoints.http.routes import API_HANDLERS
from entrypoints.observability.metrics import Metrics
from entrypoints.settings import Mode, Settings
from entrypoints.web.layout import CONTENT_SECURITY_POLICY
from entrypoints.web.reference import ApiReference
from tests.fakes.rate_limits import InMemoryRateLimits

SETTINGS = Settings(
    mode=Mode.DEVELOPMENT,
    home=Path("unused"),
    database_url="postgresql://unused/unused",
    redis_url="redis://unused",
    qdrant_url="http://unused",
    secret_key=("k" * 32,),
)


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    container = make_async_container()
    served = create_app(
        container=container,
        settings=SETTINGS,
        authentication=cast("Any", None),  # nobody signs in here
        rate_limits=InMemoryRateLimits(),
        metrics=Metrics(),
        effects=cast("Any", None),  # nothing is changed here
        api_handlers=API_HANDLERS,
        root_handlers=[],
        lifespan=nothing,
        reference=ApiReference(),
        reference_policy=CONTENT_SECURITY_POLICY,
    )
    transport = httpx.ASGITransport(cast("Any", served.edge))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client
    await container.close()


async def test_the_page_shows_every_operation_of_the_document(client: httpx.AsyncClient) -> None:
    document = (await client.get("/schema/openapi.json")).json()
    page = await client.get("/schema")
    assert page.headers["content-type"].startswith("text/html")
    wanted = {
        f"{m.upper()} {p}" for p, methods in document["paths"].items() for m in methods if m in {"get", "post", "put", "patch", "delete"}
    }
    shown = {f"{m} {unescape(p)}" for m, p in re.findall(r"<code><b>(\w+)</b> ([^<]+)</code>", page.text)}
    assert shown == wanted
    assert len(wanted) > 40


async def test_the_page_runs_no_script_and_fetches_nothing(client: httpx.AsyncClient) -> None:
    page = await client.get("/schema")
    assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "<script" not in page.text
    assert not re.search(r'(src|href)="https?://', page.text)


async def test_a_body_is_shown_as_its_fields(client: httpx.AsyncClient) -> None:
    page = unescape((await client.get("/schema")).text)
    block = page[page.index("<b>POST</b> /api/v1/conversations<") :]
    schema = json.loads(block[block.index("<pre>") + 5 : block.index("</pre>")])
    assert set(schema["properties"]) == {"agent_id", "language", "visitor_id"}


async def test_there_is_nothing_else_below_it(client: httpx.AsyncClient) -> None:
    assert (await client.get("/schema/nothing")).status_code == 404
