"""Identity over HTTP: the real app with its access control and idempotency, over Postgres."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from dishka import Provider, Scope, make_async_container
from litestar import Litestar

from contracts.billing.queries import Entitlements
from contracts.idempotency import IdempotentEffects
from contracts.identity.permissions import Permission
from contracts.identity.queries import Authentication
from domains.identity.ports.directory import Directory
from domains.identity.ports.reading import IdentityReading
from entrypoints.http.app import create_app
from entrypoints.http.identity.controllers import route_handlers
from entrypoints.http.identity.sessions import SessionAnswers
from entrypoints.http.routing import ACCESS, Access
from entrypoints.observability.metrics import Metrics
from entrypoints.settings import Mode, Settings
from entrypoints.web import pages
from shared_kernel.clock import Clock
from shared_kernel.identifiers import new_id
from tests.fakes.rate_limits import InMemoryRateLimits
from tests.integration.identity.conftest import Superuser, postgres_house
from tests.port_contracts.identity_contract import PASSWORD, IdentityHouse

API = "/api/v1"


@dataclass
class Site:
    """The app, its client, and what is behind it."""

    client: httpx.AsyncClient
    house: IdentityHouse
    app: Litestar

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.client.post(API + path, json=body, headers=_headers(headers))

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(API + path, headers=_headers(headers))

    async def sign_up(self, email: str, session: str = "token") -> httpx.Response:
        answer = await self.post("/auth/signup", {"email": email, "password": PASSWORD, "full_name": "Ada", "organization_name": "Acme"})
        assert answer.status_code == 202, answer.text
        return await self.post("/auth/verify-email", {"token": await self.house.newest_token(), "session": session})


def _headers(given: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def settings(public_url: str) -> Settings:
    return Settings(
        mode=Mode.DEVELOPMENT,
        home=Path("unused"),
        public_url=public_url,
        database_url="postgresql://unused/unused",
        redis_url="redis://unused",
        qdrant_url="http://unused",
        secret_key=("k" * 32,),
    )


@asynccontextmanager
async def open_site(database_url: str, superuser_url: str, public_url: str) -> AsyncIterator[Site]:
    async with postgres_house(database_url, Superuser(superuser_url)) as house:
        provider = Provider(scope=Scope.APP)

        def give(value: object, kind: Any) -> None:
            provider.provide(lambda: value, provides=kind)

        for handler in (
            house.request_sign_up,
            house.verify_email,
            house.log_in,
            house.refresh,
            house.end_session,
            house.create_organization,
            house.update_organization,
            house.switch,
            house.change_role,
            house.remove_member,
            house.create_api_key,
            house.revoke_api_key,
        ):
            give(handler, type(handler))
        give(house.authentication, Authentication)
        give(house.reading, IdentityReading)
        give(house.directory, Directory)
        give(house.entitlements, Entitlements)
        give(house.clock, Clock)
        give(SessionAnswers(public_url.startswith("https"), house.clock), SessionAnswers)
        container = make_async_container(provider)

        @asynccontextmanager
        async def nothing() -> AsyncIterator[None]:
            yield

        edge, app = create_app(
            container=container,
            settings=settings(public_url),
            metrics=Metrics(),
            authentication=house.authentication,
            rate_limits=InMemoryRateLimits(),
            effects=cast("IdempotentEffects", None),  # no test here sends a key
            api_handlers=route_handlers,
            root_handlers=pages.route_handlers,
            lifespan=nothing,
        )
        transport = httpx.ASGITransport(cast("Any", edge), client=("203.0.113.7", 1234))
        # without the app's lifespan, which holds nothing of ours here and may not be left by another task than entered it
        async with httpx.AsyncClient(transport=transport, base_url=public_url) as client:
            yield Site(client, house, app)
        await container.close()


@pytest.fixture
async def site(database_url: str, superuser_url: str) -> AsyncIterator[Site]:
    async with open_site(database_url, superuser_url, "http://127.0.0.1:8000") as opened:
        yield opened


async def test_sign_up_to_me_with_tokens(site: Site) -> None:
    answer = await site.sign_up("ada@example.com")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert not answer.cookies
    session = answer.json()
    assert set(session) == {"access_token", "refresh_token", "token_type", "expires_in", "user", "organization"}
    assert (session["token_type"], session["expires_in"]) in {("Bearer", 899), ("Bearer", 900)}
    me = (await site.get("/auth/me", **bearer(session["access_token"]))).json()
    assert me["user"]["email"] == "ada@example.com"
    assert (me["organization"]["name"], me["role"], me["plan"]) == ("Acme", "owner", "free")
    assert set(me["permissions"]) == {p.value for p in Permission}
    assert me["csrf_token"] is None
    refreshed = await site.post("/auth/refresh", {"refresh_token": session["refresh_token"]})
    assert refreshed.status_code == 200
    assert refreshed.json()["refresh_token"] != session["refresh_token"]
    assert (await site.post("/auth/refresh", {"refresh_token": session["refresh_token"]})).json() == refreshed.json()
    out = await site.post("/auth/logout", **bearer(refreshed.json()["access_token"]))
    assert (out.status_code, out.content) == (204, b"")
    for token in (session["access_token"], refreshed.json()["access_token"]):
        refused = await site.get("/auth/me", **bearer(token))
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


async def test_the_answer_to_a_sign_up_tells_nothing(site: Site) -> None:
    await site.sign_up("ada@example.com")
    body = {"password": PASSWORD, "full_name": "Eve", "locale": "fr-CA", "referral_code": "x"}
    known = await site.post("/auth/signup", {"email": "ada@example.com", **body})
    unknown = await site.post("/auth/signup", {"email": "eve@example.com", **body})
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, b'{"status":"check_your_mailbox"}')
    mails = await site.house.mails()
    assert "déjà un compte" in mails[-2]
    assert "saisissez ce code" in mails[-1]


async def test_the_six_digits_over_http(site: Site) -> None:
    await site.post("/auth/signup", {"email": "ada@example.com", "password": PASSWORD, "full_name": "Ada"})
    code = re.findall(r"\b\d{6}\b", (await site.house.mails())[-1])[0]
    answer = await site.post("/auth/verify-email", {"email": "ada@example.com", "code": code, "session": "token"})
    assert answer.status_code == 200
    assert answer.json()["organization"]["name"] == "Ada", "an organisation of one's own has one's own name"


async def test_a_proof_is_used_once(site: Site) -> None:
    await site.sign_up("ada@example.com")
    again = await site.post("/auth/verify-email", {"token": await site.house.newest_token()})
    assert (again.status_code, again.json()["code"]) == (409, "verification_already_used")
    wrong = await site.post("/auth/verify-email", {"token": "lsu_junk"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "verification_invalid")
    none = await site.post("/auth/verify-email", {})
    assert (none.status_code, none.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"email": "no address"}, "email", "email_invalid"),
        ({"password": "short"}, "password", "password_length"),
        ({"password": "Password1" * 15}, "password", "password_length"),
        ({"password": "iloveyou"}, "password", "password_too_common"),
        ({"password": "ada@example.com"}, "password", "password_personal"),
        ({"full_name": " "}, "full_name", "name_length"),
        ({"organization_name": "x" * 121}, "organization_name", "name_length"),
        ({"surprise": 1}, "surprise", "unknown"),
        ({"email": 7}, "email", "invalid"),
    ],
)
async def test_a_bad_sign_up_is_told_by_field(site: Site, change: dict[str, Any], field: str, code: str) -> None:
    body = {"email": "ada@example.com", "password": PASSWORD, "full_name": "Ada", **change}
    answer = await site.post("/auth/signup", body)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [(field, code)]


async def test_a_browser_session(site: Site) -> None:
    answer = await site.sign_up("ada@example.com", session="cookie")
    assert set(answer.json()) == {"csrf_token", "expires_in", "user", "organization"}
    cookies = {c.split("=")[0]: c for c in answer.headers.get_list("set-cookie")}
    assert set(cookies) == {"luneo_session", "luneo_refresh", "luneo_csrf"}
    for name, cookie in cookies.items():
        assert "secure" not in cookie.lower()
        assert "samesite=lax" in cookie.lower()
        assert ("httponly" in cookie.lower()) == (name != "luneo_csrf")
    assert "Path=/api/v1/auth" in cookies["luneo_refresh"]
    csrf = answer.json()["csrf_token"]
    assert site.client.cookies["luneo_csrf"] == csrf
    me = await site.get("/auth/me")
    assert (me.status_code, me.json()["csrf_token"]) == (200, csrf)
    refused = await site.post("/organizations", {"name": "Zweite"})
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
    made = await site.post("/organizations", {"name": "Zweite"}, x_csrf_token=csrf)
    assert made.status_code == 201
    switched = await site.post(f"/organizations/{made.json()['id']}/switch", x_csrf_token=csrf)
    assert switched.json()["organization"]["name"] == "Zweite"
    assert switched.json()["csrf_token"] != csrf
    refreshed = await site.post("/auth/refresh")
    assert refreshed.status_code == 200, refreshed.text
    csrf = refreshed.json()["csrf_token"]
    assert [p["name"] for p in (await site.get("/organizations")).json()["items"]] == ["Acme", "Zweite"]
    out = await site.post("/auth/logout", x_csrf_token=csrf)
    assert out.status_code == 204
    assert not site.client.cookies
    assert (await site.get("/auth/me")).status_code == 401
    assert (await site.post("/auth/refresh")).status_code == 401


async def test_cookies_on_https_are_bound_to_it(database_url: str, superuser_url: str) -> None:
    async with open_site(database_url, superuser_url, "https://luneo.example") as site:
        answer = await site.sign_up("ada@example.com", session="cookie")
        cookies = {c.split("=")[0]: c for c in answer.headers.get_list("set-cookie")}
        assert set(cookies) == {"__Host-luneo_session", "__Secure-luneo_refresh", "luneo_csrf"}
        assert all("secure" in c.lower() for c in cookies.values())
        assert (await site.get("/auth/me")).status_code == 200
        assert (await site.post("/auth/refresh")).status_code == 200


async def test_login_and_devices(site: Site) -> None:
    first = (await site.sign_up("ada@example.com")).json()
    body = {"email": "ADA@example.com", "password": PASSWORD, "session": "token", "remember": True}
    second = (await site.post("/auth/login", body)).json()
    devices = (await site.get("/auth/sessions", **bearer(second["access_token"]))).json()["items"]
    assert [(d["current"], d["remembered"], d["kind"]) for d in devices] in (
        [(True, True, "token"), (False, False, "token")],
        [(False, False, "token"), (True, True, "token")],
    )
    other = next(d["id"] for d in devices if not d["current"])
    ended = await site.client.delete(f"{API}/auth/sessions/{other}", headers=bearer(second["access_token"]))
    assert ended.status_code == 204
    assert (await site.get("/auth/me", **bearer(first["access_token"]))).status_code == 401
    missing = await site.client.delete(f"{API}/auth/sessions/{new_id()}", headers=bearer(second["access_token"]))
    assert missing.status_code == 404


async def test_wrong_passwords_lock(site: Site) -> None:
    await site.sign_up("ada@example.com")
    wrong = {"email": "ada@example.com", "password": "wrong password", "session": "token"}
    answers = [await site.post("/auth/login", wrong) for _ in range(6)]
    assert [a.status_code for a in answers] == [401] * 5 + [429]
    assert answers[-1].json()["code"] == "too_many_attempts"
    assert 0 < int(answers[-1].headers["retry-after"]) <= 900


async def test_another_organisation_is_chosen_by_header(site: Site) -> None:
    session = (await site.sign_up("ada@example.com")).json()
    stranger = (await site.sign_up("bob@example.com")).json()
    second = (await site.post("/organizations", {"name": "Zweite"}, **bearer(session["access_token"]))).json()
    me = await site.get("/auth/me", luneo_organization=second["id"], **bearer(session["access_token"]))
    assert me.json()["organization"]["name"] == "Zweite"
    refused = await site.get("/auth/me", luneo_organization=second["id"], **bearer(stranger["access_token"]))
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert (await site.get("/auth/me", luneo_organization="junk", **bearer(session["access_token"]))).status_code == 422


async def test_organisation_and_members(site: Site) -> None:
    session = (await site.sign_up("ada@example.com")).json()
    who = bearer(session["access_token"])
    changed = await site.client.patch(f"{API}/organizations/current", json={"name": "Neu"}, headers=who)
    assert (changed.status_code, changed.json()["name"]) == (200, "Neu")
    members = (await site.get("/members", **who)).json()
    [ada] = members["items"]
    assert (ada["email"], ada["role"], members["next_cursor"]) == ("ada@example.com", "owner", None)
    assert (await site.get(f"/members/{ada['id']}", **who)).json() == ada
    demoted = await site.client.patch(f"{API}/members/{ada['id']}", json={"role": "viewer"}, headers=who)
    assert (demoted.status_code, demoted.json()["code"]) == (409, "last_owner_must_stay")
    assert (await site.client.delete(f"{API}/members/{ada['id']}", headers=who)).status_code == 409
    assert (await site.client.patch(f"{API}/members/{ada['id']}", json={"role": "king"}, headers=who)).status_code == 422
    assert (await site.get("/members?limit=0", **who)).status_code == 422
    assert (await site.get("/members?cursor=junk", **who)).status_code == 422
    stranger = bearer((await site.sign_up("bob@example.com")).json()["access_token"])
    assert (await site.get(f"/members/{ada['id']}", **stranger)).status_code == 404


async def test_api_keys(site: Site) -> None:
    await site.house.demo()
    login = {"email": "demo@luneo.example", "password": PASSWORD, "session": "token"}
    who = bearer((await site.post("/auth/login", login)).json()["access_token"])
    made = await site.post("/api-keys", {"name": "Site", "scopes": ["team:view"], "expires_at": "2099-01-01T00:00:00Z"}, **who)
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    assert key.startswith("lun_live_")
    assert (await site.get("/members", **bearer(key))).status_code == 200
    for path in ("/api-keys", "/auth/me", "/organizations"):
        assert (await site.get(path, **bearer(key))).status_code == 403
    listed = (await site.get("/api-keys", **who)).json()["items"]
    assert [k["name"] for k in listed] == ["Site", "Demo"]
    assert all("key" not in k for k in listed)
    shown = (await site.get(f"/api-keys/{made.json()['id']}", **who)).json()
    assert (shown["scopes"], shown["revoked_at"]) == (["team:view"], None)
    for body in (
        {"name": "x", "scopes": ["junk"]},
        {"name": "x", "scopes": []},
        {"name": "x", "expires_at": "2001-01-01T00:00:00Z"},
        {"name": "x", "expires_at": "2099-01-01T00:00:00"},
    ):
        assert (await site.post("/api-keys", body, **who)).status_code == 422
    gone = await site.client.delete(f"{API}/api-keys/{made.json()['id']}", headers=who)
    assert gone.status_code == 204
    assert (await site.get("/members", **bearer(key))).status_code == 401


async def test_keys_need_a_plan(site: Site) -> None:
    who = bearer((await site.sign_up("ada@example.com")).json()["access_token"])
    refused = await site.post("/api-keys", {"name": "Site"}, **who)
    assert (refused.status_code, refused.json()["code"]) == (402, "feature_not_in_plan")


async def test_a_suspended_organisation(site: Site) -> None:
    session = (await site.sign_up("ada@example.com", session="cookie")).json()
    csrf = session["csrf_token"]
    await site.house.suspend(session["organization"]["id"])
    refused = await site.get("/members")
    assert (refused.status_code, refused.json()["code"]) == (403, "organization_suspended")
    me = (await site.get("/auth/me")).json()
    assert (me["user"], me["role"], me["permissions"]) == (session["user"], "owner", [])
    assert me["organization"] == {**session["organization"], "status": "suspended"}
    second = (await site.post("/organizations", {"name": "Zweite"}, x_csrf_token=csrf)).json()
    places = (await site.get("/organizations")).json()["items"]
    assert [(p["name"], p["status"]) for p in places] == [("Acme", "suspended"), ("Zweite", "active")]
    refused = await site.post(f"/organizations/{session['organization']['id']}/switch", x_csrf_token=csrf)
    assert (refused.status_code, refused.json()["code"]) == (403, "organization_suspended")
    csrf = (await site.post(f"/organizations/{second['id']}/switch", x_csrf_token=csrf)).json()["csrf_token"]
    assert (await site.get("/members")).status_code == 200
    await site.house.suspend(second["id"])
    assert (await site.get("/members")).status_code == 403
    refreshed = (await site.post("/auth/refresh")).json()
    assert refreshed["organization"]["status"] == "suspended"
    assert (await site.post("/auth/logout", x_csrf_token=refreshed["csrf_token"])).status_code == 204
    assert (await site.get("/auth/me")).status_code == 401


async def test_every_route_is_refused_to_nobody(site: Site) -> None:
    for handler in route_handlers:
        access = cast("Any", handler).opt[ACCESS]
        assert isinstance(access, Access)
        if access.who == "public":
            continue
        path = re.sub(r"\{[^}]*\}", str(new_id()), next(iter(cast("Any", handler).paths)))
        for method in cast("Any", handler).http_methods:
            for headers in ({}, bearer("junk"), {"authorization": "Basic x"}, {"cookie": "luneo_session=junk"}):
                answer = await site.client.request(method, API + path, headers=headers, json={} if method in {"POST", "PATCH"} else None)
                assert answer.status_code == 401, (method, path, answer.text)
