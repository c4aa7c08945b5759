"""One Luneo and one Chromium for the whole suite."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.house import House, running

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


# Two cores may be shared with other work: slow is not wrong.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """A running Luneo with its demo agent."""
    with tempfile.TemporaryDirectory(prefix="luneo-browser-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # Postgres runs as another user when started by root
        with running(Path(folder)) as started:
            yield started


@pytest.fixture(scope="session")
def demo(house: House) -> House:
    """The same, once its demo agent knows everything."""
    house.wait_until_learned()
    return house


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_FLAGS))
        yield browser
        browser.close()
