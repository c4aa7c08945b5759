"""The laws of routes, enumerated from the running app."""

import inspect
import typing
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest

from contracts.http.base import Request, Response
from contracts.http.openai import LenientRequest
from contracts.identity.permissions import PERMISSIONS_OF, Permission, Role
from entrypoints.http.openai_errors import is_openai
from entrypoints.http.routing import ACCESS, Access
from shared_kernel.identifiers import new_id
from tests.fixtures.app import PASSWORD, Caller, Shop, Site
from tests.fixtures.routes import Route, described, example, routes_of

CONTEXTS = {"identity", "billing", "conversational_ai", "governance", "system", "web"}
NO_SUCCESS = {
    "verify_email": "its example's token is unknown: the whole path is tested in tests/http/test_identity.py",
    "refresh": "same",
    "download": "its example's token is nobody's: whoever has a genuine one is let in, which tests/http/test_documents.py shows",
}
ANSWERS_IN_TWO_FORMS = dict.fromkeys(("ask", "regenerate"), "as JSON (`TurnAnswer`) or as a stream of events, as the caller accepts")
ENDS_THE_SESSION = {"log_out", "end_session", "switch_organization"}
WHEN_SUSPENDED = {
    "me": "shows who one is, and that the organisation is suspended",
    "log_out": "everybody may leave",
    "list_sessions": "a person's own devices",
    "end_session": "everybody may leave, elsewhere too",
    "list_organizations": "where one could go",
    "switch_organization": "to go there",
    "create_organization": "or to begin anew",
}
"""What a person may do whose organisation is suspended: nothing inside it."""


async def test_every_route_declares_who_may_call_it(site: Site) -> None:
    for route in routes_of(site.app):
        access = route.handler.opt.get(ACCESS)
        assert isinstance(access, Access), f"{route} declares no access"
        if access.who == "permission":
            assert isinstance(access.permission, Permission), route
        else:
            assert access.who in {"signed_in", "public", "open"}, route
            assert access.reason, f"{route} says no reason for {access.who}"


async def test_every_route_belongs_to_a_context(site: Site) -> None:
    for route in described(site.app):
        parts = route.handler.fn.__module__.split(".")
        assert parts[:2] == ["entrypoints", "http"] or parts[:2] == ["entrypoints", "web"], route
        assert parts[2] in CONTEXTS or parts[1] == "web", f"{route} stands in no context's folder"
        if route.in_api:
            assert route.handler.tags, f"{route} has no tag"


async def test_every_route_has_a_summary_and_its_body_and_answer_are_typed(site: Site) -> None:
    for route in described(site.app):
        assert inspect.getdoc(route.handler.fn), f"{route} says nothing about itself"
        signature = route.handler.parsed_fn_signature
        body = signature.parameters.get("data")
        if body is not None:
            kinds = _kinds(body.annotation)
            assert kinds, f"{route} takes a body of any shape"
            assert all(issubclass(k, Request) for k in kinds), f"{route}: {body.annotation}"
        answer = signature.return_type.annotation
        assert answer not in {Any, object, inspect.Signature.empty}, f"{route} does not say what it answers"
        if route.in_api and Any in typing.get_args(answer):
            assert route.name in ANSWERS_IN_TWO_FORMS, f"{route} answers {answer}"
        for kind in _kinds(answer):
            assert not issubclass(kind, msgspec.Struct) or issubclass(kind, Response), f"{route} answers with {kind}"


async def test_unknown_fields_are_refused_by_every_body_and_everything_inside(site: Site) -> None:
    seen: set[type] = set()
    for route in described(site.app):
        body = route.handler.parsed_fn_signature.parameters.get("data")
        if body is not None and not is_openai(route.template):
            for kind in _kinds(body.annotation):
                _refuses_unknown(kind, seen)
    assert len(seen) > 10


async def test_under_v1_unknown_fields_are_ignored_in_every_body_and_everything_inside(site: Site) -> None:
    schemas = (await site.client.get("/schema/openapi.json")).json()["components"]["schemas"]
    seen = set()
    for child in LenientRequest.__subclasses__():
        assert not child.__struct_config__.forbid_unknown_fields, child
        assert "additionalProperties" not in schemas[child.__name__], child
        seen.add(child.__name__)
    assert "ChatCompletionRequest" in seen


async def test_a_wrong_choice_is_told_what_there_is_to_choose_from(site: Site) -> None:
    shop = await site.shop()
    document = (await site.client.get("/schema/openapi.json")).json()
    tried = set()
    for route in described(site.app):
        body = route.handler.parsed_fn_signature.parameters.get("data")
        if body is None or not route.in_api:
            continue
        for kind in _kinds(body.annotation):
            for field, schema in document["components"]["schemas"][kind.__name__]["properties"].items():
                choices, is_list = _choices(schema, document)
                if not choices:
                    continue
                wrong = {**(example(route, shop) or {}), field: ["no such choice"] if is_list else "no such choice"}
                answer = await shop.owner(route.method, route.path(shop.ids()), wrong)
                [error] = answer.json()["errors"]
                assert answer.status_code == 422, f"{route} {field}"
                assert (error["field"], error["code"]) == (field + "[0]" * is_list, "invalid"), route
                assert error["detail"].startswith("must be one of "), f"{route} {error}"
                assert set(error["detail"].removeprefix("must be one of ").split(", ")) == choices, route
                tried.add(field)
    assert tried >= {"role", "tone", "language", "languages", "locale", "session", "type"}


async def test_only_safe_methods_are_answered_without_a_body_of_their_own(site: Site) -> None:
    """A route that changes something is no GET: `SameSite=Lax` cookies travel with links."""
    for route in routes_of(site.app):
        if route.method == "GET":
            assert not [h for h in route.use_case_handlers if not h.startswith(("List", "Get", "Export", "Verify", "Follow"))], route


class Crew:
    """Everybody who may try."""

    def __init__(self, site: Site, shop: Shop) -> None:
        self.site = site
        self.shop = shop
        self.people: dict[str, Caller] = {}

    @classmethod
    async def of(cls, site: Site) -> "Crew":
        crew = cls(site, await site.shop())
        owner = crew.shop.owner
        crew.people = {
            "owner": owner,
            **{role.value: await site.member(owner, role) for role in (Role.ADMIN, Role.MEMBER, Role.VIEWER)},
            "key": await site.api_key(owner, ["analytics:view"]),
            "anonymous": site.anonymous(),
        }
        return crew

    async def fresh(self, caller: Caller) -> Caller:
        """The same person on another device."""
        body = {"email": caller.email, "password": PASSWORD, "session": "token"}
        token = (await self.site.anonymous().made("/auth/login", body))["access_token"]
        return Caller(
            caller.client, caller.organization_id, {**caller.headers, "authorization": f"Bearer {token}"}, caller.email, caller.user_id
        )

    async def target(self, route: Route) -> str:
        """The route's path, to an object that the owner may change."""
        ids = self.shop.ids()
        if route.name in {"remove_member", "change_member"}:
            ids["member_id"] = await self._spare()
        return route.path(ids)

    async def _spare(self) -> str:
        spare = await self.site.member(self.shop.owner, Role.VIEWER)
        found = (await self.shop.owner("GET", "/members?limit=100")).json()["items"]
        return str(next(m["id"] for m in found if m["email"] == spare.email))

    async def tries(self, route: Route, who: str) -> httpx.Response:
        """Send the route's example, on an object that is there and that nobody else here needs afterwards."""
        caller, ids = self.people[who], self.shop.ids()
        if may(route, who):
            if route.name in ENDS_THE_SESSION:
                caller = await self.fresh(caller)
            if route.name == "end_session":
                devices = (await caller("GET", "/auth/sessions")).json()["items"]
                ids["session_id"] = next(d["id"] for d in devices if d["current"])
            if route.name in {"remove_member", "change_member"}:
                ids["member_id"] = await self._spare()
        return await caller(route.method, route.path(ids), example(route, self.shop))


def as_declared(route: Route, who: str, answer: httpx.Response, *, succeeded: bool) -> bool:
    """Whether the answer follows from the declared rule; who may must also succeed, unless somebody before did."""
    status = answer.status_code
    if not may(route, who):
        expected = (401, "unauthenticated") if who == "anonymous" else (403, "permission_denied")
        return (status, answer.json()["code"]) == expected
    if route.name in NO_SUCCESS:
        return status in {401, 404, 422}
    return status not in {401, 403} and status < 500 and (succeeded or answer.is_success)


def may(route: Route, who: str) -> bool:
    """Whether the declared rule lets `who` in."""
    access = route.access
    if access.who in {"public", "open"}:
        return True
    if who == "anonymous":
        return False
    if access.who == "signed_in":
        return who != "key"
    return who != "key" and access.permission in PERMISSIONS_OF[Role(who)]


async def test_routes_times_roles(site: Site) -> None:
    """Every route, tried by everybody, with real objects: the status follows from the declared permission."""
    crew = await Crew.of(site)
    wrong: list[str] = []
    for route in described(site.app):
        if not route.in_api:
            continue
        succeeded = False
        for who in sorted(crew.people, key=lambda w: (may(route, w), w != "owner")):
            answer = await crew.tries(route, who)
            if not as_declared(route, who, answer, succeeded=succeeded):
                wrong.append(f"{route} as {who}: {answer.status_code}: {answer.text[:200]}")
            succeeded = succeeded or (may(route, who) and answer.is_success)
    assert not wrong, "\n".join(wrong)


async def test_what_works_in_a_suspended_organisation(site: Site) -> None:
    """Every route, tried by the owner and by a key, with real objects: what is not declared to work is refused."""
    shop = await site.shop()
    crew, robot = Crew(site, shop), Caller(site.client, shop.owner.organization_id, {"authorization": f"Bearer {shop.api_key}"})
    inside = {**shop.owner.headers, "luneo-organization": str(shop.owner.organization_id)}
    owner = replace(shop.owner, headers=inside)
    ids = {**shop.ids(), "organization_id": (await owner.made("/organizations", {"name": "Elsewhere"}))["id"]}
    await site.run("update identity.organizations set status = 'suspended' where id = %s", (owner.organization_id,))
    working = set()
    for route in described(site.app):
        if not route.in_api or route.access.who in {"public", "open"}:
            continue
        caller = await crew.fresh(owner) if route.name in ENDS_THE_SESSION else owner
        if route.name == "end_session":
            devices = (await caller("GET", "/auth/sessions")).json()["items"]
            ids["session_id"] = next(d["id"] for d in devices if d["current"])
        answers = [await caller(route.method, route.path(ids), example(route, shop)) for caller in (caller, robot)]
        if answers[0].is_success:
            working.add(route.name)
        refused = answers[1:] if route.name in working else answers
        assert [(a.status_code, a.json()["code"]) for a in refused] == [(403, "organization_suspended")] * len(refused), route
        assert route.access.when_suspended == (route.name in working), route
    assert working == set(WHEN_SUSPENDED)


@pytest.mark.parametrize("credential", ["Bearer", "Basic YTpi", "Bearer lun_live_junk", "Bearer lat_junk", "bearer  ", "Bearer \xff"])
async def test_a_credential_that_is_none_is_refused_everywhere(site: Site, credential: str) -> None:
    values = dict.fromkeys(Shop.__dataclass_fields__, str(new_id())) | {"organization_id": str(new_id())}
    for route in described(site.app):
        if route.in_api and route.access.who in {"permission", "signed_in"}:
            headers = [(b"authorization", credential.encode("latin-1"))]
            answer = await site.client.request(route.method, "/api/v1" + route.path(values), headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), route
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_what_is_changed_by_cookie_needs_the_sessions_token_but_a_refresh(site: Site) -> None:
    shop = await site.shop()
    async with httpx.AsyncClient(transport=site.client._transport, base_url=str(site.client.base_url)) as browser:
        body = {"email": shop.owner.email, "password": PASSWORD}
        token = (await browser.post("/api/v1/auth/login", json=body)).json()["csrf_token"]
        tried = set()
        for route in described(site.app):
            if not route.in_api or route.method == "GET" or route.access.who == "public":
                continue
            for headers in ({}, {"x-csrf-token": "wrong"}):
                sent = example(route, shop)
                answer = await browser.request(route.method, f"/api/v1{route.path(shop.ids())}", json=sent, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed"), route
            tried.add(route.name)
        assert tried >= {"log_out", "end_session", "create_agent", "ask"}
        refreshed = await browser.post("/api/v1/auth/refresh")
        assert (refreshed.status_code, refreshed.json()["csrf_token"]) == (200, token), "the page that lost the token has it again"
        assert all("samesite=lax" in cookie.lower() for cookie in refreshed.headers.get_list("set-cookie"))
        assert (await browser.post("/api/v1/auth/logout", headers={"x-csrf-token": token})).status_code == 204


async def test_what_has_a_version_carries_it_as_its_etag_and_is_changed_only_at_the_version_that_is_named(site: Site) -> None:
    crew = await Crew.of(site)
    shown, guarded = set(), set()
    # what is deleted or archived is gone for the others: last, and what holds nothing of the others first
    for route in sorted(described(site.app), key=lambda r: r.method == "DELETE"):
        if not route.in_api:
            continue
        versioned = _versioned(route)
        if route.takes_if_match:
            path, body = await crew.target(route), example(route, crew.shop)
            for wrong in ('"999999999"', 'W/"999999999"'):
                lost = await crew.shop.owner(route.method, path, body, if_match=wrong)
                assert (lost.status_code, lost.json()["code"]) == (409, "conflict"), f"{route}: {lost.text}"
            held = "/".join(path.split("/")[:3])
            now = (await crew.shop.owner("GET", held)).headers["etag"]
            answer = await crew.shop.owner(route.method, path, body, if_match=now)
            assert answer.is_success, f"{route}: {answer.text}"
            guarded.add(route.name)
        else:
            answer = await crew.tries(route, "owner")
            assert not versioned or route.method == "GET" or route.handler.status_code == 201, f"{route} ignores If-Match"
            assert route.method != "DELETE" or not _shown_with_a_version(site, route), f"{route} ignores If-Match"
        if versioned:
            assert answer.is_success, f"{route}: {answer.text}"
            assert answer.headers["etag"] == f'"{answer.json()["version"]}"', route
            shown.add(route.name)
        else:
            assert "etag" not in answer.headers, route
    assert guarded == {
        "update_organization",
        "change_member",
        "edit_agent",
        "publish_agent",
        "roll_back_agent",
        "attach_knowledge",
        "edit_knowledge_base",
        "archive_agent",
        "delete_knowledge_base",
        "remove_member",
    }
    assert shown - guarded == {
        "get_organization",
        "get_member",
        "get_agent",
        "create_agent",
        "get_knowledge_base",
        "create_knowledge_base",
    }


def _versioned(route: Route) -> bool:
    """Whether it answers with an object that has a version."""
    kinds = _kinds(route.handler.parsed_fn_signature.return_type.annotation)
    return any("version" in getattr(kind, "__struct_fields__", ()) for kind in kinds)


def _shown_with_a_version(site: Site, route: Route) -> bool:
    """Whether a GET of the same path answers with an object that has a version."""
    return any(r.method == "GET" and r.template == route.template and _versioned(r) for r in described(site.app))


def _choices(schema: Any, document: Any) -> tuple[set[str], bool]:
    """The texts that a field's published schema lists, and whether the field takes a list of them."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    for one in (schema, *schema.get("oneOf", [])):
        if "enum" in one.get("items", {}):
            return set(one["items"]["enum"]), True
        if "enum" in one:
            return {choice for choice in one["enum"] if choice is not None}, False
    return set(), False


def _kinds(annotation: Any) -> list[type]:
    """The classes in an annotation."""
    arguments = typing.get_args(annotation)
    if not arguments:
        return [annotation] if isinstance(annotation, type) and annotation is not type(None) else []
    return [kind for argument in arguments for kind in _kinds(argument)]


def _refuses_unknown(kind: type, seen: set[type]) -> None:
    if kind in seen or not issubclass(kind, msgspec.Struct):
        return
    seen.add(kind)
    assert kind.__struct_config__.forbid_unknown_fields, f"{kind.__name__} takes unknown fields"
    for field in msgspec.structs.fields(kind):
        for inner in _kinds(field.type):
            _refuses_unknown(inner, seen)
