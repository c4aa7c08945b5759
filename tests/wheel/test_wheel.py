"""The built wheel, alone: installed with the locked packages into its own environment, far from the checkout, it is the whole product.

Asked for with `make test-wheel`; it needs the package registry.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.faults.installation import ROOT
from tests.fixtures.running import luneo_up, open_folder

LIMIT_SECONDS = 300
OURS = ("shared_kernel", "contracts", "domains", "adapters", "entrypoints")
INSTALL = ("-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--only-binary", ":all:")
SUITE = ("first_hour", "branches", "system")
"""What is run of tests/http: whole ways through the product, by the handlers of every context."""


class Apart:
    """An environment that has the wheel and knows nothing of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        kept = {name: value for name, value in os.environ.items() if name in {"HOME", "LANG", "TMPDIR"} or name.startswith("PIP_")}
        self.environment = {**kept, "PATH": f"{self.python.parent}:{os.environ['PATH']}"}

    @property
    def packages(self) -> Path:
        """Where its packages are."""
        (found,) = (self.folder / "venv" / "lib").glob("python*/site-packages")
        return found

    def run(self, *command: str, program: str | None = None) -> str:
        """Run a program of the environment, Python unless another is named, in the folder; return what it printed."""
        done = subprocess.run(
            [program or str(self.python), *command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    """The wheel, built from the checkout and installed."""
    with open_folder("wheel") as folder:
        yield _installed(Apart(folder))


def _installed(apart: Apart) -> Apart:
    folder = apart.folder
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=LIMIT_SECONDS)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, capture_output=True, timeout=LIMIT_SECONDS)
    (wheel,) = folder.glob("luneo-*.whl")
    apart.run(*INSTALL, "--require-hashes", "-r", str(ROOT / "requirements" / "runtime.txt"))
    apart.run(*INSTALL, "--no-deps", str(wheel))
    return apart


def test_it_is_not_the_checkout_that_is_imported(apart: Apart) -> None:
    places = apart.run("-c", f"import {', '.join(OURS)}\nfor m in ({', '.join(OURS)}): print(m.__file__)").splitlines()
    assert len(places) == len(OURS)
    assert all(Path(place).is_relative_to(apart.folder / "venv") for place in places), places


def test_the_locked_packages_are_all_that_it_needs(apart: Apart) -> None:
    assert "No broken requirements" in apart.run("-m", "pip", "--disable-pip-version-check", "check")


def test_it_starts_and_answers_from_its_own_knowledge_with_a_citation(apart: Apart) -> None:
    command = [str(apart.python.parent / "luneo")]
    with (
        luneo_up(apart.folder / "home", apart.environment, folder=apart.folder, command=command) as demo,
        httpx2.Client(base_url=demo.base_url, headers={"authorization": f"Bearer {demo.api_key}"}, timeout=60) as client,
    ):
        templates = client.get("/api/v1/agent-templates").json()["items"]
        assert {"support-agent"} <= {template["slug"] for template in templates}
        started = client.post("/api/v1/conversations", json={"agent_id": demo.agent_id})
        assert started.status_code == 201, started.text
        deadline = time.monotonic() + LIMIT_SECONDS
        while not (citations := _citations(client, started.json()["id"])):  # its knowledge is learned while it serves
            assert time.monotonic() < deadline, "nothing was cited"
        assert citations[0]["quote"]
        assert client.get("/schema").status_code == client.get("/schema/openapi.json").status_code == 200


def _citations(client: httpx2.Client, conversation_id: str) -> list[dict[str, Any]]:
    answered = client.post(f"/api/v1/conversations/{conversation_id}/messages", json={"content": "What does Luneo do?"})
    if answered.status_code == 503:
        return []  # there is no index before the first source is in it
    assert answered.status_code == 200, answered.text
    found: list[dict[str, Any]] = answered.json()["message"]["citations"]
    return found


def test_the_suite_passes_with_it(apart: Apart) -> None:
    """The tests are copied beside it, without the sources; what they import of ours is what was installed.

    Their own tools are found, last of all, where this test has them; the link to the checkout that stands there is not followed.
    """
    (apart.packages / "tools.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    shutil.copytree(ROOT / "tests", apart.folder / "tests", ignore=shutil.ignore_patterns("__pycache__", "contract", "faults"))
    shutil.copytree(ROOT / "tests" / "faults", apart.folder / "tests" / "faults", ignore=shutil.ignore_patterns("test_*", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", apart.folder)
    files = [f"tests/http/test_{name}.py" for name in SUITE]
    said = apart.run("-m", "pytest", "--quiet", "--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile", *files)
    assert " passed" in said
    assert " skipped" not in said
