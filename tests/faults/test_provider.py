"""The provider refuses, says nothing, is slow, breaks off or talks nonsense: the visitor is told so, and only what was said is metered."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults import books
from tests.faults.installation import Installation, LuneoProcess, Servers, installation
from tests.faults.visitor import Visitor
from tests.integration.llm.llmock_server import LlmockServer
from tests.integration.llm.raw_upstream import DONE, HEAD, chunked, event, raw_upstream

MODEL = "gpt-4o-mini"
REPLY = {"type": "reply", "text": "Refunds are paid within five working days, to the card that was used.", "times": None}
MODELS = json.dumps([{"name": MODEL, "price_in": 0.15, "price_out": 0.60, "currency": "USD"}])
SETTINGS = {
    "openai_models": MODELS,
    "model_idle_seconds": "0.8",
    "model_total_seconds": "4",
    "model_retries": "1",
    "model_retry_share": "1",
    "model_circuit_failures": "1000",  # each fault is looked at for itself
}


@pytest.fixture(scope="module")
def provider() -> Iterator[LlmockServer]:
    with LlmockServer() as server:
        yield server


@dataclass
class Site:
    luneo: Installation
    api: LuneoProcess
    agent_id: str


@pytest.fixture(scope="module")
def luneo(servers: Servers) -> Iterator[Installation]:
    with installation(servers) as made:
        made.start_background()
        yield made
        books.check(made)


@pytest.fixture(scope="module")
def api(luneo: Installation, provider: LlmockServer) -> LuneoProcess:
    return luneo.start_api(openai_base_url=provider.base_url, **SETTINGS)


async def agent_of(visitor: Visitor) -> None:
    """Make and publish an agent that asks the provider."""
    made = await visitor.client.post(
        "/agents", json={"name": "Asks the provider", "model": MODEL}, headers={"Idempotency-Key": "provider-agent"}
    )
    assert made.status_code == 201, made.text
    visitor.agent_id = made.json()["id"]
    published = await visitor.client.post(f"/agents/{visitor.agent_id}/publish", headers={"Idempotency-Key": "provider-publish"})
    assert published.status_code == 200, published.text


@pytest.fixture
async def visitor(luneo: Installation, api: LuneoProcess) -> AsyncIterator[Visitor]:
    async with Visitor.at(api.base_url, luneo.demo.api_key, "") as visitor:
        await agent_of(visitor)
        yield visitor


@pytest.mark.parametrize(
    "behaviour",
    [
        {"type": "fail", "status": 429, "retry_after": 0.05, "times": 1},
        {"type": "fail", "status": 503, "times": 1},
        {"type": "slow_first_token", "seconds": 0.5},
        {"type": "stream_fault", "kind": "malformed", "after_chunks": 0, "times": 1},
    ],
    ids=["429 once", "503 once", "slow", "nonsense once"],
)
async def test_what_passes_is_waited_for(provider: LlmockServer, visitor: Visitor, behaviour: dict[str, Any]) -> None:
    provider.script(REPLY, behaviour)
    answer = await visitor.ask(await visitor.converse(), "When are refunds paid?")
    assert answer.status_code == 200, answer.text
    assert answer.json()["message"]["content"] == REPLY["text"]
    assert answer.json()["usage"]["estimated"] is False


@pytest.mark.parametrize(
    ("behaviour", "code", "retryable"),
    [
        ({"type": "fail", "status": 429, "times": None}, "model_rate_limited", True),
        ({"type": "fail", "status": 503, "times": None}, "model_unavailable", True),
        ({"type": "fail", "status": 401, "times": None}, "model_refused", False),
        ({"type": "delay", "seconds": 8, "times": None}, "model_timed_out", True),
        ({"type": "stream_fault", "kind": "malformed", "after_chunks": 0, "times": None}, "model_answered_nonsense", True),
        ({"type": "stream_fault", "kind": "disconnect", "after_chunks": 0, "times": None}, "model_unavailable", True),
    ],
    ids=["429", "503", "401", "silence", "nonsense", "hangs up"],
)
async def test_a_turn_without_an_answer_says_why_and_costs_nothing(
    luneo: Installation, provider: LlmockServer, visitor: Visitor, behaviour: dict[str, Any], code: str, *, retryable: bool
) -> None:
    provider.script(REPLY, behaviour)
    conversation = await visitor.converse()
    stream = await visitor.listen(conversation, "When are refunds paid?")
    assert stream.names[-1] == "turn.failed"
    assert "answer.delta" not in stream.names
    problem = stream.events[-1].data["problem"]
    assert (problem["code"], problem["retryable"]) == (code, retryable)
    turn = await visitor.turn(stream.turn_id)
    assert (turn["status"], turn["message"], turn["problem"]) == ("failed", None, problem)
    assert luneo.rows("select count(*) from billing.usage_events where cause_id = %s", (stream.turn_id,)) == [(0,)]
    assert luneo.rows("select state from billing.reservations where id = %s", (stream.turn_id,)) == [("released",)]

    whole = await visitor.ask(conversation, "When are refunds paid?")
    assert (whole.status_code, whole.json()["code"]) == (503, code)

    provider.script(REPLY)
    again = await visitor.ask(conversation, "When are refunds paid?")
    assert again.status_code == 200, "the conversation goes on once the provider is back"


@pytest.mark.parametrize(
    ("kind", "code"), [("truncate", "model_answered_nonsense"), ("malformed", "model_answered_nonsense"), ("stall", "model_timed_out")]
)
async def test_a_broken_answer_is_kept_as_incomplete_and_metered_as_estimated(
    luneo: Installation, provider: LlmockServer, visitor: Visitor, kind: str, code: str
) -> None:
    provider.script(REPLY, {"type": "stream_fault", "kind": kind, "after_chunks": 4, "stall_seconds": 6, "times": None})
    stream = await visitor.listen(await visitor.converse(), "When are refunds paid?")
    assert stream.names[-1] == "turn.failed"
    assert stream.text
    assert str(REPLY["text"]).startswith(stream.text)
    assert stream.events[-1].data["problem"]["code"] == code
    turn = await visitor.turn(stream.turn_id)
    assert turn["status"] == "failed"
    assert turn["message"]["content"] == stream.text == stream.events[-1].data["message"]["content"]
    assert turn["usage"]["estimated"] is True
    metered = "select metric, estimated from billing.usage_events where cause_id = %s and metric like 'tokens%%' order by metric"
    assert luneo.rows(metered, (stream.turn_id,)) == [("tokens_in", True), ("tokens_out", True)]
    complete = "select complete from conversational_ai.messages where turn_id = %s and role = 'assistant'"
    assert luneo.rows(complete, (stream.turn_id,)) == [(False,)]


async def test_an_answer_that_cannot_be_stored_as_it_came_still_ends_the_turn(luneo: Installation, visitor: Visitor) -> None:
    """A provider whose bytes are ours: an answer with NUL and half of a surrogate pair can neither be sent nor stored as it is."""
    delta = rb'{"content":"Nine\u0000 o\ud800clock"}'
    wild = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":' + delta + b',"finish_reason":null}]}\n\n'
    async with raw_upstream([HEAD, chunked(wild), chunked(event(finish="stop"), event(usage=(9, 3)), DONE), b"0\r\n\r\n"]) as upstream:
        api = luneo.start_api(openai_base_url=upstream.base_url, **SETTINGS)
        async with Visitor.at(api.base_url, luneo.demo.api_key, visitor.agent_id) as here:
            stream = await here.listen(await here.converse(), "When do you open?")
            turn = await here.turn(stream.turn_id)
    assert stream.ended
    assert turn["status"] in {"completed", "failed"}
    assert "\x00" not in stream.text
    running = "select count(*) from conversational_ai.turns where id = %s and state = 'running'"
    assert luneo.rows(running, (stream.turn_id,)) == [(0,)]
