"""Servers for these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.redis_store.valkey import Valkey


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Return a server that these tests share and leave running."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def mortal_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """Return a server that the test may kill."""
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.kill()
