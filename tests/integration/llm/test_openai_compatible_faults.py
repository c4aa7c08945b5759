"""The OpenAI-compatible model when llmock, a provider's stand-in, fails in each of its ways."""

import time
from typing import Any

import pytest

from adapters.llm.openai_compatible import OpenAICompatibleModel
from adapters.llm.tokens import Utf8Tokenizer
from domains.conversational_ai.ports.generative_model import (
    AnswerDelta,
    AnswerFinished,
    FinishReason,
    ModelAnsweredNonsense,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelTimedOut,
    ModelUnavailable,
    TokenPrice,
)
from tests.integration.llm.llmock_server import LlmockServer
from tests.port_contracts.generative_model import request_for

REPLY = {"type": "reply", "text": "Refunds are paid within five working days, to the card that was used. [1]", "times": None}


def model_at(server: LlmockServer, **settings: Any) -> OpenAICompatibleModel:
    """Return a model that talks to `server`, with short time-outs."""
    defaults: dict[str, Any] = {"idle_timeout": 1.0, "total_timeout": 5.0, "max_retries": 2, "longest_retry_after": 1.0}
    prices = {"gpt-4o-mini": TokenPrice("USD", 150_000, 600_000)}
    return OpenAICompatibleModel(
        name="llmock", base_url=server.base_url, api_key="k", prices=prices, tokenizer=Utf8Tokenizer(), **(defaults | settings)
    )


async def outcome(model: OpenAICompatibleModel) -> tuple[str, AnswerFinished | ModelError]:
    """Return the text that was yielded, and how it ended."""
    said = ""
    end: AnswerFinished | ModelError | None = None
    try:
        async for event in model.stream(request_for("gpt-4o-mini")):
            assert end is None
            if isinstance(event, AnswerDelta):
                said += event.text
            else:
                end = event
    except ModelError as error:
        assert end is None
        end = error
    assert end is not None
    return said, end


async def test_a_whole_answer_has_the_providers_own_token_counts(llmock_server: LlmockServer) -> None:
    llmock_server.script(REPLY)
    async with model_at(llmock_server) as model:
        said, end = await outcome(model)
    assert said == REPLY["text"]
    assert isinstance(end, AnswerFinished)
    assert end.finish_reason is FinishReason.STOP
    assert not end.estimated
    assert end.tokens_in > 10


@pytest.mark.parametrize("status", [429, 500, 503, 529])
async def test_a_passing_refusal_is_tried_again(llmock_server: LlmockServer, status: int) -> None:
    llmock_server.script({"type": "fail", "status": status, "retry_after": 0.05, "times": 2}, REPLY)
    async with model_at(llmock_server) as model:
        said, end = await outcome(model)
    assert said == REPLY["text"]
    assert isinstance(end, AnswerFinished)
    assert len(llmock_server.requests()) == 3


@pytest.mark.parametrize(("status", "error"), [(429, ModelRateLimited), (503, ModelUnavailable)])
async def test_a_lasting_refusal_ends_after_the_tries(llmock_server: LlmockServer, status: int, error: type[ModelError]) -> None:
    llmock_server.script({"type": "fail", "status": status, "retry_after": 0.02, "times": None})
    async with model_at(llmock_server) as model:
        said, end = await outcome(model)
    assert said == ""
    assert type(end) is error
    assert error.retryable
    assert len(llmock_server.requests()) == 3


async def test_retry_after_is_waited_for(llmock_server: LlmockServer) -> None:
    llmock_server.script({"type": "fail", "status": 429, "retry_after": 0.6, "times": 1}, REPLY)
    started = time.monotonic()
    async with model_at(llmock_server) as model:
        _, end = await outcome(model)
    assert isinstance(end, AnswerFinished)
    assert time.monotonic() - started >= 0.6


async def test_a_retry_after_that_is_too_long_is_passed_on_at_once(llmock_server: LlmockServer) -> None:
    llmock_server.script({"type": "fail", "status": 429, "retry_after": 60, "times": None})
    async with model_at(llmock_server) as model:
        _, end = await outcome(model)
    assert isinstance(end, ModelRateLimited)
    assert end.retry_after == 60
    assert len(llmock_server.requests()) == 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
async def test_a_refusal_that_will_not_pass_is_not_tried_again(llmock_server: LlmockServer, status: int) -> None:
    llmock_server.script({"type": "fail", "status": status, "times": None})
    async with model_at(llmock_server) as model:
        _, end = await outcome(model)
    assert isinstance(end, ModelRefused)
    assert not end.retryable
    assert len(llmock_server.requests()) == 1


@pytest.mark.parametrize(
    ("kind", "error"),
    [("truncate", ModelAnsweredNonsense), ("malformed", ModelAnsweredNonsense), ("disconnect", ModelUnavailable), ("stall", ModelTimedOut)],
)
async def test_a_stream_that_breaks_is_never_a_whole_answer(llmock_server: LlmockServer, kind: str, error: type[ModelError]) -> None:
    llmock_server.script(REPLY, {"type": "stream_fault", "kind": kind, "after_chunks": 4, "stall_seconds": 8, "times": None})
    async with model_at(llmock_server, idle_timeout=0.4) as model:
        said, end = await outcome(model)
    assert type(end) is error
    assert str(REPLY["text"]).startswith(said), "what a visitor has read is not said twice"
    assert said != REPLY["text"]


@pytest.mark.parametrize("kind", ["truncate", "malformed", "disconnect"])
async def test_a_stream_that_breaks_before_any_text_is_tried_again(llmock_server: LlmockServer, kind: str) -> None:
    llmock_server.script(REPLY, {"type": "stream_fault", "kind": kind, "after_chunks": 0, "times": 1})
    async with model_at(llmock_server) as model:
        said, end = await outcome(model)
    assert said == REPLY["text"]
    assert isinstance(end, AnswerFinished)
    assert len(llmock_server.requests()) == 2


async def test_a_provider_that_says_nothing_times_out(llmock_server: LlmockServer) -> None:
    llmock_server.script({"type": "delay", "seconds": 8, "times": None})
    async with model_at(llmock_server, idle_timeout=0.3, max_retries=1) as model:
        _, end = await outcome(model)
    assert isinstance(end, ModelTimedOut)


async def test_all_tries_together_stay_within_the_total_time(llmock_server: LlmockServer) -> None:
    llmock_server.script({"type": "delay", "seconds": 8, "times": None})
    started = time.monotonic()
    async with model_at(llmock_server, idle_timeout=5.0, total_timeout=0.5, max_retries=5) as model:
        _, end = await outcome(model)
    assert isinstance(end, ModelTimedOut)
    assert time.monotonic() - started < 3


async def test_a_slow_provider_is_waited_for(llmock_server: LlmockServer) -> None:
    llmock_server.script(REPLY, {"type": "slow_first_token", "seconds": 0.4})
    async with model_at(llmock_server) as model:
        said, end = await outcome(model)
    assert said == REPLY["text"]
    assert isinstance(end, AnswerFinished)


async def test_an_answer_cut_at_the_limit_says_so(llmock_server: LlmockServer) -> None:
    llmock_server.script(REPLY | {"finish_reason": "length"})
    async with model_at(llmock_server) as model:
        _, end = await outcome(model)
    assert isinstance(end, AnswerFinished)
    assert end.finish_reason is FinishReason.LENGTH


async def test_an_empty_answer_is_none(llmock_server: LlmockServer) -> None:
    llmock_server.script(REPLY | {"text": ""})
    async with model_at(llmock_server, max_retries=0) as model:
        _, end = await outcome(model)
    assert isinstance(end, ModelAnsweredNonsense)


async def test_a_closed_port_is_unavailable() -> None:
    async with model_at(LlmockServer(), max_retries=1) as model:
        _, end = await outcome(model)
    assert isinstance(end, ModelUnavailable)


async def test_the_total_time_ends_an_answer_that_dribbles_on(llmock_server: LlmockServer) -> None:
    llmock_server.script(REPLY, {"type": "stream_fault", "kind": "stall", "after_chunks": 4, "stall_seconds": 8, "times": None})
    started = time.monotonic()
    async with model_at(llmock_server, idle_timeout=6.0, total_timeout=0.5) as model:
        said, end = await outcome(model)
    assert isinstance(end, ModelTimedOut)
    assert said != REPLY["text"]
    assert time.monotonic() - started < 3
