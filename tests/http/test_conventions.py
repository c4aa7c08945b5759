"""What holds on every route: problems, request ids, security headers, rate limits, idempotency keys, cursors, CSRF."""

import asyncio
import re
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from entrypoints.settings import Mode
from shared_kernel.identifiers import new_id
from tests.fixtures.app import PASSWORD, Caller, Site, open_site, site_settings
from tests.fixtures.routes import described
from tests.integration.redis_store.valkey import Valkey

SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}


async def test_every_answer_has_a_request_id_and_the_security_headers(site: Site) -> None:
    owner = await site.person()
    answers = [
        await owner("GET", "/agents"),
        await owner("GET", "/nothing"),
        await owner("PUT", "/agents"),
        await owner("POST", "/agents", b"{"),
        await site.anonymous()("GET", "/agents"),
        await site.client.get("/health/live"),
        await site.client.get("/schema/openapi.json"),
        await site.client.get("/nothing"),
    ]
    for answer in answers:
        assert UUID(answer.headers["x-request-id"]).version == 7, answer.url
        for name, value in SECURITY.items():
            assert answer.headers[name] == value, answer.url
        assert "content-security-policy" in answer.headers
        assert "strict-transport-security" not in answer.headers, "this is http"
        assert "server" not in answer.headers
    assert len({a.headers["x-request-id"] for a in answers}) == len(answers)


@pytest.mark.parametrize(("given", "taken"), [("my-request.42", True), ("short", False), ("x" * 65, False), ("bad id with spaces", False)])
async def test_a_callers_request_id_is_taken_when_it_is_harmless(site: Site, given: str, taken: bool) -> None:
    answer = await site.anonymous()("GET", "/agents", x_request_id=given)
    assert (answer.headers["x-request-id"] == given) is taken
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_a_problem_says_what_is_wrong(site: Site) -> None:
    owner = await site.person()
    answer = await owner("POST", "/agents", {"name": 5, "surprise": 1})
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"], answer.headers["cache-control"]) == (
        422,
        "application/problem+json",
        "no-store",
    )
    assert {"type", "title", "status", "detail", "code", "request_id", "errors"} == set(problem)
    assert re.fullmatch(r"https://.+/problems/validation_failed", problem["type"])
    [error] = problem["errors"]
    assert set(error) == {"field", "code", "detail"}
    malformed = await owner("POST", "/agents", b'{"name": ')
    assert (malformed.status_code, malformed.json()["code"]) == (400, "malformed_json")
    nested = await owner("POST", "/agents", {"name": "x", "retrieval": {"passages": "many"}})
    assert nested.json()["errors"][0]["field"] == "retrieval.passages"
    missing = await owner("POST", "/agents", {})
    assert [(e["field"], e["code"]) for e in missing.json()["errors"]] == [("name", "missing")]
    unknown = await owner("POST", "/agents", {"name": "x", "surprise": 1})
    assert [(e["field"], e["code"]) for e in unknown.json()["errors"]] == [("surprise", "unknown")]


class TestIdempotencyKey:
    async def test_the_same_request_gets_the_first_answer_again(self, site: Site) -> None:
        owner = await site.person()
        first = await owner("POST", "/agents", {"name": "Guide"}, idempotency_key="k-1")
        again = await owner("POST", "/agents", {"name": "Guide"}, idempotency_key="k-1")
        assert (first.status_code, again.status_code) == (201, 201)
        assert (again.content, again.headers["content-type"]) == (first.content, first.headers["content-type"])
        assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
        assert again.headers.get("etag") == first.headers.get("etag")
        assert len((await owner("GET", "/agents")).json()["items"]) == 1
        assert (await owner("POST", "/agents", {"name": "Guide"})).json()["id"] != first.json()["id"]

    async def test_another_request_under_the_key_is_refused(self, site: Site) -> None:
        owner = await site.person()
        await owner("POST", "/agents", {"name": "Guide"}, idempotency_key="k-1")
        for path, body in (("/agents", {"name": "Other"}), ("/knowledge-bases", {"name": "Guide"})):
            answer = await owner("POST", path, body, idempotency_key="k-1")
            assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused"), path

    async def test_ten_at_once_make_one(self, site: Site) -> None:
        owner = await site.person()
        answers = await asyncio.gather(*(owner("POST", "/agents", {"name": "Guide"}, idempotency_key="k") for _ in range(10)))
        assert {a.status_code for a in answers} <= {201, 409}
        assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"idempotency_in_progress"}
        assert len({a.json()["id"] for a in answers if a.status_code == 201}) == 1
        assert len((await owner("GET", "/agents")).json()["items"]) == 1

    async def test_a_new_organisation_is_made_once_whichever_one_its_founder_acts_for(self, site: Site) -> None:
        founder = await site.person()
        sent = ("POST", "/organizations", {"name": "Second"})
        answers = await asyncio.gather(*(founder(*sent, idempotency_key="k") for _ in range(10)))
        assert {a.status_code for a in answers} <= {201, 409}
        assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"idempotency_in_progress"}
        again = await founder(*sent, idempotency_key="k")
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
        elsewhere = await founder(*sent, idempotency_key="k", luneo_organization=again.json()["id"])
        assert elsewhere.json() == again.json()
        assert {a.content for a in answers if a.status_code == 201} == {again.content}
        assert sum("idempotent-replayed" not in a.headers for a in answers if a.status_code == 201) == 1
        assert [o["name"] for o in (await founder("GET", "/organizations")).json()["items"]].count("Second") == 1
        reused = await founder("POST", "/organizations", {"name": "Third"}, idempotency_key="k")
        assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
        other = await (await site.person())(*sent, idempotency_key="k")
        assert (other.status_code, other.json()["id"] != again.json()["id"]) == (201, True)
        refused = await founder("POST", "/organizations", {"name": ""}, idempotency_key="mended")
        assert refused.status_code == 422
        assert (await founder(*sent, idempotency_key="mended")).status_code == 201, "the same name may be used again"

    async def test_an_error_keeps_nothing_so_that_the_mended_request_goes_through(self, site: Site) -> None:
        owner = await site.person()
        refused = await owner("POST", "/agents", {"name": ""}, idempotency_key="k-1")
        assert refused.status_code == 422
        assert (await owner("POST", "/agents", {"name": "Guide"}, idempotency_key="k-1")).status_code == 201

    async def test_keys_belong_to_a_caller(self, site: Site) -> None:
        owner, stranger = await site.person(), await site.person()
        first = await owner("POST", "/agents", {"name": "Guide"}, idempotency_key="k-1")
        other = await stranger("POST", "/agents", {"name": "Guide"}, idempotency_key="k-1")
        assert other.status_code == 201
        assert other.json()["id"] != first.json()["id"]

    @pytest.mark.parametrize("key", ["", " ", '""', "k" * 256, "tab\there"])
    async def test_a_key_that_is_none_is_told(self, site: Site, key: str) -> None:
        owner = await site.person()
        answer = await owner("POST", "/agents", {"name": "Guide"}, idempotency_key=key)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")

    async def test_a_stored_secret_is_not_readable_in_the_database(self, site: Site) -> None:
        owner = await site.person()
        made = await owner("POST", "/api-keys", {"name": "k", "scopes": ["agents:view"]}, idempotency_key="k-1")
        assert (await owner("POST", "/api-keys", {"name": "k", "scopes": ["agents:view"]}, idempotency_key="k-1")).json() == made.json()
        [row] = await site.run("select body from luneo.idempotent_requests")
        assert made.json()["key"].encode() not in bytes(row["body"])


class TestRateLimits:
    async def test_every_limited_answer_tells_its_limit(self, site: Site) -> None:
        owner = await site.person()
        first, second = await owner("GET", "/agents"), await owner("GET", "/agents")
        for answer in (first, second, await owner("POST", "/agents", {}), await owner("GET", f"/agents/{new_id()}")):
            assert "ratelimit" in answer.headers, answer.text
            assert re.fullmatch(r'"account";q=60000;w=60', answer.headers["ratelimit-policy"])
            assert re.fullmatch(r'"account";r=\d+;t=\d+', answer.headers["ratelimit"])
        remaining = [int(re.findall(r"r=(\d+)", a.headers["ratelimit"])[0]) for a in (first, second)]
        assert remaining[1] <= remaining[0]

    async def test_too_many_are_refused_with_the_time_to_wait(
        self, database_url: str, superuser_url: str, app_valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        few = {"rate_limit_account_per_minute": 5, "rate_limit_client_per_minute": 50, "rate_limit_sign_in_per_minute": 4}
        settings = site_settings(database_url, app_valkey.url, tmp_path, rate_limit_development_factor=1, **few)
        async with open_site(settings, superuser_url, monkeypatch) as site:
            owner = await site.person()
            answers = [await owner("GET", "/agents") for _ in range(8)]
            assert [a.status_code for a in answers] == [200] * 5 + [429] * 3
            refused = answers[-1]
            assert (refused.json()["code"], refused.headers["content-type"]) == ("rate_limited", "application/problem+json")
            assert refused.headers["ratelimit"].startswith('"account";r=0;')
            assert int(refused.headers["retry-after"]) == refused.json()["retry_after"] > 0
            other = await site.person()
            assert (await other("GET", "/agents")).status_code == 200, "everybody has their own"
            body = {"email": "nobody@example.com", "password": PASSWORD}
            logins = [(await site.anonymous()("POST", "/auth/login", body)).status_code for _ in range(4)]
            assert 429 in logins


class TestTimes:
    async def test_they_are_answered_in_utc_whatever_the_offset_asked_with(self, site: Site) -> None:
        owner = await site.person()
        usage = await owner.made("/billing/usage?from=2026-01-01T00:30:00%2B02:00&to=2026-02-01T00:00:00-14:00", None, method="GET")
        assert (usage["period_start"], usage["period_end"]) == ("2025-12-31T22:30:00Z", "2026-02-01T14:00:00Z")
        wish = {"name": "k", "scopes": ["agents:view"], "expires_at": "2126-12-31T23:59:59-14:00"}
        assert (await owner.made("/api-keys", wish))["expires_at"] == "2127-01-01T13:59:59Z"

    @pytest.mark.parametrize(
        "time", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00%2B14:00", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00"]
    )
    async def test_a_time_that_is_none_is_told(self, site: Site, time: str) -> None:
        owner = await site.person()
        for field in ("from", "to"):
            answer = await owner("GET", f"/billing/usage?{field}={time}")
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text
        wish = {"name": "k", "scopes": ["agents:view"], "expires_at": time.replace("%2B", "+")}
        answer = await owner("POST", "/api-keys", wish)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "expires_at"), answer.text


WHOLE = {"list_plans": "the catalogue is one document"}
"""Lists that are not paged, each with its reason."""


class TestCursors:
    async def test_pages_hold_everything_once_newest_first(self, site: Site) -> None:
        owner = await site.person()
        made = [(await owner.made("/knowledge-bases", {"name": f"Base {n}"}))["id"] for n in range(7)]
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await owner("GET", f"/knowledge-bases?limit=3&cursor={cursor}")).json()
            assert set(page) == {"items", "next_cursor"}
            seen += [item["id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = page["next_cursor"]
        assert seen == made[::-1]

    async def test_every_list_has_the_same_shape_and_bounds(self, site: Site) -> None:
        shop = await site.shop()
        tried = 0
        for route in described(site.app):
            names = route.handler.parsed_fn_signature.parameters
            answer_fields = getattr(route.handler.parsed_fn_signature.return_type.annotation, "__struct_fields__", ())
            if route.method != "GET" or not route.in_api or "items" not in answer_fields or route.name in WHOLE:
                continue
            assert {"cursor", "limit"} <= set(names), f"{route} is a list without pages"
            path = route.path(shop.ids())
            whole = (await shop.owner("GET", f"{path}?limit=100")).json()
            assert (set(whole) >= {"items", "next_cursor"}, whole["next_cursor"]) == (True, None), route
            if route.name != "list_audit_events":  # reading it is no change, but there is always more of it
                one_by_one: list[object] = []
                cursor: str | None = ""
                while cursor is not None:
                    page = (await shop.owner("GET", f"{path}?limit=1&cursor={cursor}")).json()
                    one_by_one += page["items"]
                    cursor = page["next_cursor"]
                assert one_by_one == whole["items"], route
            for limit in ("0", "101", "-1"):
                answer = await shop.owner("GET", f"{path}?limit={limit}")
                assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "limit"), route
            answer = await shop.owner("GET", f"{path}?cursor=nonsense")
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor"), route
            tried += 1
        assert tried >= 12


class TestBrowserSessions:
    async def test_an_unsafe_request_needs_the_sessions_token(self, site: Site) -> None:
        owner = await site.person()
        async with httpx.AsyncClient(transport=site.client._transport, base_url=str(site.client.base_url)) as browser:
            login = await browser.post("/api/v1/auth/login", json={"email": owner.email, "password": PASSWORD})
            token = login.json()["csrf_token"]
            assert (await browser.get("/api/v1/agents")).status_code == 200
            for headers in (
                {},
                {"x-csrf-token": ""},
                {"x-csrf-token": "wrong"},
                {"x-csrf-token": token[:-1]},
                {"origin": "https://evil.example"},
            ):
                refused = await browser.post("/api/v1/agents", json={"name": "Guide"}, headers=headers)
                assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
            made = await browser.post("/api/v1/agents", json={"name": "Guide"}, headers={"x-csrf-token": token})
            assert made.status_code == 201

    async def test_another_sessions_token_is_none(self, site: Site) -> None:
        owner = await site.person()
        tokens = []
        for _ in range(2):
            login = await site.client.post("/api/v1/auth/login", json={"email": owner.email, "password": PASSWORD})
            assert login.status_code == 200, login.text
            tokens.append(login.json()["csrf_token"])
        refused = await site.client.post("/api/v1/agents", json={"name": "Guide"}, headers={"x-csrf-token": tokens[0]})
        assert (tokens[0] != tokens[1], refused.status_code) == (True, 403)
        site.client.cookies.clear()


async def test_a_suspended_organisation_is_refused(site: Site) -> None:
    owner = await site.person()
    await site.run("update identity.organizations set status = 'suspended' where id = %s", (owner.organization_id,))
    answer = await owner("GET", "/agents")
    assert (answer.status_code, answer.json()["code"]) == (403, "organization_suspended")


async def test_a_lost_race_is_told(site: Site) -> None:
    owner = await site.person()
    made = await owner("POST", "/agents", {"name": "Guide"})
    path, tag = f"/agents/{made.json()['id']}", made.headers["etag"]
    assert (await owner("PATCH", path, {"greeting": "One"}, if_match=tag)).status_code == 200
    lost = await owner("PATCH", path, {"greeting": "Two"}, if_match=tag)
    assert (lost.status_code, lost.json()["code"]) == (409, "conflict")


async def test_logs_hold_no_secret_and_no_personal_data(site: Site) -> None:
    shop = await site.shop()
    await shop.owner("GET", "/auth/me")
    await site.anonymous()("POST", "/auth/login", {"email": shop.owner.email, "password": "wrong password"})
    written = repr(site.logs)
    assert "request" in written
    token = shop.owner.headers["authorization"].removeprefix("Bearer ")
    for secret in (shop.owner.email, PASSWORD, "wrong password", token, shop.api_key, "203.0.113.7", "49 euros", "How much"):
        assert secret not in written, secret


async def test_production_serves_no_development_feature(
    database_url: str, superuser_url: str, app_valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = site_settings(
        database_url, app_valkey.url, tmp_path, mode=Mode.PRODUCTION, smtp_url="smtp://127.0.0.1:9", public_url="https://luneo.example"
    )
    async with open_site(settings, superuser_url, monkeypatch) as site:
        assert (await site.client.get("/dev/mailbox")).status_code == 404
        live = await site.client.get("/health/live")
        assert "max-age" in live.headers["strict-transport-security"]
        answers = [await Caller(site.client, UUID(int=0), {})("GET", "/billing/plans") for _ in range(2)]
        assert "q=100;w=60" in answers[0].headers["ratelimit-policy"]
