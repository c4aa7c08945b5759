"""Agents and knowledge over HTTP: the real app with its access control and idempotency, over Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from dishka import Provider, Scope, make_async_container
from litestar import Litestar

from adapters.crypto.aes_sealing import AesSealing
from adapters.postgres.database import Database
from adapters.postgres.idempotency import PostgresIdempotentEffects
from contracts.identity.permissions import PERMISSIONS_OF, Permission, Role
from domains.conversational_ai.ports.agent_reading import AgentReading
from domains.conversational_ai.ports.knowledge_reading import KnowledgeReading
from entrypoints.http.app import create_app
from entrypoints.http.conversational_ai import agents, knowledge
from entrypoints.observability.metrics import Metrics
from entrypoints.settings import Mode, Settings
from shared_kernel.clock import SystemClock
from shared_kernel.errors import Unauthenticated
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Origin, Principal, PrincipalKind
from tests.fakes.rate_limits import InMemoryRateLimits
from tests.integration.knowledge.conftest import postgres_house
from tests.port_contracts.knowledge_contract import KnowledgeHouse

TEXT = {"type": "text", "name": "Clouds", "content": "# Clouds\n\nCumulus clouds are white and puffy."}
NOWHERE = "0190a000-0000-7000-8000-000000000000"


class KnownTokens:
    """Implements `Authentication` for callers that a test made."""

    def __init__(self) -> None:
        self.callers: dict[str, Principal] = {}

    async def bearer(
        self,
        token: str,
        *,
        organization_id: UUID | None,  # noqa: ARG002
        origin: Origin,
        when_suspended: bool = False,  # noqa: ARG002
    ) -> Principal:
        if token not in self.callers:
            raise Unauthenticated
        return replace(self.callers[token], origin=origin)

    async def session_cookie(self, value: str, *, origin: Origin, when_suspended: bool = False) -> Principal:  # noqa: ARG002
        raise Unauthenticated

    def by_claims(
        self,
        token: str,  # noqa: ARG002
        *,
        cookie: bool,  # noqa: ARG002
        organization_id: UUID | None,  # noqa: ARG002
        permission: Permission,  # noqa: ARG002
        origin: Origin,  # noqa: ARG002
    ) -> Principal | None:
        return None

    def csrf_token(self, principal: Principal) -> str:  # noqa: ARG002
        return "csrf"


@dataclass
class Caller:
    """One member of an organisation with the app's address."""

    client: httpx.AsyncClient
    token: str
    principal: Principal

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {"authorization": f"Bearer {self.token}", **{n.replace("_", "-"): v for n, v in headers.items()}}
        return await self.client.request(method, "/api/v1" + path, json=body, headers=sent)

    async def made(self, path: str, body: Any) -> dict[str, Any]:
        answer = await self("POST", path, body)
        assert answer.status_code in {201, 202}, answer.text
        return cast("dict[str, Any]", answer.json())


@dataclass
class Site:
    """The app and what is behind it."""

    client: httpx.AsyncClient
    house: KnowledgeHouse
    tokens: KnownTokens
    app: Litestar

    async def member(self, role: Role = Role.OWNER, plan: str = "pro", of: Caller | None = None) -> Caller:
        """A member of a new organisation, or of another member's."""
        organization_id = of.principal.tenant if of else (await self.house.open_account(plan)).tenant
        permissions = frozenset(p.value for p in PERMISSIONS_OF[role])
        principal = Principal(PrincipalKind.API_KEY, new_id(), organization_id, permissions, role.value)
        token = f"lun_live_{len(self.tokens.callers)}"
        self.tokens.callers[token] = principal
        return Caller(self.client, token, principal)


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Site]:
    database = Database(database_url, size=5)
    await database.open()
    async with postgres_house(database_url, database) as (house, units):
        provider = Provider(scope=Scope.APP)

        def give(value: object, kind: Any) -> None:
            provider.provide(lambda: value, provides=kind)

        for handler in (
            house.create_agent,
            house.edit_agent,
            house.publish_agent,
            house.roll_back_agent,
            house.attach,
            house.archive_agent,
            house.create_base,
            house.edit_base,
            house.delete_base,
            house.add_source,
            house.add_file,
            house.rename,
            house.replace,
            house.read,
            house.delete_source,
            house.search,
        ):
            give(handler, type(handler))
        give(house.agents, AgentReading)
        give(house.knowledge, KnowledgeReading)
        container = make_async_container(provider)
        tokens = KnownTokens()

        @asynccontextmanager
        async def nothing() -> AsyncIterator[None]:
            yield

        edge, app = create_app(
            container=container,
            settings=Settings(
                mode=Mode.DEVELOPMENT,
                home=Path("unused"),
                database_url="postgresql://unused/unused",
                redis_url="redis://unused",
                qdrant_url="http://unused",
                secret_key=("k" * 32,),
            ),
            metrics=Metrics(),
            authentication=tokens,
            rate_limits=InMemoryRateLimits(),
            effects=PostgresIdempotentEffects(units, AesSealing((b"k" * 32,)), SystemClock()),
            api_handlers=[*agents.route_handlers, *knowledge.route_handlers],
            root_handlers=[],
            lifespan=nothing,
        )
        transport = httpx.ASGITransport(cast("Any", edge), client=("203.0.113.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            yield Site(client, house, tokens, app)
        await container.close()
    await database.close()


def problem(answer: httpx.Response) -> tuple[int, str, list[str]]:
    body = answer.json()
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    return answer.status_code, body["code"], [e["field"] for e in body.get("errors", ())]


async def test_from_a_template_to_a_published_agent(site: Site) -> None:
    ada = await site.member()
    templates = (await ada("GET", "/agent-templates")).json()["items"]
    assert [t["slug"] for t in templates] == ["support-agent", "faq-agent"]
    assert all(set(t["texts"]) == {"fr", "en"} for t in templates)
    created = await ada("POST", "/agents", {"name": "Aide", "template_slug": "faq-agent", "languages": ["fr", "en"], "temperature": None})
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    agent = created.json()
    assert (agent["status"], agent["slug"], agent["retrieval"]) == ("draft", "aide", {"passages": 5, "cut_off": 0.8})
    assert agent["instructions"] == templates[1]["texts"]["fr"]["instructions"]
    path = f"/agents/{agent['id']}"
    published = (await ada("POST", f"{path}/publish")).json()
    assert (published["status"], published["published_version"], published["unpublished_changes"]) == ("published", 1, False)
    edited = await ada("PATCH", path, {"greeting": "Salut", "retrieval": {"passages": 3}}, if_match=created.headers["etag"])
    assert problem(edited)[:2] == (409, "conflict")
    etag = (await ada("GET", path)).headers["etag"]
    edited = await ada("PATCH", path, {"greeting": "Salut", "retrieval": {"passages": 3}}, if_match=etag)
    assert (edited.json()["greeting"], edited.json()["retrieval"]["passages"], edited.json()["unpublished_changes"]) == ("Salut", 3, True)
    assert (await ada("POST", f"{path}/publish")).json()["published_version"] == 2
    back = await ada("POST", f"{path}/rollback", {"version": 1})
    assert (back.status_code, back.json()["published_version"]) == (200, 1)
    versions = (await ada("GET", f"{path}/versions")).json()["items"]
    assert [(v["version"], v["live"], v["settings"]["greeting"] == "Salut") for v in versions] == [(2, False, True), (1, True, False)]
    assert (await ada("DELETE", path)).status_code == 204
    assert problem(await ada("GET", path))[:2] == (404, "not_found")
    assert (await ada("GET", "/agents")).json() == {"items": [], "next_cursor": None}


async def test_knowledge_is_added_indexed_searched_and_deleted(site: Site) -> None:
    ada = await site.member()
    base = await ada.made("/knowledge-bases", {"name": "Météo"})
    assert (base["language"], base["sources"]) == ("fr", 0)
    sources = f"/knowledge-bases/{base['id']}/sources"
    source = await ada.made(sources, TEXT)
    assert (source["status"], source["type"], source["progress"]) == ("pending", "text", 0)
    await ada.made(sources, {"type": "qa", "name": "FAQ", "pairs": [{"question": "Is snow cold?", "answer": "Yes."}], "language": "en"})
    await site.house.work(ada.principal)
    ready = (await ada("GET", f"{sources}/{source['id']}")).json()
    assert (ready["status"], ready["progress"], ready["passages"], ready["error"]) == ("ready", 100, 1, None)
    assert [s["type"] for s in (await ada("GET", sources)).json()["items"]] == ["qa", "text"]
    found = (await ada("POST", f"/knowledge-bases/{base['id']}/search", {"query": "puffy clouds", "limit": 1})).json()["items"]
    assert [(f["text"], f["source_id"], f["title"]) for f in found] == [(TEXT["content"], source["id"], "Clouds")]
    scores = found[0]["scores"]
    assert (scores["dense"], scores["sparse"] > 0, set(scores)) == (found[0]["score"], True, {"dense", "sparse", "fused"})
    assert found[0]["locator"] == {"heading": "Clouds", "start": 0, "end": len(TEXT["content"])}
    agent = await ada.made("/agents", {"name": "Aide"})
    attached = await ada("PUT", f"/agents/{agent['id']}/knowledge-bases", {"knowledge_base_ids": [base["id"]]})
    assert attached.json()["knowledge_base_ids"] == [base["id"]]
    assert (await ada("DELETE", f"{sources}/{source['id']}")).status_code == 204
    found = (await ada("POST", f"/knowledge-bases/{base['id']}/search", {"query": "puffy clouds"})).json()["items"]
    assert [f["text"] for f in found] == ["Is snow cold?\nYes."]
    renamed = await ada("PATCH", f"/knowledge-bases/{base['id']}", {"name": "Weather", "language": "en"}, if_match='"1"')
    assert (renamed.json()["name"], renamed.headers["etag"]) == ("Weather", '"2"')
    assert (await ada("DELETE", f"/knowledge-bases/{base['id']}")).status_code == 204
    assert problem(await ada("GET", f"/knowledge-bases/{base['id']}"))[0] == 404
    assert (await ada("GET", f"/agents/{agent['id']}")).json()["knowledge_base_ids"] == []


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"type": "file", "name": "A file"}, ["type"]),
        ({"name": "No type", "content": "x"}, ["type"]),
        ({"type": "text", "name": "No content"}, ["content"]),
        ({"type": "text", "name": "Blank", "content": " \n\t "}, ["content"]),
        ({"type": "text", "name": "Nul", "content": "a\0b"}, ["content"]),
        ({"type": "text", "name": "Too long", "content": "x" * 100_001}, ["content"]),
        ({"type": "text", "name": "Both", "content": "x", "pairs": []}, ["pairs"]),
        ({"type": "qa", "name": "None", "pairs": []}, ["pairs"]),
        ({"type": "qa", "name": "Blank", "pairs": [{"question": "?", "answer": " "}]}, ["pairs.0.answer"]),
        ({"type": "qa", "name": "Long", "pairs": [{"question": "?" * 1_001, "answer": "a"}]}, ["pairs.0.question"]),
        ({"type": "text", "name": "x", "content": "x"}, ["name"]),
        ({"type": "text", "name": "Unknown", "content": "x", "surprise": 1}, ["surprise"]),
        ({"type": "text", "name": "Language", "content": "x", "language": "tlh"}, ["language"]),
    ],
)
async def test_a_wrong_source_is_refused_by_field(site: Site, body: dict[str, Any], fields: list[str]) -> None:
    ada = await site.member()
    base = await ada.made("/knowledge-bases", {"name": "Weather"})
    assert problem(await ada("POST", f"/knowledge-bases/{base['id']}/sources", body)) == (422, "validation_failed", fields)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "A", "template_slug": "nope"}, ["template_slug"]),
        ({"name": "A", "model": "nope"}, ["model"]),
        ({"name": "A", "fallback_models": ["nope"]}, ["fallback_models"]),
        ({"name": "A", "tone": "angry"}, ["tone"]),
        ({"name": "A", "languages": []}, ["languages"]),
        ({"name": "A", "temperature": 3}, ["temperature"]),
        ({"name": "A", "max_tokens": 4001}, ["max_tokens"]),
        ({"name": "A", "surprise": 1}, ["surprise"]),
        ({}, ["name"]),
    ],
)
async def test_a_wrong_agent_is_refused_by_field(site: Site, body: dict[str, Any], fields: list[str]) -> None:
    ada = await site.member()
    assert problem(await ada("POST", "/agents", body)) == (422, "validation_failed", fields)


async def test_how_freely_an_agent_words_its_answers_is_frozen_with_its_version(site: Site) -> None:
    ada = await site.member()
    freely = {"temperature": 0.7, "top_p": 0.9, "frequency_penalty": 0.5, "presence_penalty": -0.5, "max_tokens": 800}
    path = f"/agents/{(await ada.made('/agents', {'name': 'A', 'fallback_models': [], **freely}))['id']}"
    await ada("POST", f"{path}/publish")
    edited = (await ada("PATCH", path, {"top_p": None, "presence_penalty": 0})).json()
    assert [edited[name] for name in freely] == [0.7, None, 0.5, 0, 800]
    [version] = (await ada("GET", f"{path}/versions")).json()["items"]
    assert {name: version["settings"][name] for name in freely} == freely


async def test_wrong_headers_cursors_and_limits_are_refused(site: Site) -> None:
    ada = await site.member()
    agent = await ada.made("/agents", {"name": "A"})
    assert problem(await ada("PATCH", f"/agents/{agent['id']}", {"name": "B"}, if_match="yesterday")) == (
        422,
        "validation_failed",
        ["If-Match"],
    )
    for path in ("/agents?cursor=x", f"/agents/{agent['id']}/versions?cursor=99999999999999999999", "/knowledge-bases?limit=101"):
        assert problem(await ada("GET", path))[0] == 422
    base = await ada.made("/knowledge-bases", {"name": "Weather"})
    for body in ({"query": ""}, {"query": "x" * 1_001}, {"query": "x", "limit": 0}, {"query": "x", "limit": 51}):
        assert problem(await ada("POST", f"/knowledge-bases/{base['id']}/search", body))[0] == 422


async def test_an_unready_agent_says_what_is_missing(site: Site) -> None:
    ada = await site.member()
    agent = await ada.made("/agents", {"name": "A", "instructions": "", "fallback_message": " "})
    answer = await ada("POST", f"/agents/{agent['id']}/publish")
    assert problem(answer) == (422, "validation_failed", ["instructions", "fallback_message"])


async def test_quota_is_402_with_its_metric(site: Site) -> None:
    ada = await site.member(plan="free")
    await ada.made("/agents", {"name": "First"})
    answer = await ada("POST", "/agents", {"name": "Second"})
    assert problem(answer)[:2] == (402, "quota_exceeded")
    assert (answer.json()["metric"], answer.json()["limit"]) == ("agents", 1)


async def test_the_same_key_makes_one_agent(site: Site) -> None:
    ada = await site.member()
    first = await ada("POST", "/agents", {"name": "Once"}, idempotency_key="k1")
    again = await ada("POST", "/agents", {"name": "Once"}, idempotency_key="k1")
    assert (first.status_code, again.status_code, again.headers["idempotent-replayed"]) == (201, 201, "true")
    assert first.json() == again.json()
    assert first.headers["etag"] == again.headers["etag"]
    assert len((await ada("GET", "/agents")).json()["items"]) == 1
    base = await ada.made("/knowledge-bases", {"name": "Weather"})
    path = f"/knowledge-bases/{base['id']}/sources"
    sources = [(await ada("POST", path, TEXT, idempotency_key="k2")).json()["id"] for _ in range(2)]
    assert sources[0] == sources[1]


async def test_another_organisations_objects_do_not_exist(site: Site) -> None:
    ada, eve = await site.member(), await site.member()
    agent, base = await ada.made("/agents", {"name": "A"}), await ada.made("/knowledge-bases", {"name": "Weather"})
    source = await ada.made(f"/knowledge-bases/{base['id']}/sources", TEXT)
    hers = await eve.made("/agents", {"name": "Hers"})
    for agent_id in (agent["id"], NOWHERE):
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"name": "Mine"}),
            ("DELETE", "", None),
            ("POST", "/publish", None),
            ("GET", "/versions", None),
            ("POST", "/rollback", {"version": 1}),
            ("PUT", "/knowledge-bases", {"knowledge_base_ids": []}),
        ):
            assert problem(await eve(method, f"/agents/{agent_id}{path}", body))[:2] == (404, "not_found")
    for base_id in (base["id"], NOWHERE):
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"name": "Mine"}),
            ("DELETE", "", None),
            ("GET", "/sources", None),
            ("POST", "/sources", TEXT),
            ("GET", f"/sources/{source['id']}", None),
            ("DELETE", f"/sources/{source['id']}", None),
            ("POST", "/search", {"query": "clouds"}),
        ):
            assert problem(await eve(method, f"/knowledge-bases/{base_id}{path}", body))[:2] == (404, "not_found")
    attach = await eve("PUT", f"/agents/{hers['id']}/knowledge-bases", {"knowledge_base_ids": [base["id"]]})
    assert problem(attach)[:2] == (404, "not_found")


async def test_roles_decide_who_may(site: Site) -> None:
    ada = await site.member()
    agent = await ada.made("/agents", {"name": "A"})
    viewer, member = await site.member(Role.VIEWER, of=ada), await site.member(Role.MEMBER, of=ada)
    assert (await viewer("GET", f"/agents/{agent['id']}")).status_code == 200
    assert problem(await viewer("POST", "/agents", {"name": "B"}))[:2] == (403, "permission_denied")
    assert problem(await viewer("POST", "/knowledge-bases", {"name": "Weather"}))[0] == 403
    assert (await member("PATCH", f"/agents/{agent['id']}", {"name": "B"})).status_code == 200
    assert problem(await member("POST", f"/agents/{agent['id']}/publish"))[0] == 403
    assert problem(await member("DELETE", f"/agents/{agent['id']}"))[0] == 403
    nobody = Caller(site.client, "wrong", ada.principal)
    assert problem(await nobody("GET", "/agents"))[:2] == (401, "unauthenticated")


async def test_the_published_description_knows_every_route(site: Site) -> None:
    document = site.app.openapi_schema.to_schema()
    assert set(document["paths"]["/api/v1/agents/{agent_id}"]) == {"get", "patch", "delete"}
    body = document["components"]["schemas"]["AddSourceBody"]["properties"]
    assert body["type"]["enum"] == ["text", "qa", "web_page"]
