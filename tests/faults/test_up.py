"""`luneo up`: any of its processes may be killed, or all of them, and the next moment it serves again with nothing lost."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from adapters.embedded.supervisor import free_port
from entrypoints.composition.demo import Demo
from tests.faults import books
from tests.faults.installation import ROOT, SILENCE_SECONDS, answers, read_demo, rows, run_luneo, wait_until
from tests.faults.visitor import Stream, Visitor

CHILDREN = ("worker", "valkey", "index", "postgres", "api")
SERVING_SECONDS = 20.0  # 6 s are the budget of a quiet machine, and `make bench` holds it
QUESTION = "What does Luneo do?"


class Up:
    """One `luneo up` on one folder, again and again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._base = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LUNEO_")},
            "PYTHONPATH": str(ROOT),
            "LUNEO_HOME": str(home),
            "LUNEO_PORT": str(free_port()),
            "LUNEO_RUNNER_SILENCE_SECONDS": str(SILENCE_SECONDS),
            "LUNEO_LOCAL_WORDS_PER_SECOND": "20",
        }
        self._log = home.parent / "up.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it and return after how many seconds it serves."""
        began = time.monotonic()
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "entrypoints.cli.main", "up"],
                cwd=ROOT,
                env=self._base,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_until(self._serves, 60, f"it serves\n{self._log.read_text()[-2000:]}")
        return time.monotonic() - began

    def _serves(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self._log.read_text()
        return (self.home / "demo.json").exists() and answers(f"{self.demo.base_url}/health/ready")

    @property
    def demo(self) -> Demo:
        """What it tells about itself."""
        return read_demo(self.home / "demo.json")

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of its processes."""
        written: dict[str, str] = json.loads((self.home / "environment.json").read_text())
        return {**self._base, **written}

    @property
    def superuser(self) -> str:
        """A superuser's DSN."""
        password = json.loads((self.home / "secrets.json").read_text())["postgres_superuser"]
        address = urlsplit(self.environment["LUNEO_DATABASE_URL"])
        return f"postgresql://postgres:{password}@127.0.0.1:{address.port}{address.path}"

    def rows(self, statement: str, parameters: Mapping[str, object] | Sequence[object] | None = None) -> list[tuple[object, ...]]:
        """Run a statement as the superuser."""
        return rows(self.superuser, statement, parameters)

    def luneo(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a short command to its end."""
        return run_luneo(self._base, *command)

    def pid(self, child: str) -> int:
        """Return a child's process id; 0 while it has none."""
        try:
            return int(json.loads((self.home / "run" / f"{child}.pid").read_text())["pid"])
        except FileNotFoundError:
            return 0

    def tree(self) -> list[psutil.Process]:
        """Return the process and all below it."""
        assert self.process is not None
        itself = psutil.Process(self.process.pid)
        return [itself, *itself.children(recursive=True)]

    def kill_everything(self) -> None:
        """SIGKILL all of it."""
        tree = self.tree()
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        assert self.process is not None
        self.process.wait()
        _, alive = psutil.wait_procs(tree, timeout=10)
        assert not alive


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with tempfile.TemporaryDirectory(prefix="luneo-up-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        running = Up(Path(folder) / "home")
        running.start()
        try:
            yield running
        finally:
            if running.process is not None and running.process.poll() is None:
                running.kill_everything()


async def until_asked(up: Up) -> httpx2.Response:
    """Ask until an answer comes: what a client does with a retryable problem. Start-up takes a moment, and a dead connection an attempt."""
    async with asyncio.timeout(30):
        while True:
            with suppress(httpx2.TransportError, AssertionError):
                async with Visitor.at(up.demo.base_url, up.demo.api_key, up.demo.agent_id) as visitor:
                    answer = await visitor.ask(await visitor.converse(), QUESTION)
                    if answer.status_code == 200:
                        return answer
            await asyncio.sleep(0.2)


async def killed_in_mid_turn(up: Up, kill: Any) -> Stream:
    """Kill after the first words of an answer; return what was heard."""
    async with (
        Visitor.at(up.demo.base_url, up.demo.api_key, up.demo.agent_id) as visitor,
        visitor.asking(await visitor.converse(), QUESTION) as (stream, events),
    ):
        killed = False
        async for event in events:
            if event.name == "answer.delta" and not killed:
                killed = True
                await asyncio.to_thread(kill)
    assert killed, stream.names
    return stream


def test_a_second_one_on_the_folder_says_so_and_ends(up: Up) -> None:
    second = up.luneo("up")
    assert second.returncode == 1
    assert f"Luneo is already running on {up.home}" in second.stderr
    assert up.process is not None
    assert f"(process {up.process.pid}). Open {up.demo.base_url}." in second.stderr
    assert answers(f"{up.demo.base_url}/health/ready")


@pytest.mark.parametrize("child", CHILDREN)
async def test_a_killed_child_is_started_again_and_serves(up: Up, child: str) -> None:
    before = up.pid(child)
    stream = await killed_in_mid_turn(up, lambda: os.kill(before, signal.SIGKILL))
    await asyncio.to_thread(wait_until, lambda: up.pid(child) not in {0, before}, 10, f"{child} is started again")
    assert (await until_asked(up)).status_code == 200
    async with Visitor.at(up.demo.base_url, up.demo.api_key, up.demo.agent_id) as visitor, asyncio.timeout(40):
        if child == "api":
            assert stream.broken
            rest = await visitor.resume(stream.turn_id, stream.last_id)
            assert rest.names[-1] == "turn.failed"
            assert rest.events[-1].data["problem"]["retryable"] is True
        else:
            assert stream.names[-1] == "turn.completed", stream.events[-1]
        turn = await visitor.turn(stream.turn_id)
    assert turn["status"] == ("failed" if child == "api" else "completed")


async def test_after_everything_was_killed_the_next_start_serves_and_the_books_agree(up: Up) -> None:
    password, api_key, organization = up.demo.password, up.demo.api_key, up.demo.organization_id
    stream = await killed_in_mid_turn(up, up.kill_everything)
    assert stream.broken
    seconds = await asyncio.to_thread(up.start)
    assert seconds < SERVING_SECONDS
    assert (up.demo.password, up.demo.api_key, up.demo.organization_id) == (password, api_key, organization)
    assert (await until_asked(up)).status_code == 200
    async with Visitor.at(up.demo.base_url, up.demo.api_key, up.demo.agent_id) as visitor, asyncio.timeout(30):
        rest = await visitor.resume(stream.turn_id, stream.last_id)
        turn = await visitor.turn(stream.turn_id)
        signed_in = await visitor.client.post("/auth/login", json={"email": up.demo.email, "password": password, "session": "token"})
    assert rest.names[-1] == "turn.failed"
    assert (turn["status"], turn["problem"]["retryable"]) == ("failed", True)
    assert signed_in.status_code == 200
    await asyncio.to_thread(books.check, up)


def test_ctrl_c_leaves_no_child_behind(up: Up) -> None:
    tree = up.tree()
    assert len(tree) > len(CHILDREN)
    assert up.process is not None
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0
    _, alive = psutil.wait_procs(tree[1:], timeout=5)
    assert not alive
    assert not (up.home / "demo.json").exists()
    assert not (up.home / "environment.json").exists()
