import pytest

from domains.conversational_ai.ports.passage_index import PassageIndex
from tests.fakes.passage_index import InMemoryPassageIndex
from tests.port_contracts.passage_index import DIMENSION, PassageIndexContract


class TestInMemoryPassageIndex(PassageIndexContract):
    @pytest.fixture
    async def index(self) -> PassageIndex:
        index = InMemoryPassageIndex(DIMENSION)
        await index.prepare()
        return index
