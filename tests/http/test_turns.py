"""Turns over HTTP on the real app: as JSON, as an event stream that really streams, resumed, stopped, repeated, refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.redis_store.connection import RedisConnection
from domains.billing.use_cases.apply_plan import ApplyPlan, ApplyPlanHandler
from domains.conversational_ai.ports.generative_model import ModelTimedOut
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal
from tests.fakes.generative_model import Pause, Step
from tests.fixtures.app import Caller, Shop, Site, open_site, site_settings
from tests.integration.redis_store.valkey import Valkey

STREAM = "text/event-stream"
SOON = 10.0


def play(site: Site, *scripts: list[Step]) -> None:
    """Let the model say this from now on."""
    site.model._scripts = [list(s) for s in scripts]
    site.model.requests.clear()


class Reader:
    """Reads server-sent events as they arrive."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments = 0
        self._lines = response.aiter_lines()

    async def __aiter__(self) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
        found: dict[str, str] = {}
        async for line in self._lines:
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                assert name in {"id", "event", "data"}
                found[name] = value
            elif found:
                yield int(found["id"]), found["event"], json.loads(found["data"])
                found = {}

    async def rest(self) -> list[tuple[int, str, dict[str, Any]]]:
        """Every event until the server closes."""
        return await asyncio.wait_for(self._all(), SOON)

    async def _all(self) -> list[tuple[int, str, dict[str, Any]]]:
        return [event async for event in self]


@asynccontextmanager
async def asked(caller: Caller, conversation: str, content: str = "How much?", **headers: str) -> AsyncIterator[Reader]:
    sent = {**caller.headers, "accept": STREAM, **{n.replace("_", "-"): v for n, v in headers.items()}}
    url = f"/api/v1/conversations/{conversation}/messages"
    async with caller.client.stream("POST", url, json={"content": content}, headers=sent) as response:
        assert response.status_code == 200, await response.aread()
        yield Reader(response)


async def resumed(caller: Caller, turn: str, after: int | None = None) -> list[tuple[int, str, dict[str, Any]]]:
    headers = {**caller.headers, **({} if after is None else {"last-event-id": str(after)})}
    async with caller.client.stream("GET", f"/api/v1/turns/{turn}/events", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith(STREAM)
        return await Reader(response).rest()


async def quotas(caller: Caller) -> tuple[int, int]:
    [found] = [q for q in (await caller("GET", "/billing/quotas")).json() if q["metric"] == "messages_ai"]
    return found["used"], found["reserved"]


async def test_as_json(site: Site) -> None:
    shop = await site.shop()
    answer = await shop.owner("POST", f"/conversations/{shop.conversation_id}/messages", {"content": "And Pro?"}, accept="application/json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    body = answer.json()
    assert set(body) == {"turn_id", "conversation_id", "status", "message", "usage"}
    assert answer.headers["luneo-turn"] == body["turn_id"]
    message = body["message"]
    assert set(message) == {"id", "role", "content", "citations", "confidence", "complete"}
    assert (message["role"], message["content"], body["status"]) == ("assistant", "The Pro plan costs 49 euros [1].", "completed")
    [citation] = message["citations"]
    assert {"source_id", "title", "locator", "quote", "score"} <= set(citation)
    assert (citation["source_id"], citation["title"]) == (shop.source_id, "Prices")
    assert set(body["usage"]) == {"tokens_in", "tokens_out", "estimated", "cost"}
    assert set(body["usage"]["cost"]) == {"amount", "currency"}
    stored = (await shop.owner("GET", f"/turns/{body['turn_id']}")).json()
    assert (stored["status"], stored["message"], stored["usage"], stored["problem"]) == ("completed", message, body["usage"], None)
    assert (stored["model"], stored["provider"]) == ("scripted", "scripted")
    listed = (await shop.owner("GET", f"/conversations/{shop.conversation_id}/messages")).json()["items"]
    assert [m["role"] for m in listed] == ["user", "assistant", "user", "assistant"]
    assert (listed[-1]["content"], listed[-1]["citations"], listed[-1]["complete"]) == (message["content"], message["citations"], True)
    conversation = (await shop.owner("GET", f"/conversations/{shop.conversation_id}")).json()
    assert (conversation["status"], conversation["last_message_at"]) == ("open", listed[-1]["created_at"])
    assert await quotas(shop.owner) == (2, 0)


@pytest.mark.parametrize(
    ("accept", "streamed"),
    [
        ("text/event-stream;q=0, application/json", False),
        ("application/json, Text/Event-Stream ; q=0.000", False),
        ("text/event-stream;q=0.5, application/json;q=0", True),
        ("text/event-stream, application/json;q=0.1", True),
    ],
)
async def test_a_stream_that_is_refused_is_not_sent(site: Site, accept: str, *, streamed: bool) -> None:
    shop = await site.shop()
    answer = await shop.owner("POST", f"/conversations/{shop.conversation_id}/messages", {"content": "How much?"}, accept=accept)
    assert answer.headers["content-type"].startswith(STREAM if streamed else "application/json")


async def test_as_a_stream_that_arrives_piece_by_piece(site: Site) -> None:
    shop, pause = await site.shop(), Pause()
    play(site, ["Nine ", pause, "euros [1]."])
    async with site.served() as served:
        caller = replace(shop.owner, client=served)
        async with asked(caller, shop.conversation_id) as reader:
            assert reader.response.headers["content-type"].startswith(STREAM)
            assert reader.response.headers["cache-control"] == "no-store"
            turn = reader.response.headers["luneo-turn"]
            events = []
            async for event in reader:
                events.append(event)
                if event[1] == "answer.delta" and not pause.go_on.is_set():
                    assert (await caller("GET", f"/conversations/{shop.conversation_id}")).json()["status"] == "answering"
                    assert await quotas(caller) == (1, 1)
                    pause.go_on.set()  # had it been buffered, nobody would come here
    assert [name for _, name, _ in events] == [
        "turn.started", "retrieval.completed", "answer.delta", "answer.delta", "answer.completed", "turn.completed",
    ]  # fmt: skip
    assert [i for i, _, _ in events] == [1, 2, 3, 4, 5, 6]
    assert {d["turn_id"] for _, _, d in events} == {turn}
    assert all(d["sequence"] == i for i, _, d in events)
    assert "".join(d["text"] for _, n, d in events if n == "answer.delta") == events[4][2]["message"]["content"]


async def test_dropped_and_resumed(site: Site) -> None:
    shop, pause = await site.shop(), Pause()
    play(site, ["a", "b", pause, "c", "d"])
    async with site.served() as served:
        caller = replace(shop.owner, client=served)
        async with asked(caller, shop.conversation_id) as reader:
            turn = reader.response.headers["luneo-turn"]
            async for i, _, _ in reader:
                if i == 3:
                    break  # the client is gone
        resuming = asyncio.create_task(resumed(caller, turn, 3))
        await asyncio.wait_for(pause.reached.wait(), SOON)
        pause.go_on.set()
        rest = await resuming
        assert [(i, n) for i, n, _ in rest] == [
            (4, "answer.delta"), (5, "answer.delta"), (6, "answer.delta"), (7, "answer.completed"), (8, "turn.completed"),
        ]  # fmt: skip
        assert rest[3][2]["message"]["content"] == "abcd"
        whole = await resumed(caller, turn)
        assert whole[3:] == rest
        for after in (0, 5, 7):
            assert await resumed(caller, turn, after) == whole[after:]
        assert await resumed(caller, turn, 8) == []
    assert await quotas(shop.owner) == (2, 0)


@pytest.mark.parametrize("said", [[], ["Nine "]])
async def test_stopped(site: Site, said: list[Step]) -> None:
    shop, pause = await site.shop(), Pause()
    play(site, [*said, pause, "never"])
    asking = asyncio.create_task(shop.owner("POST", f"/conversations/{shop.conversation_id}/messages", {"content": "Tell me"}))
    await asyncio.wait_for(pause.reached.wait(), SOON)
    [running] = await site.run("select id::text as id from conversational_ai.turns where state = 'running'")
    stop = await shop.owner("POST", f"/turns/{running['id']}/stop")
    assert (stop.status_code, stop.json()["status"]) == (202, "running")
    answer = (await asyncio.wait_for(asking, SOON)).json()
    assert (answer["status"], answer["conversation_id"]) == ("stopped", shop.conversation_id)
    assert (answer["message"] or {}).get("content") == ("Nine " if said else None)
    stored = (await shop.owner("GET", f"/turns/{running['id']}")).json()
    assert (stored["status"], stored["problem"]) == ("stopped", None)
    assert [n for _, n, _ in await resumed(shop.owner, running["id"])][-1] == "turn.stopped"
    assert await quotas(shop.owner) == (2 if said else 1, 0)
    again = await shop.owner("POST", f"/turns/{running['id']}/stop")
    assert (again.status_code, again.json()["status"]) == (202, "stopped")


async def test_failed(site: Site) -> None:
    shop = await site.shop()
    play(site, [ModelTimedOut("after 30 s")], ["Half", ModelTimedOut("after 30 s")])
    answer = await shop.owner("POST", f"/conversations/{shop.conversation_id}/messages", {"content": "One"})
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert (answer.json()["code"], answer.json()["detail"]) == ("model_timed_out", "after 30 s")
    assert await quotas(shop.owner) == (1, 0)
    async with site.served() as served, asked(replace(shop.owner, client=served), shop.conversation_id, "Two") as reader:
        events = await reader.rest()
    _, name, data = events[-1]
    assert (name, data["problem"]["code"], data["problem"]["retryable"]) == ("turn.failed", "model_timed_out", True)
    assert data["message"]["content"] == "Half"
    stored = (await shop.owner("GET", f"/turns/{data['turn_id']}")).json()
    assert (stored["status"], stored["problem"]) == ("failed", data["problem"])
    assert await quotas(shop.owner) == (2, 0)
    messages = (await shop.owner("GET", f"/conversations/{shop.conversation_id}/messages")).json()["items"]
    assert messages[-1]["complete"] is False


class TestRepeated:
    async def test_the_same_message_id_is_the_same_turn_in_both_forms(self, site: Site) -> None:
        shop = await site.shop()
        path, body = f"/conversations/{shop.conversation_id}/messages", {"content": "Once", "client_message_id": "m-1"}
        first = await shop.owner("POST", path, body)
        second = await shop.owner("POST", path, body)
        assert (second.status_code, second.json()) == (200, first.json())
        assert (first.headers.get("idempotent-replayed"), second.headers["idempotent-replayed"]) == (None, "true")
        stream = await shop.owner("POST", path, body, accept=STREAM)
        assert stream.headers["idempotent-replayed"] == "true"
        assert f'"content":"{first.json()["message"]["content"]}"' in stream.text
        other = await shop.owner("POST", path, {**body, "content": "Twice"})
        assert (other.status_code, other.json()["code"]) == (422, "client_message_id_reused") or other.status_code == 409
        assert await quotas(shop.owner) == (2, 0)

    async def test_an_idempotency_key(self, site: Site) -> None:
        shop, pause = await site.shop(), Pause()
        play(site, [pause, "Nine."])
        path, body = f"/conversations/{shop.conversation_id}/messages", {"content": "Once"}
        asking = asyncio.create_task(shop.owner("POST", path, body, idempotency_key="k-1"))
        await asyncio.wait_for(pause.reached.wait(), SOON)
        early = await shop.owner("POST", path, body, idempotency_key="k-1")
        assert (early.status_code, early.json()["code"]) == (409, "idempotency_in_progress")
        pause.go_on.set()
        first = await asyncio.wait_for(asking, SOON)
        again = await shop.owner("POST", path, body, idempotency_key="k-1")
        assert (again.status_code, again.json(), again.headers["idempotent-replayed"]) == (200, first.json(), "true")
        for another in ({"content": "Another"}, {**body, "client_message_id": "m"}):
            other = await shop.owner("POST", path, another, idempotency_key="k-1")
            assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert len(site.model.requests) == 1

    async def test_a_key_is_one_for_turns_and_every_other_request(self, site: Site) -> None:
        shop = await site.shop()
        ask, start = f"/conversations/{shop.conversation_id}/messages", "/conversations"
        message, conversation = {"content": "Once"}, {"agent_id": str(shop.agent_id)}
        assert (await shop.owner("POST", ask, message, idempotency_key="turn's")).status_code == 200
        assert (await shop.owner("POST", start, conversation, idempotency_key="other's")).status_code == 201
        for path, body, key in ((start, conversation, "turn's"), (ask, message, "other's")):
            refused = await shop.owner("POST", path, body, idempotency_key=key)
            assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
        await site.run("update luneo.idempotent_requests set created_at = created_at - interval '25 hours'")
        assert (await shop.owner("POST", start, conversation, idempotency_key="turn's")).status_code == 201
        assert (await shop.owner("POST", ask, message, idempotency_key="other's")).status_code == 200

    @pytest.mark.parametrize("named", ["idempotency_key", "client_message_id"])
    async def test_after_a_failure(self, site: Site, named: str) -> None:
        shop = await site.shop()
        path = f"/conversations/{shop.conversation_id}/messages"

        async def ask(name: str) -> httpx.Response:
            if named == "idempotency_key":
                return await shop.owner("POST", path, {"content": "Once"}, idempotency_key=name)
            return await shop.owner("POST", path, {"content": "Once", "client_message_id": name})

        play(site, [ModelTimedOut("after 30 s")], ["Nine."], ["Half", ModelTimedOut("after 30 s")])
        failed = await ask("1")
        assert (failed.status_code, failed.headers["retry-after"], failed.headers.get("idempotent-replayed")) == (503, "2", None)
        assert (await shop.owner("GET", f"/turns/{failed.headers['luneo-turn']}")).json()["status"] == "failed"
        again = await ask("1")
        assert (again.status_code, again.json()["message"]["content"]) == (200, "Nine.")
        assert (await ask("1")).json() == again.json()
        broken = await ask("2")
        assert (broken.status_code, broken.headers.get("retry-after")) == (503, None), "a part was said: it is told again as it was"
        replayed = await ask("2")
        assert (replayed.status_code, replayed.json()["code"]) == (503, broken.json()["code"])
        assert (replayed.headers["idempotent-replayed"], replayed.headers["luneo-turn"]) == ("true", broken.headers["luneo-turn"])
        assert len(site.model.requests) == 3

    async def test_ten_times_at_once(self, site: Site) -> None:
        shop = await site.shop()
        path = f"/conversations/{shop.conversation_id}/messages"
        answers = await asyncio.gather(*(shop.owner("POST", path, {"content": "Once"}, idempotency_key="k") for _ in range(10)))
        assert {a.status_code for a in answers} <= {200, 409}
        assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"idempotency_in_progress"}
        assert len({a.json()["turn_id"] for a in answers if a.status_code == 200}) == 1
        assert await quotas(shop.owner) == (2, 0)


class TestRefused:
    async def test_two_messages_at_once(self, site: Site) -> None:
        shop, pause = await site.shop(), Pause()
        play(site, [pause, "Nine."])
        path = f"/conversations/{shop.conversation_id}/messages"
        asking = asyncio.create_task(shop.owner("POST", path, {"content": "One"}))
        await asyncio.wait_for(pause.reached.wait(), SOON)
        second = await shop.owner("POST", path, {"content": "Two"})
        assert (second.status_code, second.json()["code"]) == (409, "turn_in_progress")
        pause.go_on.set()
        assert (await asyncio.wait_for(asking, SOON)).status_code == 200

    async def test_over_quota_names_metric_limit_and_reset(self, site: Site) -> None:
        shop = await self._free(site)
        await site.run("update billing.quota_counters set taken = ceiling where metric = 'messages_ai'")
        answer = await shop.owner("POST", f"/conversations/{shop.conversation_id}/messages", {"content": "One more"})
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["metric"], problem["limit"]) == (402, "quota_exceeded", "messages_ai", 1_000)
        assert problem["resets_at"].endswith("Z")

    async def test_fifty_for_the_last_message(self, site: Site) -> None:
        shop = await self._free(site)
        conversations = [await site.conversation(shop.owner, shop.agent_id) for _ in range(50)]
        await site.run("update billing.quota_counters set taken = ceiling - 1 where metric = 'messages_ai'")
        answers = await asyncio.gather(*(shop.owner("POST", f"/conversations/{c}/messages", {"content": "Me!"}) for c in conversations))
        assert sorted(a.status_code for a in answers) == [200] + [402] * 49
        assert await quotas(shop.owner) == (1_000, 0)

    async def test_a_draft_and_an_archived_agent(self, site: Site) -> None:
        owner = await site.person()
        agent = await owner.made("/agents", {"name": "Draft"})

        async def refused(path: str, body: dict[str, str]) -> None:
            answer = await owner("POST", path, body)
            assert (answer.status_code, answer.json()["code"], answer.json()["title"]) == (
                409,
                "agent_not_published",
                "Publish the agent before talking to it",
            )

        await refused("/conversations", {"agent_id": agent["id"]})
        await owner.made(f"/agents/{agent['id']}/publish", None)
        conversation = await site.conversation(owner, agent["id"])
        await owner("DELETE", f"/agents/{agent['id']}")
        await refused("/conversations", {"agent_id": agent["id"]})
        await refused(f"/conversations/{conversation}/messages", {"content": "Hello?"})
        assert len((await owner("GET", "/conversations")).json()["items"]) == 1
        missing = await owner("POST", "/conversations", {"agent_id": str(new_id())})
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")

    @pytest.mark.parametrize(
        ("body", "field", "code"),
        [
            ({}, "content", "missing"),
            ({"content": " "}, "content", "empty"),
            ({"content": "x" * 8_001}, "content", "too_long"),
            ({"content": 5}, "content", "invalid"),
            ({"content": "x", "client_message_id": ""}, "client_message_id", "invalid"),
            ({"content": "x", "surprise": 1}, "surprise", "unknown"),
        ],
    )
    async def test_bodies_that_are_no_message(self, site: Site, body: Any, field: str, code: str) -> None:
        owner = await site.person()
        conversation = await site.conversation(owner, await site.agent(owner))
        answer = await owner("POST", f"/conversations/{conversation}/messages", body, accept=STREAM)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [(field, code)]

    @pytest.mark.parametrize("value", ["-1", "x", "1.5", "9" * 10, "²"])
    async def test_a_last_event_id_that_is_none(self, site: Site, value: str) -> None:
        shop = await site.shop()
        answer = await site.client.get(
            f"/api/v1/turns/{shop.turn_id}/events",
            headers=[(b"authorization", shop.owner.headers["authorization"].encode()), (b"last-event-id", value.encode())],
        )
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Last-Event-ID")

    async def test_what_is_not_there(self, site: Site) -> None:
        owner = await site.person()
        for method, path in (
            ("GET", f"/turns/{new_id()}"),
            ("GET", f"/turns/{new_id()}/events"),
            ("POST", f"/turns/{new_id()}/stop"),
            ("GET", f"/conversations/{new_id()}"),
            ("GET", f"/conversations/{new_id()}/messages"),
        ):
            answer = await owner(method, path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        answer = await owner("POST", f"/conversations/{new_id()}/messages", {"content": "Hello?"}, accept=STREAM)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    async def _free(self, site: Site) -> Shop:
        shop = await site.shop()
        apply_plan = await site.container.get(ApplyPlanHandler)
        await apply_plan(ApplyPlan(plan="free", requested_by=Principal.system(shop.owner.organization_id)))
        return shop


async def test_what_a_turn_cost_stands_once_with_the_tokens_of_its_answer(site: Site) -> None:
    shop = await site.shop()
    totals = {total["metric"]: total for total in (await shop.owner("GET", "/billing/usage")).json()["totals"]}
    assert (totals["tokens_in"]["cost"], totals["tokens_out"]["cost"] is None) == (None, False)
    described = (await site.client.get("/schema/openapi.json")).json()["paths"]
    for path in ("/api/v1/billing/usage", "/api/v1/billing/usage-events"):
        assert "stands" in described[path]["get"]["description"]


async def test_an_agent_answers_no_more_in_a_minute_than_the_plan_says(
    database_url: str, superuser_url: str, app_valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = site_settings(
        database_url,
        app_valkey.url,
        tmp_path,
        rate_limit_development_factor=1,
        rate_limit_sign_in_per_minute=1000,
        rate_limit_client_per_minute=1000,
    )
    async with open_site(settings, superuser_url, monkeypatch) as site:
        owner = await site.person(plan="free")
        stranger = await site.person(plan="free")
        path = f"/conversations/{await site.conversation(owner, await site.agent(owner))}/messages"
        answers = [await owner("POST", path, {"content": "How much?"}) for _ in range(12)]
        refused = next(answer for answer in answers if answer.status_code != 200)
        assert answers.index(refused) >= 10
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 6
        assert '"agent";q=10;w=60' in refused.headers["ratelimit-policy"]
        assert '"agent";r=0' in refused.headers["ratelimit"]
        assert (await quotas(owner))[1] == 0, "nothing is reserved"
        assert (await stranger("POST", path, {"content": "How much?"})).status_code == 404
        assert 'luneo_rate_limited_total{policy="agent"}' in (await site.client.get("/metrics")).text


async def test_a_sandbox_key_is_answered_by_the_local_model(site: Site) -> None:
    shop = await site.shop()
    key = await site.api_key(shop.owner, ["conversations:view", "conversations:reply"], sandbox=True)
    site.model.requests.clear()
    answer = await key("POST", f"/conversations/{shop.conversation_id}/messages", {"content": "Hello"})
    assert answer.status_code == 200
    assert [r.model for r in site.model.requests] == ["local"]


async def test_without_redis_turns_go_on_and_resume_from_what_was_stored(site: Site) -> None:
    shop = await site.shop()
    redis = await site.container.get(RedisConnection)
    redis._up.clear()  # as the breaker does when Redis is gone
    async with site.served() as served:
        caller = replace(shop.owner, client=served)
        async with asked(caller, shop.conversation_id) as reader:
            events = await reader.rest()
        assert [n for _, n, _ in events][-1] == "turn.completed"
        turn = reader.response.headers["luneo-turn"]
        assert await resumed(caller, turn) == events[-2:]
    redis._up.set()
