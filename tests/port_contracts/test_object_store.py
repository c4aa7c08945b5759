import pytest

from domains.conversational_ai.ports.object_store import ObjectStore
from tests.fakes.object_store import InMemoryObjectStore
from tests.port_contracts.object_store import ObjectStoreContract


class TestInMemoryObjectStore(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return InMemoryObjectStore()
