"""Many at once: a quota of one, a busy conversation, one key ten times, and a visitor who leaves."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.faults import books
from tests.faults.installation import QUESTION, Installation, LuneoProcess, Servers, installation
from tests.faults.visitor import Visitor

CROWD = 50
TIMES = 10


@pytest.fixture(scope="module")
def luneo(servers: Servers) -> Iterator[Installation]:
    with installation(servers) as made:
        made.start_background()
        books.until_delivered(made)
        yield made
        books.check(made)


@pytest.fixture(scope="module")
def api(luneo: Installation) -> LuneoProcess:
    return luneo.start_api()


async def test_of_fifty_turns_at_once_the_last_one_of_the_quota_is_answered(luneo: Installation, api: LuneoProcess) -> None:
    ((taken,),) = luneo.rows("select taken from billing.quota_counters where metric = 'messages_ai'")
    assert isinstance(taken, int)
    luneo.rows("update billing.quota_counters set limit_value = %(n)s, ceiling = %(n)s where metric = 'messages_ai'", {"n": taken + 1})
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        conversations = await asyncio.gather(*(visitor.converse() for _ in range(CROWD)))
        answers = await asyncio.gather(*(visitor.ask(conversation, QUESTION) for conversation in conversations))
    luneo.rows("update billing.quota_counters set limit_value = null, ceiling = null where metric = 'messages_ai'")
    assert Counter(answer.status_code for answer in answers) == {200: 1, 402: CROWD - 1}
    for answer in answers:
        if answer.status_code == 402:
            problem = answer.json()
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert (problem["code"], problem["metric"], problem["limit"]) == ("quota_exceeded", "messages_ai", taken + 1)
            assert problem["resets_at"].endswith("Z")
    books.until_settled(luneo)
    assert luneo.rows("select taken from billing.quota_counters where metric = 'messages_ai'") == [(taken + 1,)]


async def test_two_messages_at_once_in_one_conversation(luneo: Installation, api: LuneoProcess) -> None:
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        conversation = await visitor.converse()
        api.plan.make("hold", "generate.first_words")
        asked = [asyncio.ensure_future(visitor.ask(conversation, f"{QUESTION} ({i})")) for i in range(2)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        api.plan.forget()
        assert [(each.result().status_code, each.result().json()["code"]) for each in done] == [(409, "turn_in_progress")]
        answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_the_same_key_ten_times_at_once_is_one_turn(luneo: Installation, api: LuneoProcess) -> None:
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        conversation = await visitor.converse()
        key = {"Idempotency-Key": f"turn-{conversation}"}
        api.plan.make("hold", "generate.first_words")
        asked = [asyncio.ensure_future(visitor.ask(conversation, QUESTION, **key)) for _ in range(TIMES)]
        async with asyncio.timeout(20):
            for answered in itertools.islice(asyncio.as_completed(asked), TIMES - 1):
                await answered
        api.plan.forget()
        answers = await asyncio.gather(*asked)
        refused = [answer.json()["code"] for answer in answers if answer.status_code == 409]
        assert refused == ["idempotency_in_progress"] * (TIMES - 1)
        (first,) = (answer for answer in answers if answer.status_code == 200)
        again = await visitor.ask(conversation, QUESTION, **key)
        assert (again.status_code, again.headers["idempotent-replayed"], again.json()) == (200, "true", first.json())
        replayed = await visitor.listen(conversation, QUESTION, **key)
        assert replayed.turn_id == first.json()["turn_id"]
        assert replayed.ended
        other = await visitor.ask(conversation, "Something else", **key)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert luneo.rows("select count(*) from conversational_ai.turns where conversation_id = %s", (conversation,)) == [(1,)]


async def test_the_same_key_ten_times_at_once_is_one_agent(luneo: Installation, api: LuneoProcess) -> None:
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        answers = await asyncio.gather(
            *(visitor.client.post("/agents", json={"name": "Only one"}, headers={"Idempotency-Key": "one-agent"}) for _ in range(TIMES))
        )
        again = await visitor.client.post("/agents", json={"name": "Only one"}, headers={"Idempotency-Key": "one-agent"})
    made = [answer for answer in answers if answer.status_code == 201]
    assert made
    assert all(answer.json() == made[0].json() for answer in (*made, again))
    assert sum("idempotent-replayed" not in answer.headers for answer in made) == 1
    assert again.headers["idempotent-replayed"] == "true"
    assert {answer.json()["code"] for answer in answers if answer.status_code != 201} <= {"idempotency_in_progress"}
    assert luneo.rows("select count(*) from conversational_ai.agents where name = 'Only one'") == [(1,)]
    taken = "select count(*) from billing.usage_events where metric = 'agents' and cause_id = %s"
    assert luneo.rows(taken, (made[0].json()["id"],)) == [(1,)]


async def test_a_visitor_who_leaves_after_the_first_words_is_answered_and_billed(luneo: Installation, api: LuneoProcess) -> None:
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        conversation = await visitor.converse()
        api.plan.make("hold", "generate.first_words")
        async with visitor.asking(conversation, QUESTION) as (stream, events):
            async for event in events:
                if event.name == "answer.delta":
                    break
        api.plan.forget()
        rest = await visitor.resume(stream.turn_id, stream.last_id)
        assert rest.names[-2:] == ["answer.completed", "turn.completed"]
        assert [e.sequence for e in (*stream.events, *rest.events)] == list(range(1, rest.last_id + 1))
        turn = await visitor.turn(stream.turn_id)
    assert turn["status"] == "completed"
    assert turn["message"]["content"] == stream.text + rest.text
    metered = "select count(*) from billing.usage_events where metric = 'messages_ai' and cause_id = %s"
    assert luneo.rows(metered, (stream.turn_id,)) == [(1,)]
