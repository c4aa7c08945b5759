"""A whole installation of Luneo out of real processes on 127.0.0.1, for tests that kill some of them."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg import sql

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.supervisor import accepts_connections, free_port
from adapters.embedded.valkey import EmbeddedValkey
from adapters.postgres.migrate import migrate
from domains.conversational_ai.model.knowledge_source import Pair, QuestionsContent
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.use_cases.create_demo_agent import DemoSource
from entrypoints.composition.demo import Demo, ensure_demo
from entrypoints.settings import Settings
from tests.faults.crash_points import PLAN_VARIABLE, Plan

ROOT = Path(__file__).parents[2]
_APPLICATION, _PASSWORD = "luneo_faults", "luneo-faults"
_READY_SECONDS = 30.0
_STOP_SECONDS = 20.0
#: Longer than the 5 s between two heartbeats: a runner that lives is never taken for dead.
SILENCE_SECONDS = 7.0

KNOWLEDGE = DemoSource(
    name="Opening hours",
    language=KnowledgeLanguage.ENGLISH,
    content=QuestionsContent(
        (
            Pair(
                "When does the library open?",
                "The library opens at nine in the morning from Monday to Saturday. On Sundays it stays closed.",
            ),
            Pair(
                "How much is a reader's card?",
                "A reader's card costs twelve euros a year. Students pay half of that, and children pay nothing.",
            ),
            Pair(
                "How long may I keep a book?", "A book may be kept for four weeks. It can be extended twice when nobody else waits for it."
            ),
        )
    ),
)
QUESTION = "When does the library open?"


def wait_until(happened: Callable[[], bool], seconds: float, what: str) -> None:
    """Look until something happened. Raises `TimeoutError` that names it."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


@dataclass
class LuneoProcess:
    """One process, started by its command."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    plan: Plan
    port: int | None = None

    @property
    def base_url(self) -> str:
        """Where an API listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL it."""
        self.process.kill()
        self.process.wait()

    def until_dead(self, seconds: float = 30) -> None:
        """Wait until it was killed at its crash point."""
        assert self.process.wait(seconds) == -signal.SIGKILL, self.tail()

    def stop(self) -> bool:
        """Ask it to end, and insist after a while; return whether it ended when it was asked."""
        if self.alive:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                return False
        return True

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-3000:]


@dataclass
class Servers:
    """Postgres and Valkey, which may be killed and come back on their ports."""

    folder: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    postgres_password: str

    def superuser(self, database: str) -> str:
        """Return a superuser's DSN."""
        return self.postgres.dsn("postgres", self.postgres_password, database)

    def application(self, database: str) -> str:
        """Return the application's DSN."""
        return self.postgres.dsn(_APPLICATION, _PASSWORD, database)

    def kill_valkey(self) -> None:
        """SIGKILL it, and lose what it kept."""
        process = self.valkey.process
        assert process is not None
        process.kill()
        process.wait()
        for kept in (self.folder / "valkey" / "data").rglob("*"):
            if kept.is_file():
                kept.unlink()

    def restart_postgres(self) -> None:
        """Stop it as an administrator would in a hurry, and start it again."""
        self.postgres.stop()
        self.postgres.start()


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Start Postgres with a migrated template database, and Valkey; stop both in the end."""
    with tempfile.TemporaryDirectory(prefix="luneo-faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server runs as another user when started by root
        password = secrets.token_urlsafe(16)
        servers = Servers(
            folder,
            EmbeddedPostgres(folder / "postgres", password, free_port()),
            EmbeddedValkey(folder / "valkey", secrets.token_urlsafe(16), free_port()),
            password,
        )
        try:
            servers.postgres.start()
            servers.valkey.start()
            with psycopg.connect(servers.superuser("postgres"), autocommit=True) as connection:
                connection.execute("create database luneo_template")
            migrate(servers.superuser("luneo_template"), servers.application("luneo_template"))
            yield servers
        finally:
            servers.valkey.stop()
            servers.postgres.stop()


@dataclass
class Installation:
    """One database on the shared servers, an index of its own, and the processes that work on them."""

    servers: Servers
    database: str
    home: Path
    environment: dict[str, str]
    demo: Demo
    index_port: int
    processes: list[LuneoProcess] = field(default_factory=list)

    @property
    def organization_id(self) -> UUID:
        """The organisation that everything here belongs to."""
        return UUID(self.demo.organization_id)

    @property
    def superuser(self) -> str:
        """A superuser's DSN of the database."""
        return self.servers.superuser(self.database)

    def start(self, *command: str, **settings: str) -> LuneoProcess:
        """Start `luneo <command>` with crash points; does not wait. `settings` are given without their prefix, in lower case."""
        count = len(self.processes)
        name = f"{command[0]}-{count}"
        plan = Plan(self.home / f"{name}.plan")
        environment = {**self.environment, PLAN_VARIABLE: str(plan.path), **{f"LUNEO_{k.upper()}": v for k, v in settings.items()}}
        port = None
        if command[0] == "api":
            port = free_port()
            environment["LUNEO_PORT"] = str(port)
        log = self.home / f"{name}.log"
        module = "entrypoints.cli.main" if command[0] == "index" else "tests.faults.crash_points"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *command], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        started = LuneoProcess(name, process, log, plan, port)
        self.processes.append(started)
        return started

    def start_api(self, **settings: str) -> LuneoProcess:
        """Start an API and return when it answers."""
        api = self.start("api", **settings)
        self.until_live(api)
        return api

    def until_live(self, api: LuneoProcess) -> None:
        """Wait until the API answers."""
        wait_until(lambda: not api.alive or answers(f"{api.base_url}/health/live"), _READY_SECONDS, f"{api.name} answers")
        assert api.alive, api.tail()

    def start_index(self) -> LuneoProcess:
        """Start the vector server and return when it answers."""
        index = self.start("index")
        wait_until(lambda: not index.alive or accepts_connections(self.index_port), _READY_SECONDS, "the index answers")
        assert index.alive, index.tail()
        return index

    def start_background(self, **settings: str) -> LuneoProcess:
        """Start a worker with relay and scheduler."""
        return self.start("worker", "--also", "relay", "--also", "scheduler", **settings)

    def rows(self, statement: str, parameters: Mapping[str, object] | Sequence[object] | None = None) -> list[tuple[object, ...]]:
        """Run a statement as the superuser."""
        return rows(self.superuser, statement, parameters)

    def luneo(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a short command to its end."""
        return run_luneo(self.environment, *command)

    def stop(self) -> None:
        """Stop every process."""
        for process in self.processes:
            process.plan.forget()
            if process.alive:
                process.process.terminate()
        stubborn = [process for process in self.processes if not process.stop()]
        assert not stubborn, "\n".join(f"{process.name} does not end when it is asked:\n{process.tail()}" for process in stubborn)


@contextmanager
def installation(servers: Servers, **settings: str) -> Iterator[Installation]:
    """Make a fresh database with the demo organisation and a published agent that knows `KNOWLEDGE`; nothing runs yet but the index."""
    database = f"luneo_{secrets.token_hex(4)}"
    with psycopg.connect(servers.superuser("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template luneo_template").format(sql.Identifier(database)))
    home = servers.folder / database
    home.mkdir(mode=0o700)
    index_port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LUNEO_")},
        "PYTHONPATH": str(ROOT),
        "LUNEO_MODE": "development",
        "LUNEO_HOME": str(home),
        "LUNEO_DATABASE_URL": servers.application(database),
        "LUNEO_REDIS_URL": servers.valkey.url,
        "LUNEO_QDRANT_URL": f"http://127.0.0.1:{index_port}",
        "LUNEO_SECRET_KEY": secrets.token_urlsafe(48),
        "LUNEO_RUNNER_SILENCE_SECONDS": str(SILENCE_SECONDS),
        **{f"LUNEO_{name.upper()}": value for name, value in settings.items()},
    }
    demo = asyncio.run(
        ensure_demo(
            Settings.load(environment),
            started_at=datetime.now(UTC),
            base_url="http://127.0.0.1",
            password=secrets.token_urlsafe(16),
            sources=[KNOWLEDGE],
        )
    )
    made = Installation(servers, database, home, environment, demo, index_port)
    try:
        made.start_index()
        yield made
    finally:
        made.stop()


def rows(superuser: str, statement: str, parameters: Mapping[str, object] | Sequence[object] | None) -> list[tuple[object, ...]]:
    """Run a statement as the superuser."""
    with psycopg.connect(superuser, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def run_luneo(environment: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "entrypoints.cli.main", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def answers(url: str) -> bool:
    """Tell whether a GET gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False


def read_demo(path: Path) -> Demo:
    """Read `demo.json`."""
    return Demo(**json.loads(path.read_text()))
