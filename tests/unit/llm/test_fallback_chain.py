import asyncio
from collections.abc import Sequence

import pytest

from adapters.llm.catalogue import ModelCatalogue
from adapters.llm.circuit_breaker import CircuitBreaker, CircuitState
from adapters.llm.fallback_chain import FallbackChain
from domains.conversational_ai.ports.generative_model import (
    AnswerBegun,
    AnswerDelta,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
    UnknownModel,
)
from tests.fakes.generative_model import Pause, ScriptedModel, Step
from tests.port_contracts.generative_model import answer_of, request_for


class Providers:
    """Two providers, `one` with the model `a` and `two` with `b`, behind a chain whose breakers open after two failures."""

    def __init__(self, one: Sequence[Sequence[Step]], two: Sequence[Sequence[Step]] = (["from b"],)) -> None:
        self.one, self.two = ScriptedModel(*one, models=("a",), name="one"), ScriptedModel(*two, models=("b",), name="two")
        self.seconds = 0.0
        self.fallbacks: list[tuple[str, str]] = []
        self.breakers: dict[str, CircuitBreaker] = {}
        self.chain = FallbackChain(
            ModelCatalogue([self.one, self.two]),
            breaker=self._breaker,
            on_fallback=lambda asked, tried: self.fallbacks.append((asked, tried)),
        )

    def _breaker(self, name: str) -> CircuitBreaker:
        return self.breakers.setdefault(name, CircuitBreaker(failures=2, window=60, pause=10, now=lambda: self.seconds))

    async def ask(self, model: str = "a", *fallbacks: str) -> str:
        pieces, finished = await answer_of(self.chain, request_for(model, fallbacks=fallbacks))
        return f"{finished.model} of {finished.provider}: {''.join(pieces)}"


async def test_the_next_model_answers_when_the_first_does_not() -> None:
    providers = Providers([[ModelUnavailable()]])
    assert await providers.ask("a", "b") == "b of two: from b"
    assert providers.fallbacks == [("a", "b")]
    [request] = providers.one.requests
    assert request.fallbacks == ("b",), "who is asked knows that there is somebody else"
    assert providers.two.requests[0].fallbacks == ()


async def test_a_model_that_answers_is_the_only_one_asked() -> None:
    providers = Providers([["from a"]])
    assert await providers.ask("a", "b") == "a of one: from a"
    assert (providers.two.requests, providers.fallbacks) == ([], [])


@pytest.mark.parametrize("error", [ModelRefused(), UnknownModel()])
async def test_a_refusal_falls_back_too_and_does_not_count_against_the_provider(error: ModelError) -> None:
    providers = Providers([[error]])
    for _ in range(5):
        assert await providers.ask("a", "b") == "b of two: from b"
    assert len(providers.one.requests) == 5
    assert providers.breakers["one"].state is CircuitState.CLOSED


async def test_what_was_said_is_never_taken_over_by_another_model() -> None:
    providers = Providers([["Nine ", ModelUnavailable("cut")]])
    answer = providers.chain.stream(request_for("a", fallbacks=("b",)))
    assert [await anext(answer), await anext(answer)] == [AnswerBegun("a", "one"), AnswerDelta("Nine ")]
    with pytest.raises(ModelUnavailable, match="cut"):
        await anext(answer)
    assert providers.two.requests == []


async def test_a_model_that_nobody_has_any_more_is_passed_over() -> None:
    providers = Providers([["from a"]])
    assert await providers.ask("gone", "b") == "b of two: from b"
    with pytest.raises(UnknownModel, match="gone"):
        await providers.ask("gone", "gone too")


async def test_when_nobody_answers_the_error_that_may_pass_is_told() -> None:
    with pytest.raises(ModelRateLimited):
        await Providers([[ModelRefused()]], [[ModelRateLimited()]]).ask("a", "b")
    with pytest.raises(ModelRefused):
        await Providers([[ModelRefused()]], [[UnknownModel()]]).ask("a", "b")


async def test_a_provider_that_failed_too_often_is_left_alone_then_probed_once() -> None:
    probe = Pause()
    providers = Providers([[ModelUnavailable()], [ModelUnavailable()], [probe, "back"], ["from a"]])
    for _ in range(5):
        assert await providers.ask("a", "b") == "b of two: from b"
    assert len(providers.one.requests) == 2
    with pytest.raises(ModelUnavailable, match="one failed too often") as refused:
        await providers.ask("a")
    assert refused.value.extra["retry_after"] == 10
    providers.seconds = 10.0
    probing = asyncio.create_task(providers.ask("a", "b"))
    await probe.reached.wait()
    assert await providers.ask("a", "b") == "b of two: from b", "nobody but the probe is let through"
    probe.go_on.set()
    assert await probing == "a of one: back"
    assert await providers.ask("a", "b") == "a of one: from a"


async def test_a_probe_whose_visitor_leaves_lets_the_next_one_find_out() -> None:
    probe = Pause()
    providers = Providers([[ModelUnavailable()], [ModelUnavailable()], [probe], ["from a"]])
    for _ in range(2):
        await providers.ask("a", "b")
    providers.seconds = 10.0
    probing = asyncio.create_task(providers.ask("a"))
    await probe.reached.wait()
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing
    assert await providers.ask("a") == "a of one: from a"


async def test_an_answer_that_breaks_off_counts_against_the_provider() -> None:
    providers = Providers([["Nine ", ModelUnavailable()]])
    for _ in range(4):
        with pytest.raises(ModelUnavailable):
            await providers.ask("a")
    assert len(providers.one.requests) == 2
