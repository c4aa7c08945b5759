"""One `luneo up` for the whole suite, and what its owner has there."""

import os
from collections.abc import Iterator

import pytest

from tests.contract.owner import Owner
from tests.faults.installation import ROOT
from tests.fixtures.running import luneo_up


@pytest.fixture(scope="session")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    """Somebody who may do everything in an organisation of their own, within limits that thousands of requests don't reach."""
    folder = tmp_path_factory.mktemp("contract")
    folder.chmod(0o755)  # the database runs as another user when started by root
    for parent in folder.parents[:2]:
        parent.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUNEO_")}
    settings = {**environment, "PYTHONPATH": str(ROOT), "LUNEO_RATE_LIMIT_DEVELOPMENT_FACTOR": "100000"}
    with luneo_up(folder / "home", settings, folder=ROOT) as demo, Owner.signed_in(demo) as signed_in:
        yield signed_in
