"""The models of this installation, by name."""

from collections.abc import AsyncGenerator, Iterable
from typing import Protocol, Self

from domains.conversational_ai.ports.generative_model import (
    AnswerBegun,
    AnswerDelta,
    AnswerFinished,
    GenerativeModel,
    ModelRequest,
    TokenPrice,
    UnknownModel,
)


class ModelProvider(GenerativeModel, Protocol):
    """A generative model that knows which names it answers to."""

    @property
    def name(self) -> str:
        """The provider's own name, the same for all of its models."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that it serves."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


class ModelCatalogue:
    """Routes each request to the provider that has the model; is a `GenerativeModel` itself, so one port serves them all.

    Raises `ValueError` when two providers claim the same name, and from every method `UnknownModel` for a name that nobody has.
    """

    def __init__(self, providers: Iterable[ModelProvider]) -> None:
        self._providers = tuple(providers)
        self._by_model: dict[str, ModelProvider] = {}
        for provider in self._providers:
            for model in provider.models:
                if model in self._by_model:
                    raise ValueError(f"two providers are configured with the model {model!r}")
                self._by_model[model] = provider

    @property
    def models(self) -> tuple[str, ...]:
        """Names of all models, in the order of configuration."""
        return tuple(self._by_model)

    @property
    def providers(self) -> tuple[ModelProvider, ...]:
        """All providers, in the order of configuration."""
        return self._providers

    def stream(self, request: ModelRequest) -> AsyncGenerator[AnswerBegun | AnswerDelta | AnswerFinished]:
        """Stream the answer of the provider that has `request.model`. Raises `UnknownModel` at once, before the first event."""
        return self.provider(request.model).stream(request)

    def price(self, model: str) -> TokenPrice:
        """Return what tokens of `model` cost."""
        return self.provider(model).price(model)

    def provider(self, model: str) -> ModelProvider:
        """Return who has `model`. Raises `UnknownModel`."""
        try:
            return self._by_model[model]
        except KeyError:
            known = ", ".join(self._by_model)
            raise UnknownModel(f"there is no model {model!r}; the configured ones are {known}") from None

    async def aclose(self) -> None:
        """Close every provider."""
        for provider in self._providers:
            await provider.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()
