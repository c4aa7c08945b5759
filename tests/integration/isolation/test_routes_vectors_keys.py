"""Another tenant's credentials, tried on every route, vector query and Redis key of the running app."""

import asyncio
from uuid import UUID

import pytest
from redis.asyncio import Redis

from domains.conversational_ai.model.term_weights import NO_TERMS
from domains.conversational_ai.ports.embeddings import Embeddings
from domains.conversational_ai.ports.passage_index import PassageIndex
from domains.conversational_ai.ports.retrieval import Retrieval
from domains.conversational_ai.ports.turn_event_log import TurnEventLog
from shared_kernel.identifiers import new_id
from tests.fixtures.app import Caller, Shop, Site
from tests.fixtures.routes import described, example
from tests.integration.redis_store.valkey import Valkey


async def two_shops(site: Site) -> tuple[Shop, Shop]:
    return await site.shop(), await site.shop()


def told(shop: Shop) -> set[str]:
    """What must never be seen by anybody else."""
    return {*shop.ids().values(), shop.owner.email, shop.api_key}


async def test_every_route_with_another_tenants_ids_answers_as_if_they_did_not_exist(site: Site) -> None:
    ours, theirs = await two_shops(site)
    tried = 0
    for route in described(site.app):
        if not route.in_api or not route.parameters:
            continue
        body = example(route, theirs)
        answers = []
        for ids in (ours.ids(), {name: str(new_id()) for name in ours.ids()}):
            answer = await theirs.owner(route.method, route.path(ids), body)
            shown = answer.text
            for secret in (answer.headers["x-request-id"], *ids.values()):
                shown = shown.replace(secret, "…")
            answers.append((answer.status_code, shown))
        foreign, missing = answers
        assert foreign == missing, f"{route} tells another tenant's object from none"
        assert foreign[0] == 404, f"{route}: {foreign}"
        tried += 1
    assert tried > 20


async def test_a_foreign_object_inside_ones_own_is_not_there(site: Site) -> None:
    ours, theirs = await two_shops(site)
    for method in ("GET", "DELETE"):
        path = f"/knowledge-bases/{theirs.knowledge_base_id}/sources/{ours.source_id}"
        assert (await theirs.owner(method, path)).status_code == 404


async def test_another_tenants_ids_in_a_body_are_not_there(site: Site) -> None:
    ours, theirs = await two_shops(site)
    for method, path, name, foreign in (
        ("POST", "/conversations", "agent_id", ours.agent_id),
        ("PUT", f"/agents/{theirs.agent_id}/knowledge-bases", "knowledge_base_ids", [ours.knowledge_base_id]),
        ("POST", "/agents", "knowledge_base_ids", [ours.knowledge_base_id]),
    ):
        extra = {"name": "Thief"} if path == "/agents" else {}
        answers = []
        for value in (foreign, str(new_id()) if isinstance(foreign, str) else [str(new_id())]):
            answer = await theirs.owner(method, path, {**extra, name: value})
            shown = answer.json()
            shown.pop("request_id", None)
            answers.append((answer.status_code, shown))
        assert answers[0] == answers[1], path
        assert answers[0][0] == 404, path


async def test_lists_hold_nothing_of_another_tenant(site: Site) -> None:
    ours, theirs = await two_shops(site)
    secrets = told(ours)
    for route in described(site.app):
        if route.method != "GET" or not route.in_api:
            continue
        for query in ("", f"?agent_id={ours.agent_id}", f"?cursor={ours.agent_id}", f"?target_id={ours.agent_id}"):
            answer = await theirs.owner("GET", route.path(theirs.ids()) + query)
            leaked = {s for s in secrets if s in answer.text.replace(query.partition("=")[2] or "\0", "")}
            assert not leaked, f"{route}{query} shows {leaked}"


@pytest.mark.parametrize("kind", ["person", "key"])
async def test_another_organisation_cannot_be_chosen(site: Site, kind: str) -> None:
    ours, theirs = await two_shops(site)
    caller = theirs.owner if kind == "person" else await site.api_key(theirs.owner, ["agents:view"])
    answer = await caller("GET", "/agents", luneo_organization=str(ours.owner.organization_id))
    if answer.is_success:  # an API key carries its own organisation; the header says nothing to it
        assert kind == "key"
        assert not {s for s in told(ours) if s in answer.text}
    else:
        assert answer.status_code == 403


async def test_vector_queries_carry_the_organisation(site: Site) -> None:
    ours, theirs = await two_shops(site)
    index, retrieval = await site.container.get(PassageIndex), await site.container.get(Retrieval)
    embeddings = await site.container.get(Embeddings)
    base, mine, other = UUID(ours.knowledge_base_id), ours.owner.organization_id, theirs.owner.organization_id
    vector = await embeddings.embed_query(mine, "How much is the Pro plan?")
    assert await index.search(mine, [base], vector, NO_TERMS, 10)
    assert await index.search(other, [base], vector, NO_TERMS, 10) == []
    assert await retrieval.passages(mine, [base], "Pro plan", limit=5, cut_off=-1.0)
    assert await retrieval.passages(other, [base], "Pro plan", limit=5, cut_off=-1.0) == []
    before = await index.count(mine)
    await index.remove_knowledge_base(other, base)
    await index.remove_source(other, UUID(ours.source_id))
    assert await index.count(mine) == before


async def test_every_redis_key_carries_its_organisation_or_nothing_of_a_tenant(site: Site, app_valkey: Valkey) -> None:
    client = Redis.from_url(app_valkey.url)
    await client.flushall()
    ours, theirs = await two_shops(site)
    shops = {str(s.owner.organization_id): s for s in (ours, theirs)}
    key = await site.api_key(ours.owner, ["agents:view"])
    assert (await key("GET", "/agents")).status_code == 200
    assert (await site.anonymous()("GET", "/billing/plans")).status_code == 200
    async with site.served() as served:
        caller = Caller(served, ours.owner.organization_id, ours.owner.headers)
        await caller("GET", f"/turns/{ours.turn_id}/events")
    keys: set[str] = set()
    async with asyncio.timeout(5):  # the log is written behind the turns
        while not all(any(shop.turn_id in key for key in keys) for shop in shops.values()):
            keys = {bytes(k).decode() for k in await client.keys("*") if isinstance(k, bytes)}
    tenant_keys = {k for k in keys if k.startswith("luneo:development:org:")}
    assert {k.split(":")[3] for k in tenant_keys} == set(shops), "each tenant has its own"
    assert f"luneo:development:org:{ours.owner.organization_id}:turn:{ours.turn_id}" in tenant_keys
    for name in keys - tenant_keys:
        assert name.startswith(("luneo:development:rl:", "luneo:jobs")), f"{name} has no owner"
        values = await client.dump(name) or b""
        for shop in shops.values():
            assert not {s for s in (*told(shop), "Pro plan") if s in name or s.encode() in values}, f"{name} tells of a tenant"
    for name in tenant_keys:
        other = next(s for o, s in shops.items() if o != name.split(":")[3])
        values = await client.dump(name) or b""
        assert not {s for s in told(other) if s.encode() in values}, f"{name} holds another tenant's"
    await client.aclose()


async def test_a_turns_log_is_read_with_its_own_organisation_alone(site: Site) -> None:
    ours, theirs = await two_shops(site)
    log, turn = await site.container.get(TurnEventLog), UUID(ours.turn_id)
    assert await log.exists(ours.owner.organization_id, turn)
    assert not await log.exists(theirs.owner.organization_id, turn)
    assert [e async for e in log.read(theirs.owner.organization_id, turn, 0, idle_seconds=0.05)] == []
    for path in (f"/turns/{turn}", f"/turns/{turn}/events"):
        assert (await theirs.owner("GET", path)).status_code == 404
    assert (await theirs.owner("POST", f"/turns/{turn}/stop")).status_code == 404


async def test_a_key_or_session_of_a_removed_person_ends_with_the_next_request(site: Site) -> None:
    shop = await site.shop()
    [key] = [k for k in (await shop.owner("GET", "/api-keys")).json()["items"] if k["id"] == shop.api_key_id]
    robot = Caller(site.client, shop.owner.organization_id, {"authorization": f"Bearer {shop.api_key}"})
    assert (await robot("GET", "/agents")).status_code == 200
    await shop.owner("DELETE", f"/api-keys/{key['id']}")
    assert (await robot("GET", "/agents")).status_code == 401
