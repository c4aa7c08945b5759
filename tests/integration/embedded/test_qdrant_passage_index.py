import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from adapters.qdrant_index import QdrantPassageIndex
from domains.conversational_ai.model.term_weights import NO_TERMS
from domains.conversational_ai.ports.passage_index import PassageIndex
from shared_kernel.errors import Unavailable
from tests.integration.embedded.vector_process import API_KEY, VectorProcess, vector_process
from tests.port_contracts.passage_index import DIMENSION, PassageIndexContract, entry


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorProcess]:
    with vector_process(tmp_path_factory.mktemp("vectors")) as running:
        yield running


class TestQdrantPassageIndex(PassageIndexContract):
    @pytest.fixture
    async def index(self, server: VectorProcess) -> AsyncIterator[PassageIndex]:
        index = QdrantPassageIndex(server.url, API_KEY, collection=f"passages-{uuid4()}", dimension=DIMENSION)
        await index.prepare()
        yield index
        await index.close()


async def test_several_processes_may_prepare_at_once(server: VectorProcess) -> None:
    collection = f"passages-{uuid4()}"
    indexes = [QdrantPassageIndex(server.url, API_KEY, collection=collection, dimension=DIMENSION) for _ in range(5)]
    await asyncio.gather(*(index.prepare() for index in indexes))
    assert await indexes[0].count(uuid4()) == 0
    await asyncio.gather(*(index.close() for index in indexes))


async def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        index = QdrantPassageIndex(f"http://127.0.0.1:{taken.getsockname()[1]}", API_KEY, dimension=DIMENSION)
        with pytest.raises(Unavailable):
            await index.search(uuid4(), [uuid4()], [1, 0, 0, 0], NO_TERMS, 3)
        with pytest.raises(Unavailable):
            await index.prepare()
        await index.close()


async def test_a_server_that_says_nothing_is_unavailable_after_five_seconds() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        index = QdrantPassageIndex(f"http://127.0.0.1:{silent.getsockname()[1]}", API_KEY, dimension=DIMENSION)
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await index.count(uuid4())
        assert 4 < time.monotonic() - began < 8
        await index.close()


@pytest.mark.parametrize("key", ["another key", None])
async def test_a_wrong_key_is_unavailable(server: VectorProcess, key: str | None) -> None:
    index = QdrantPassageIndex(server.url, key, dimension=DIMENSION)
    with pytest.raises(Unavailable):
        await index.search(uuid4(), [uuid4()], [1, 0, 0, 0], NO_TERMS, 3)
    await index.close()


async def test_an_index_that_was_never_prepared_is_empty(server: VectorProcess) -> None:
    """The first turn of a new installation may come before its first source."""
    index = QdrantPassageIndex(server.url, API_KEY, collection="never-made", dimension=DIMENSION)
    assert await index.search(uuid4(), [uuid4()], [1, 0, 0, 0], NO_TERMS, 3) == []
    assert await index.count(uuid4()) == 0
    await index.remove_source(uuid4(), uuid4())
    await index.remove_knowledge_base(uuid4(), uuid4())
    await index.close()


async def test_it_goes_on_after_the_server_was_killed_and_started_again(tmp_path: Path) -> None:
    organization, base = uuid4(), uuid4()
    with vector_process(tmp_path) as first:
        index = QdrantPassageIndex(first.url, API_KEY, dimension=DIMENSION)
        await index.prepare()
        await index.upsert(organization, [entry([1, 0, 0, 0], base=base) for _ in range(50)])
        first.process.kill()
        first.process.wait()
        with pytest.raises(Unavailable):
            await index.count(organization)
        await index.close()
    with vector_process(tmp_path) as second:
        index = QdrantPassageIndex(second.url, API_KEY, dimension=DIMENSION)
        await index.prepare()
        assert await index.count(organization) == 50
        assert len(await index.search(organization, [base], [1, 0, 0, 0], NO_TERMS, 100)) == 50
        await index.close()


def test_making_one_imports_no_client_and_calls_nobody() -> None:
    program = (
        "import sys; from adapters.qdrant_index import QdrantPassageIndex as Index; Index('http://127.0.0.1:1', 'key'); "
        "sys.exit('qdrant_client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
