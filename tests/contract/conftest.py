"""One `luneo up` for the whole suite, and what its owner has there."""

import os
from collections.abc import Iterator

import pytest

from tests.contract.owner import Owner
from tests.faults.installation import ROOT
from tests.fixtures.running import luneo_up, open_folder


@pytest.fixture(scope="session")
def owner() -> Iterator[Owner]:
    """Somebody who may do everything in an organisation of their own, within limits that thousands of requests don't reach."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUNEO_")}
    settings = {**environment, "PYTHONPATH": str(ROOT), "LUNEO_RATE_LIMIT_DEVELOPMENT_FACTOR": "100000"}
    with (
        open_folder("contract") as folder,
        luneo_up(folder / "home", settings, folder=ROOT) as demo,
        Owner.signed_in(demo) as signed_in,
    ):
        yield signed_in
