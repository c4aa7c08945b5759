"""Redis gone for ten seconds and back empty; Postgres restarted or killed in mid-turn."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.faults import books
from tests.faults.installation import QUESTION, Installation, LuneoProcess, Servers, installation, wait_until
from tests.faults.visitor import Stream, Visitor

GONE_SECONDS = 10.0
SIGN_INS_PER_MINUTE = 5


@pytest.fixture(scope="module")
def luneo(servers: Servers) -> Iterator[Installation]:
    # a heart that beats every 5 s may take as long again to find its way back to Postgres
    with installation(servers, rate_limit_development_factor="1", runner_silence_seconds="12") as made:
        yield made
        books.check(made)


@pytest.fixture(scope="module")
def background(luneo: Installation) -> LuneoProcess:
    background = luneo.start_background()
    books.until_delivered(luneo)
    return background


@pytest.fixture(scope="module")
def api(luneo: Installation, background: LuneoProcess) -> LuneoProcess:
    assert background.alive
    return luneo.start_api()


async def test_without_redis_turns_go_on_and_what_is_late_is_delivered_afterwards(
    luneo: Installation, servers: Servers, api: LuneoProcess, background: LuneoProcess
) -> None:
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        base = await visitor.add_base("Shelves")
        conversations = [await visitor.converse() for _ in range(4)]
        background.plan.make("hold", "upsert.before")
        api.plan.make("hold", "generate.first_words")
        begun = await visitor.add_source(base, "begun before", 20)
        listening = [asyncio.ensure_future(visitor.listen(conversation, QUESTION)) for conversation in conversations[:3]]
        await asyncio.to_thread(background.plan.until_reached)
        await asyncio.to_thread(api.plan.until_reached)

        servers.kill_valkey()
        gone_at = time.monotonic()
        try:
            background.plan.forget()
            api.plan.forget()
            for stream in await asyncio.gather(*listening):
                assert stream.names[-1] == "turn.completed"
                assert [event.sequence for event in stream.events] == list(range(1, stream.last_id + 1))
            during = await visitor.listen(conversations[3], QUESTION)
            assert during.names[-1] == "turn.completed"
            replayed = await visitor.resume(during.turn_id)
            assert replayed.names == ["answer.completed", "turn.completed"], "without the log, the stored answer is told"
            added = await visitor.add_source(base, "added without", 2)
            assert await _sign_ins(visitor) == [401] * SIGN_INS_PER_MINUTE + [429] * 2
            assert (await visitor.client.get(f"{api.base_url}/health/ready")).status_code == 200, "Redis only degrades"
            ready = "select status from conversational_ai.knowledge_sources where id = %s"
            await asyncio.to_thread(wait_until, lambda: luneo.rows(ready, (begun,)) == [("ready",)], 20, "indexing goes on without Redis")
            await asyncio.sleep(max(0.0, GONE_SECONDS - (time.monotonic() - gone_at)))  # the outage's length is the scenario
            assert luneo.rows(ready, (added,)) == [("pending",)]
        finally:
            await asyncio.to_thread(servers.valkey.start)
        await asyncio.to_thread(wait_until, lambda: luneo.rows(ready, (added,)) == [("ready",)], 30, "what was late is delivered")
        after = await visitor.listen(conversations[0], QUESTION)
        assert after.names[-1] == "turn.completed"
        assert 429 in await _sign_ins(visitor, times=SIGN_INS_PER_MINUTE + 1)
        await asyncio.to_thread(wait_until, lambda: background.alive and api.alive, 1, "nobody died of it")


async def _sign_ins(visitor: Visitor, times: int = SIGN_INS_PER_MINUTE + 2) -> list[int]:
    """Sign in with a wrong password, as somebody who has no account; return the statuses."""
    body = {"email": f"nobody-{time.monotonic_ns()}@example.com", "password": "not the password at all"}
    return [(await visitor.client.post("/auth/login", json=body)).status_code for _ in range(times)]


@pytest.mark.parametrize("how", ["restarted", "killed"])
async def test_an_answer_waits_for_postgres_and_nothing_new_begins(
    luneo: Installation, servers: Servers, api: LuneoProcess, background: LuneoProcess, how: str
) -> None:
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        conversation, other = await visitor.converse(), await visitor.converse()
        api.plan.make("hold", "settle.before")
        listening = asyncio.ensure_future(visitor.listen(conversation, QUESTION))
        await asyncio.to_thread(api.plan.until_reached)
        if how == "killed":
            process = servers.postgres.process
            assert process is not None
            process.kill()
            process.wait()
        else:
            await asyncio.to_thread(servers.postgres.stop)
        try:
            api.plan.forget()
            refused = await visitor.ask(other, QUESTION)
            assert refused.status_code == 503
            assert refused.headers["content-type"].startswith("application/problem+json")
            assert refused.json()["code"] == "service_unavailable"
            ready = await visitor.client.get(f"{api.base_url}/health/ready")
            assert ready.status_code == 503
            live = await visitor.client.get(f"{api.base_url}/health/live")
            assert live.status_code == 200
            assert not listening.done(), "the end is not told before it is written"
        finally:
            await asyncio.to_thread(servers.postgres.start)
        async with asyncio.timeout(20):
            stream: Stream = await listening
        assert stream.names[-1] == "turn.completed", stream.events[-1]
        turn = await visitor.turn(stream.turn_id)
        assert (turn["status"], turn["message"]["content"]) == ("completed", stream.text)
        assert (await visitor.ask(other, QUESTION)).status_code == 200
        base = await visitor.add_base(f"After Postgres was {how}")
        source = await visitor.add_source(base, how, 2)
        status = "select status from conversational_ai.knowledge_sources where id = %s"
        await asyncio.to_thread(wait_until, lambda: luneo.rows(status, (source,)) == [("ready",)], 40, "relay and worker are back")
    assert background.alive
    assert api.alive
