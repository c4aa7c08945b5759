"""Pages: what they may do, to whom they show what, and how they refuse."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.identity.permissions import Role
from entrypoints.web.bundle import Bundle
from shared_kernel.identifiers import new_id
from tests.fixtures.app import PASSWORD, Caller, Shop, Site, open_site, site_settings
from tests.fixtures.routes import Route, routes_of
from tests.integration.redis_store.valkey import Valkey

FORM = {"content-type": "application/x-www-form-urlencoded"}
FILES = {"/static/{name:path}"}
POLICY = (
    "default-src 'none'; script-src 'nonce-NONCE'; style-src 'self' 'nonce-NONCE'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A small build in place of the real one, which needs Node."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    chunks = {f"src/{name}.ts": {"file": f"assets/{name}.js", "imports": ["src/page.ts"]} for name in ("chat", "knowledge", "start")}
    manifest = {"src/page.ts": {"file": "assets/page.js", "css": ["assets/page.css"]}, **chunks}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name in ("page.js", "page.css", "chat.js", "knowledge.js", "start.js"):
        (folder / "assets" / name).write_text(f"/* {name} */")
    return folder


@pytest.fixture
def site(site: Site, built: Path) -> Site:
    """The app, with that build."""
    site.app.state.bundle = Bundle(built)
    return site


class Markup(HTMLParser):
    """What a page refers to, and what it must not hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.nonces: set[str | None] = set()
        self.language: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language = given.get("lang")
        if tag in {"script", "style"}:
            self.nonces.add(given.get("nonce"))
        self.inline += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        if tag == "script" and "src" not in given:
            self.inline.append("script")
        self.addresses += [given[name] or "" for name in ("src", "href", "action") if name in given]


def browser(site: Site, **headers: str) -> httpx.AsyncClient:
    """A browser: it keeps cookies, and says what it is."""
    return httpx.AsyncClient(
        transport=site.client._transport, base_url=site.client.base_url, headers={"accept-language": "en", **headers}, timeout=20
    )


@asynccontextmanager
async def signed_in(site: Site, who: Caller) -> AsyncIterator[httpx.AsyncClient]:
    """A browser in which somebody is signed in."""
    async with browser(site) as client:
        answer = await client.post("/sign-in", content=str(httpx.QueryParams(email=who.email, password=PASSWORD)), headers=FORM)
        assert answer.status_code == 303, answer.text
        yield client


def pages_of(site: Site) -> list[Route]:
    return [r for r in routes_of(site.app) if r.handler.fn.__module__.startswith("entrypoints.web.") and r.template not in FILES]


def address(route: Route, shop: Shop) -> str:
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: shop.ids()[found[1]], route.template)


async def test_every_page_keeps_to_one_policy_and_refers_to_nobody_else(site: Site) -> None:
    shop = await site.shop()
    shown = 0
    async with browser(site) as visitor, signed_in(site, shop.owner) as owner, browser(site, **{"accept-language": "fr"}) as french:
        for route in pages_of(site):
            for client in (visitor, owner, french):
                sent: dict[str, Any] = {} if route.method == "GET" else {"content": "", "headers": FORM}
                answer = await client.request(route.method, address(route, shop), **sent)
                if not answer.text:
                    assert answer.is_redirect, route
                    continue
                assert answer.headers["content-type"] == "text/html; charset=utf-8", route
                assert answer.headers["cache-control"] == "no-store", route
                markup = Markup(answer.text)
                [nonce] = markup.nonces
                assert nonce
                assert answer.headers["content-security-policy"] == POLICY.replace("NONCE", nonce), route
                assert not markup.inline, route
                assert all(a.startswith(("/", "#", "data:", "http://127.0.0.1:8000/")) for a in markup.addresses), (route, markup.addresses)
                assert markup.language == answer.headers["content-language"], route
                again = await client.request(route.method, address(route, shop), **sent)
                assert nonce not in again.text, f"{route} says its nonce twice"
                shown += 1
    assert shown > 25


async def test_the_first_page_is_the_door_the_first_steps_or_the_chat(site: Site) -> None:
    async with browser(site) as visitor:
        assert "Create an account" in (await visitor.get("/")).text
        assert (await visitor.head("/")).status_code == 200
    newcomer = await site.person(plan="free")
    async with signed_in(site, newcomer) as client:
        assert "Create your first agent" in (await client.get("/")).text
        await newcomer.made("/agents", {"name": "Draft"})
        assert "Create your first agent" in (await client.get("/")).text, "a draft answers nobody"
    shop = await site.shop()
    async with signed_in(site, shop.owner) as client:
        chat = (await client.get("/")).text
        assert f'data-agent="{shop.agent_id}"' in chat
        assert f'data-bases="{shop.knowledge_base_id}"' in chat
        assert f'data-agent="{shop.agent_id}"' in (await client.get(f"/?agent={new_id()}")).text
        second = await site.agent(shop.owner)
        assert f'data-agent="{second}"' in (await client.get(f"/?agent={second}")).text
        assert f'data-agent="{shop.agent_id}"' in (await client.get(f"/conversations/{shop.conversation_id}")).text
        await shop.owner("DELETE", f"/agents/{shop.agent_id}")
        assert "no longer in service" in (await client.get(f"/conversations/{shop.conversation_id}")).text


async def test_another_tenants_conversation_is_not_there(site: Site) -> None:
    ours, theirs = await site.shop(), await site.shop()
    async with signed_in(site, theirs.owner) as client:
        answers = [await client.get(f"/conversations/{id_}") for id_ in (ours.conversation_id, new_id())]
        assert [a.status_code for a in answers] == [404, 404]
        assert all("This page does not exist" in a.text for a in answers)
        assert f'data-agent="{theirs.agent_id}"' in (await client.get(f"/?agent={ours.agent_id}")).text


async def test_a_viewer_reads_and_a_suspended_organisation_says_so(site: Site) -> None:
    shop = await site.shop()
    viewer = await site.member(shop.owner, Role.VIEWER)
    async with signed_in(site, viewer) as client:
        token = client.cookies["luneo_csrf"]
        switched = await client.post(f"/api/v1/organizations/{shop.owner.organization_id}/switch", headers={"x-csrf-token": token})
        assert switched.status_code == 200, switched.text
        chat = (await client.get("/")).text
        assert "Your role may read conversations" in chat
        assert 'id="composer"' not in chat
        assert "data-usage" not in chat, "a viewer does not see billing"
        assert "data-browse" not in (await client.get("/knowledge")).text
        await site.run("update identity.organizations set status = 'suspended' where id = %s", (shop.owner.organization_id,))
        assert "This organisation is suspended" in (await client.get("/")).text
        refused = await client.get("/knowledge")
        assert (refused.status_code, "This organisation is suspended" in refused.text) == (403, True)


async def test_without_a_session_one_is_led_to_the_door_and_back(site: Site) -> None:
    shop = await site.shop()
    async with browser(site) as client:
        answer = await client.get("/knowledge")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/knowledge")
        asked = await client.get("/knowledge?base=1&first=1")
        assert asked.headers["location"] == "/sign-in?next=/knowledge%3Fbase%3D1%26first%3D1"
        assert 'name="next" value="/knowledge?base=1&amp;first=1"' in (await client.get(asked.headers["location"])).text
        form = str(httpx.QueryParams(email=shop.owner.email, password=PASSWORD, next="/knowledge"))
        answer = await client.post("/sign-in", content=form, headers=FORM)
        assert (answer.status_code, answer.headers["location"]) == (303, "/knowledge")
        assert (await client.get("/knowledge")).status_code == 200
        client.cookies.delete("luneo_session")
        for path in ("/", "/knowledge"):
            resumed = await client.get(path)
            assert f'data-resume="{path}"' in resumed.text, "the refresh token may still be good"
        sent_by_htmx = await client.post("/sign-in", content=form, headers={**FORM, "hx-request": "true"})
        assert (sent_by_htmx.status_code, sent_by_htmx.headers["hx-redirect"]) == (200, "/knowledge")


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb"])
async def test_after_signing_in_nobody_is_led_elsewhere(site: Site, elsewhere: str) -> None:
    who = await site.person()
    async with browser(site) as client:
        assert 'name="next" value="/"' in (await client.get("/sign-in", params={"next": elsewhere})).text
        form = str(httpx.QueryParams(email=who.email, password=PASSWORD, next=elsewhere))
        answer = await client.post("/sign-in", content=form, headers=FORM)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_behind_https_the_session_is_found_by_its_guarded_name(
    database_url: str, superuser_url: str, app_valkey: Valkey, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = site_settings(database_url, app_valkey.url, built.parent, public_url="https://luneo.example.com")
    async with open_site(settings, superuser_url, monkeypatch) as site:
        site.app.state.bundle = Bundle(built)
        who = await site.person()
        async with signed_in(site, who) as client:
            assert {"__Host-luneo_session", "luneo_csrf"} <= set(client.cookies)
            assert "Create your first agent" in (await client.get("/")).text
            answer = await client.post("/preferences", content="theme=dark", headers=FORM)
            assert "Secure" in answer.headers["set-cookie"]


async def test_a_form_that_another_site_sends_is_refused(site: Site) -> None:
    who = await site.person()
    form = str(httpx.QueryParams(email=who.email, password=PASSWORD))
    async with browser(site) as client:
        for headers in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
        ):
            answer = await client.post("/sign-in", content=form, headers={**FORM, **headers})
            assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), headers
        for headers in ({"sec-fetch-site": "same-origin", "origin": "null"}, {"origin": str(client.base_url)}):
            assert (await client.post("/sign-in", content=form, headers={**FORM, **headers})).status_code == 303, headers


async def test_what_is_wrong_stands_beside_its_field_and_what_was_written_stays(site: Site) -> None:
    async with browser(site, **{"accept-language": "fr"}) as client:
        form = str(httpx.QueryParams(email="nobody", password="password", full_name='"><script>', organization_name="Acme"))
        answer = await client.post("/sign-up", content=form, headers=FORM)
        assert answer.status_code == 422
        assert '<p class="field-error" id="email-error">' in answer.text
        assert "Ce n’est pas une adresse e-mail." in answer.text
        assert 'value="nobody"' in answer.text
        assert "<script>" not in answer.text.partition("<body")[2]
        assert 'value="password"' not in answer.text, "a password is never sent back"
        wrong = await client.post("/sign-in", content="email=nobody%40example.com&password=x", headers=FORM)
        assert (wrong.status_code, "L’e-mail ou le mot de passe est erroné." in wrong.text) == (401, True)
        unknown = await client.post("/sign-in", content="email=a&password=b&admin=1", headers=FORM)
        assert unknown.status_code == 422
        assert unknown.headers["content-type"].startswith("text/html")


async def signed_up(site: Site, client: httpx.AsyncClient, email: str) -> str:
    """Sign up by the form; return the mail's text."""
    form = str(httpx.QueryParams(email=email, password=PASSWORD, full_name="Ada", organization_name=""))
    answer = await client.post("/sign-up", content=form, headers=FORM)
    assert answer.status_code == 303, answer.text
    for _ in range(2):
        page = await client.get(answer.headers["location"])
        assert (page.status_code, email in page.text, "/dev/mail" in page.text, 'name="code"' in page.text) == (200, True, True, True)
    await site.deliver()
    mails = (await site.client.get("/dev/mailbox")).json()["items"]
    return str(next(mail["text"] for mail in mails if mail["to"] == email))


async def test_opening_the_link_changes_nothing_and_the_button_leads_inside(site: Site) -> None:
    async with browser(site) as client:
        text = await signed_up(site, client, "ada.page@example.com")
        found = re.search(r"http\S+(/verify-email\?token=(\S+))", text)
        assert found
        assert found[0] in (await client.get("/dev/mail")).text
        for _ in range(2):
            page = await client.get(found[1])
            assert (page.status_code, f'value="{found[2]}"' in page.text) == (200, True)
        done = await client.post("/verify-email", content=f"token={found[2]}", headers=FORM)
        assert (done.status_code, done.headers["location"]) == (303, "/")
        assert (await client.get("/api/v1/auth/me")).json()["user"]["email"] == "ada.page@example.com"
    async with browser(site) as client:
        again = await client.post("/verify-email", content=f"token={found[2]}", headers=FORM)
        assert again.status_code == 409
        assert "This link cannot be used" in again.text


async def test_the_code_of_the_mail_does_the_same_and_a_wrong_one_may_be_corrected(site: Site) -> None:
    async with browser(site) as client:
        text = await signed_up(site, client, "code.page@example.com")
        code = re.findall(r"\b\d{6}\b", text)[0]
        wrong = await client.post("/verify-email", content="email=code.page%40example.com&code=x", headers=FORM)
        assert (wrong.status_code, "This code is wrong or too old." in wrong.text) == (422, True)
        done = await client.post("/verify-email", content=f"email=code.page%40example.com&code={code[:3]}+{code[3:]}", headers=FORM)
        assert (done.status_code, done.headers["location"]) == (303, "/")


async def test_the_page_that_takes_the_code_holds_no_secret_and_without_an_address_there_is_nothing_to_check(site: Site) -> None:
    form = str(httpx.QueryParams(email="a+b&c@example.com", password=PASSWORD, full_name="Ada", organization_name="Acme"))
    async with browser(site) as client:
        led = (await client.post("/sign-up", content=form, headers=FORM)).headers["location"]
        assert led == "/check-mailbox?email=a%2Bb%26c%40example.com"
        assert 'name="email" value="a+b&amp;c@example.com"' in (await client.get(led)).text
        by_script = await client.post("/sign-up", content=form, headers={**FORM, "hx-request": "true"})
        assert (by_script.status_code, by_script.headers["hx-redirect"]) == (200, led)
        nothing = await client.get("/check-mailbox")
        assert (nothing.status_code, nothing.headers["location"]) == (303, "/sign-up")


async def test_an_unknown_address_is_a_page_for_browsers_and_a_problem_for_everybody_else(site: Site) -> None:
    wants = {"accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
    async with browser(site, **wants) as client:
        for path in ("/nothing", "/conversations/none", "/knowledge/1", "/apis", "/metricsx"):
            page = await client.get(path)
            assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8"), path
            assert "This page does not exist" in page.text
            assert 'href="/"' in page.text
            [nonce] = Markup(page.text).nonces
            assert page.headers["content-security-policy"] == POLICY.replace("NONCE", str(nonce))
        for path in ("/api", "/api/v1/nothing", "/v1/nothing", "/schema/nothing", "/health/nothing", "/metrics/nothing"):
            answer = await client.get(path)
            assert answer.status_code == 404, path
            assert answer.headers["content-type"].startswith("application/"), path
        assert (await client.post("/nothing")).headers["content-type"] == "application/problem+json"
    for accept in ("*/*", "application/json", "text/html;q=0, application/json"):
        async with browser(site, accept=accept) as client:
            answer = await client.get("/nothing")
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), accept


async def test_what_the_address_says_is_never_markup(site: Site) -> None:
    async with browser(site) as client:
        for path in (
            '/check-mailbox?email="><script>alert(1)</script>',
            '/verify-email?token="><script>alert(1)</script>',
            '/sign-in?next=/"><script>alert(1)</script>',
        ):
            assert "<script>alert" not in (await client.get(path)).text


async def test_language_and_theme_are_the_devices_then_the_persons_then_the_browsers(site: Site) -> None:
    who = await site.person()
    await site.run("update identity.users set locale = 'fr' where id = %s", (who.user_id,))
    async with signed_in(site, who) as client:
        assert '<html lang="fr" data-theme="system">' in (await client.get("/")).text
        assert '<html lang="en"' in (await client.get("/sign-in")).text, "who it is shows inside"
        answer = await client.post("/preferences", content="language=en&theme=dark&back=/knowledge", headers=FORM)
        assert (answer.status_code, answer.headers["location"]) == (303, "/knowledge")
        assert '<html lang="en" data-theme="dark">' in (await client.get("/")).text
        for wrong in ("language=xx", "theme=pink"):
            assert (await client.post("/preferences", content=wrong, headers=FORM)).status_code == 422
        client.cookies.set("luneo_theme", '"><script>')
        assert 'data-theme="system"' in (await client.get("/sign-up")).text


async def test_a_defect_is_told_in_words_and_logged(site: Site) -> None:
    shop = await site.shop()
    async with signed_in(site, shop.owner) as client:
        await site.run("alter table conversational_ai.agents rename to agents_away")
        try:
            answer = await client.get("/")
        finally:
            await site.run("alter table conversational_ai.agents_away rename to agents")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "Something went wrong on our side" in answer.text
    assert "agents_away" not in answer.text
    assert [line for line in site.logs if line["event"] == "unhandled_error"]


async def test_built_files_are_kept_for_ever_and_nothing_else_is_served(site: Site, built: Path) -> None:
    async with browser(site, **{"accept-encoding": "identity"}) as client:
        plain = await client.get("/static/assets/page.css")
        assert (plain.text, plain.headers["content-type"]) == ("/* page.css */", "text/css; charset=utf-8")
        assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
        packed = await client.get("/static/assets/page.js", headers={"accept-encoding": "gzip, br"})
        assert (packed.text, packed.headers["content-encoding"]) == ("/* page.js */", "gzip")
        assert packed.headers["content-type"].startswith("text/javascript")
        (built / "secret.txt").write_text("secret")
        for path in ("secret.txt", "manifest.json", "../bundle.py", "%2e%2e/bundle.py", "assets/", ""):
            assert (await client.get(f"/static/{path}")).status_code == 404, path


async def test_where_nothing_was_built_the_page_says_how_and_the_ways_in_still_work(site: Site, built: Path) -> None:
    (built / "manifest.json").unlink()
    shop = await site.shop()
    async with browser(site) as client:
        first = await client.get("/")
        assert (first.status_code, "make pages" in first.text, "/schema" in first.text) == (200, True, True)
        assert "<script" not in first.text
        assert Markup(first.text).nonces == {re.findall(r"'nonce-([^']+)'", first.headers["content-security-policy"])[0]}
        assert 'action="/sign-in"' in (await client.get("/sign-in")).text
        form = str(httpx.QueryParams(email=shop.owner.email, password=PASSWORD))
        assert (await client.post("/sign-in", content=form, headers=FORM)).status_code == 303


async def test_what_is_built_anew_is_served_anew(site: Site, built: Path) -> None:
    async with browser(site) as client:
        assert "assets/page.js" in (await client.get("/")).text
        (built / "assets" / "other.js").write_text("new")
        (built / "manifest.json").write_text(json.dumps({"src/page.ts": {"file": "assets/other.js"}}))
        assert "assets/other.js" in (await client.get("/")).text
        assert (await client.get("/static/assets/other.js")).text == "new"
        assert (await client.get("/static/assets/page.js")).status_code == 404
