"""Web pages over HTTP: given by their address, fetched by the worker, found, fetched again, and refused well."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fixtures.app import Caller, Site, open_site, site_settings
from tests.integration.redis_store.valkey import Valkey

PAGE = """<!doctype html><html><head><title>Our prices</title></head><body>
<nav><a href=/>Home</a> <a href=/about>About us</a></nav>
<main><h1>Prices</h1><p>The Pro plan costs {price} euros each month. It is billed monthly and can be cancelled at any time.</p>
<h2>Free plan</h2><p>The free plan costs nothing, for ever. It has one agent and ten documents, which is enough to try it.</p></main>
<footer>Imprint and cookies</footer></body></html>"""


class Shop:
    """A site on this machine."""

    def __init__(self) -> None:
        self.price, self.robots, self.asked = "49", "", list[str]()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/prices?token=s3cr3t"

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path == "/robots.txt":
            return web.Response(text=self.robots)
        if request.path == "/prices":
            return web.Response(text=PAGE.format(price=self.price), content_type="text/html")
        return web.Response(status=404)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    app = web.Application()
    app.router.add_get("/{path:.*}", shop.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    shop.port = runner.addresses[0][1]
    yield shop
    await runner.cleanup()


@pytest.fixture
async def open_to_private(
    database_url: str, superuser_url: str, app_valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, shop: Shop
) -> AsyncIterator[Site]:
    """The app as a developer runs it who serves pages from this machine."""
    settings = site_settings(database_url, app_valkey.url, tmp_path, web_pages_ports=(shop.port,), web_pages_allow_private=True)
    async with open_site(settings, superuser_url, monkeypatch) as site:
        yield site


async def base_of(caller: Caller) -> str:
    return str((await caller.made("/knowledge-bases", {"name": "Shop", "language": "en"}))["id"])


async def added(caller: Caller, base: str, url: str, **more: Any) -> dict[str, Any]:
    return await caller.made(f"/knowledge-bases/{base}/sources", {"type": "web_page", "url": url, **more})


async def test_a_page_is_added_fetched_found_and_fetched_again(open_to_private: Site, shop: Shop) -> None:
    site, owner = open_to_private, await open_to_private.person()
    base = await base_of(owner)
    answer = await owner("POST", f"/knowledge-bases/{base}/sources", {"type": "web_page", "url": shop.url})
    source = answer.json()
    assert (answer.status_code, source["status"], source["step"], source["type"]) == (202, "pending", "stored", "web_page")
    assert (source["url"], source["name"], source["size_bytes"]) == (shop.url, "127.0.0.1/prices", 0)
    assert shop.asked == []
    await site.deliver()
    path = f"/knowledge-bases/{base}/sources/{source['id']}"
    source = (await owner("GET", path)).json()
    assert (source["status"], source["name"], source["error"]) == ("ready", "Prices", None)
    assert source["size_bytes"] == len(PAGE.format(price="49"))
    assert shop.asked == ["/robots.txt", "/prices"]
    found = await owner.made(f"/knowledge-bases/{base}/search", {"query": "What does the free plan cost?"})
    free = next(f for f in found["items"] if "for ever" in f["text"])
    assert (free["title"], free["locator"]["heading"]) == ("Prices", "Free plan")
    assert not [f for f in found["items"] if "Imprint" in f["text"] or "About us" in f["text"]]
    shop.price = "59"
    again = await owner("PUT", path + "/content", {"url": shop.url})
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    search = {"query": "Pro plan euros each month"}
    assert "49 euros" in (await owner.made(f"/knowledge-bases/{base}/search", search))["items"][0]["text"]
    await site.deliver()
    assert "59 euros" in (await owner.made(f"/knowledge-bases/{base}/search", search))["items"][0]["text"]
    quotas = {q["metric"]: q["used"] for q in (await owner("GET", "/billing/quotas")).json()}
    assert (quotas["documents"], quotas["storage_gb"]) == (1, len(PAGE.format(price="59")) / 10**9)
    assert "s3cr3t" not in str(site.logs)
    trail = (await owner("GET", "/audit-events?limit=100")).text
    assert "knowledge_source.fetched" in trail
    assert "s3cr3t" not in trail


async def test_a_page_that_robots_txt_keeps_back_says_so(open_to_private: Site, shop: Shop) -> None:
    owner = await open_to_private.person()
    base = await base_of(owner)
    shop.robots = "User-agent: *\nDisallow: /prices"
    source = await added(owner, base, shop.url, name="Prices")
    await open_to_private.deliver()
    source = (await owner("GET", f"/knowledge-bases/{base}/sources/{source['id']}")).json()
    assert (source["status"], source["step"], source["error_code"]) == ("failed", "fetching", "page_refused_by_robots")
    assert (source["name"], shop.asked) == ("Prices", ["/robots.txt"])


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://localhost/", "https://[::1]/"])
async def test_the_inside_is_not_fetched_for_anybody(site: Site, url: str) -> None:
    owner = await site.person()
    base = await base_of(owner)
    source = await added(owner, base, url)
    await site.deliver()
    source = (await owner("GET", f"/knowledge-bases/{base}/sources/{source['id']}")).json()
    assert (source["status"], source["error_code"]) == ("failed", "page_address_refused")
    assert "not a public address" in source["error"]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"type": "web_page"}, "url", "missing"),
        ({"type": "web_page", "url": "shop.example"}, "url", "invalid"),
        ({"type": "web_page", "url": "https://user:secret@shop.example/"}, "url", "invalid"),
        ({"type": "web_page", "url": "http://0x7f.1/"}, "url", "invalid"),
        ({"type": "web_page", "url": "https://shop.example/", "content": "x"}, "content", "unexpected"),
        ({"type": "text", "name": "Text", "content": "x", "url": "https://shop.example/"}, "url", "unexpected"),
        ({"type": "text", "content": "x"}, "name", "missing"),
        ({"type": "qa", "pairs": [{"question": "q", "answer": "a"}]}, "name", "missing"),
        ({"type": "web_page", "name": "x", "url": "https://shop.example/"}, "name", "too_short"),
    ],
)
async def test_a_wrong_body_names_its_field(site: Site, body: dict[str, Any], field: str, code: str) -> None:
    owner = await site.person()
    base = await base_of(owner)
    answer = await owner("POST", f"/knowledge-bases/{base}/sources", body)
    assert answer.status_code == 422, answer.text
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [(field, code)]
    assert "secret" not in answer.text
