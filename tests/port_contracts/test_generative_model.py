"""The contract of `GenerativeModel`, on the fake and on every real model."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

import pytest

from adapters.llm.catalogue import ModelCatalogue
from adapters.llm.fallback_chain import FallbackChain
from adapters.llm.local import LocalModel
from adapters.llm.openai_compatible import OpenAICompatibleModel
from adapters.llm.tokens import Utf8Tokenizer
from domains.conversational_ai.ports.generative_model import GenerativeModel, TokenPrice
from tests.fakes.generative_model import ScriptedModel
from tests.integration.llm.llmock_server import LlmockServer, llmock_server
from tests.port_contracts.generative_model import GenerativeModelContract

__all__ = ["llmock_server"]


def _remote(server: LlmockServer) -> OpenAICompatibleModel:
    prices = {"gpt-4o-mini": TokenPrice("USD", 150_000, 600_000)}
    return OpenAICompatibleModel(name="llmock", base_url=server.base_url, api_key="k", prices=prices, tokenizer=Utf8Tokenizer())


class TestScriptedModel(GenerativeModelContract):
    """The fake."""

    def model(self) -> AbstractAsyncContextManager[GenerativeModel]:
        return aclosing(ScriptedModel(["Within ", "five days."]))


class TestLocalModel(GenerativeModelContract):
    """The model that quotes passages."""

    known = "local"

    def model(self) -> AbstractAsyncContextManager[GenerativeModel]:
        return aclosing(LocalModel(tokenizer=Utf8Tokenizer()))


class TestOpenAICompatibleModel(GenerativeModelContract):
    """A provider over HTTP."""

    known = "gpt-4o-mini"
    server: LlmockServer

    @pytest.fixture(autouse=True)
    def _provider(self, llmock_server: LlmockServer) -> None:
        self.server = llmock_server

    def model(self) -> AbstractAsyncContextManager[GenerativeModel]:
        return aclosing(_remote(self.server))


class TestModelCatalogue(TestOpenAICompatibleModel):
    """Several of them behind one name each."""

    @asynccontextmanager
    async def _catalogue(self) -> AsyncIterator[GenerativeModel]:
        async with ModelCatalogue([LocalModel(tokenizer=Utf8Tokenizer()), _remote(self.server)]) as catalogue:
            yield catalogue

    def model(self) -> AbstractAsyncContextManager[GenerativeModel]:
        return self._catalogue()


class TestFallbackChain(TestOpenAICompatibleModel):
    """The catalogue with a breaker for each provider."""

    @asynccontextmanager
    async def _chain(self) -> AsyncIterator[GenerativeModel]:
        async with ModelCatalogue([LocalModel(tokenizer=Utf8Tokenizer()), _remote(self.server)]) as catalogue:
            yield FallbackChain(catalogue)

    def model(self) -> AbstractAsyncContextManager[GenerativeModel]:
        return self._chain()
