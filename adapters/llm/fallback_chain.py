"""The models of a request in order: the next one is asked when the one before does not answer."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from adapters.llm.catalogue import ModelCatalogue
from adapters.llm.circuit_breaker import CircuitBreaker, CircuitState
from domains.conversational_ai.ports.generative_model import (
    AnswerBegun,
    AnswerDelta,
    AnswerFinished,
    ModelError,
    ModelRequest,
    ModelUnavailable,
    TokenPrice,
)


class FallbackChain:
    """Asks `request.model`, then each of `request.fallbacks`, while nothing was said; is a `GenerativeModel` itself.

    Once a model has said something it is the one that answers: when it breaks off, the answer is broken. Every provider has a circuit
    breaker, made by `breaker` from its name; one that is open is passed over. What may pass (`retryable`) counts against a provider; a
    refusal does not, since any customer's request can cause one. `on_fallback` hears the asked model and the one that is tried instead.
    """

    def __init__(
        self,
        catalogue: ModelCatalogue,
        *,
        breaker: Callable[[str], CircuitBreaker] = lambda _: CircuitBreaker(),
        on_fallback: Callable[[str, str], object] = lambda _asked, _tried: None,
    ) -> None:
        self._catalogue = catalogue
        self._breakers = {provider.name: breaker(provider.name) for provider in catalogue.providers}
        self._on_fallback = on_fallback

    @property
    def models(self) -> tuple[str, ...]:
        """Names of all models."""
        return self._catalogue.models

    def price(self, model: str) -> TokenPrice:
        """Return what tokens of `model` cost. Raises `UnknownModel`."""
        return self._catalogue.price(model)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[AnswerBegun | AnswerDelta | AnswerFinished]:
        """Say who answers, then the answer.

        When nobody answers, raises the first error that may pass, else the first one: `UnknownModel` for a name that nobody has.
        """
        names = (request.model, *request.fallbacks)
        errors: list[ModelError] = []
        for place, name in enumerate(names):
            begun = False
            if errors:
                self._on_fallback(request.model, name)
            try:
                async with aclosing(self._ask(replace(request, model=name, fallbacks=names[place + 1 :]))) as answer:
                    async for event in answer:
                        begun = True
                        yield event
            except ModelError as error:
                if begun:
                    raise
                errors.append(error)
            else:
                return
        raise next((error for error in errors if error.retryable), errors[0])

    async def _ask(self, request: ModelRequest) -> AsyncGenerator[AnswerBegun | AnswerDelta | AnswerFinished]:
        """Ask one model, telling its provider's breaker how it went."""
        provider = self._catalogue.provider(request.model)
        breaker = self._breakers[provider.name]
        if not breaker.admits():
            detail = f"the provider {provider.name} failed too often and is left alone for a moment"
            raise ModelUnavailable(detail, retry_after=breaker.seconds_left)
        begun, probe = False, breaker.state is CircuitState.HALF_OPEN
        try:
            async with aclosing(provider.stream(request)) as answer:
                async for event in answer:
                    if not begun:
                        begun = True
                        breaker.succeeded()
                        yield AnswerBegun(request.model, provider.name)
                    yield event
        except ModelError as error:
            if error.retryable:
                breaker.failed()
            elif not begun:
                breaker.succeeded()  # who refuses is there
            raise
        except BaseException:
            if probe:
                breaker.given_up()
            raise
