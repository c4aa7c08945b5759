"""Servers once for the whole suite, an installation per module."""

from collections.abc import Iterator

import pytest

from tests.faults.installation import Servers, running_servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Postgres and Valkey on free ports."""
    with running_servers() as running:
        yield running
