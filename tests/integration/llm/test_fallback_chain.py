"""The chain over providers on the wire: llmock that fails as it is told, and an upstream of raw bytes."""

import asyncio
import time

from adapters.llm.catalogue import ModelCatalogue
from adapters.llm.circuit_breaker import CircuitBreaker, RetryBudget
from adapters.llm.fallback_chain import FallbackChain
from adapters.llm.openai_compatible import OpenAICompatibleModel
from adapters.llm.tokens import Utf8Tokenizer
from domains.conversational_ai.ports.generative_model import TokenPrice
from tests.integration.llm.llmock_server import LlmockServer
from tests.integration.llm.raw_upstream import DONE, END, HEAD, RawUpstream, chunked, event, raw_upstream
from tests.port_contracts.generative_model import answer_of, request_for

WHOLE = [HEAD, chunked(event("From the second.", finish="stop"), event(usage=(7, 2)), DONE), END]
SILENCE = 0.5


def first(base_url: str, *, retries: int = 2, budget: RetryBudget | None = None) -> OpenAICompatibleModel:
    return OpenAICompatibleModel(
        name="first",
        base_url=base_url,
        api_key="k",
        prices={"gpt-4o-mini": TokenPrice("USD", 150_000, 600_000)},
        tokenizer=Utf8Tokenizer(),
        idle_timeout=SILENCE,
        total_timeout=5.0,
        max_retries=retries,
        retry_budget=budget,
    )


def second(upstream: RawUpstream) -> OpenAICompatibleModel:
    return OpenAICompatibleModel(
        name="second",
        base_url=upstream.base_url,
        api_key="k",
        prices={"mini-elsewhere": TokenPrice("EUR", 1, 1)},
        provider_names={"mini-elsewhere": "gpt-4o-mini"},
        tokenizer=Utf8Tokenizer(),
    )


async def test_another_provider_answers_under_its_own_name_and_the_first_is_soon_left_alone(llmock_server: LlmockServer) -> None:
    llmock_server.script({"type": "fail", "status": 503, "retry_after": 0.01, "times": None})
    async with raw_upstream(WHOLE) as upstream, ModelCatalogue([first(llmock_server.base_url), second(upstream)]) as catalogue:
        chain = FallbackChain(catalogue, breaker=lambda _: CircuitBreaker(failures=2))
        for _ in range(4):
            pieces, finished = await answer_of(chain, request_for("gpt-4o-mini", fallbacks=("mini-elsewhere",)))
            assert ("".join(pieces), finished.model, finished.provider) == ("From the second.", "mini-elsewhere", "second")
        assert {body["model"] for body in upstream.bodies} == {"gpt-4o-mini"}, "the second calls it so too"
    assert len(llmock_server.requests()) == 2 * 3, "two questions with their repetitions, then none"


async def test_nobody_waits_for_a_silent_provider_twice_while_there_is_another() -> None:
    never = asyncio.Event()
    async with raw_upstream([never]) as silent, raw_upstream(WHOLE) as upstream:
        async with ModelCatalogue([first(silent.base_url), second(upstream)]) as catalogue:
            started = time.monotonic()
            _, finished = await answer_of(FallbackChain(catalogue), request_for("gpt-4o-mini", fallbacks=("mini-elsewhere",)))
            assert finished.provider == "second"
            assert time.monotonic() - started < 2 * SILENCE
        assert len(silent.bodies) == 1


async def test_a_stream_cut_before_its_first_text_falls_back(llmock_server: LlmockServer) -> None:
    reply = {"type": "reply", "text": "never seen", "times": None}
    llmock_server.script(reply, {"type": "stream_fault", "kind": "disconnect", "after_chunks": 0, "times": None})
    async with raw_upstream(WHOLE) as upstream, ModelCatalogue([first(llmock_server.base_url, retries=0), second(upstream)]) as catalogue:
        pieces, _ = await answer_of(FallbackChain(catalogue), request_for("gpt-4o-mini", fallbacks=("mini-elsewhere",)))
        assert pieces == ["From the second."]


async def test_repetitions_end_with_their_budget(llmock_server: LlmockServer) -> None:
    llmock_server.script({"type": "fail", "status": 503, "retry_after": 0.01, "times": None})
    budget = RetryBudget(0.0, now=lambda: 0.0)
    async with (
        raw_upstream(WHOLE) as upstream,
        ModelCatalogue([first(llmock_server.base_url, budget=budget), second(upstream)]) as catalogue,
    ):
        chain = FallbackChain(catalogue, breaker=lambda _: CircuitBreaker(failures=1_000))
        for _ in range(20):
            await answer_of(chain, request_for("gpt-4o-mini", fallbacks=("mini-elsewhere",)))
    assert len(llmock_server.requests()) == 20 + 10
