"""What the benchmarks run on: embedded Postgres and Valkey of their own, the demo organisation, a canned model, the processes."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

import psutil
import psycopg

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.supervisor import accepts_connections, free_port
from adapters.embedded.valkey import EmbeddedValkey
from adapters.postgres.migrate import migrate
from entrypoints.composition.demo import Demo, ensure_demo
from entrypoints.settings import PREFIX, Settings
from shared_kernel.identifiers import new_id
from tests.benchmarks import floor_b
from tests.benchmarks.client import Connection, Target

CLIENTS = 8
_AGENTS = 4
_START_SECONDS = 30.0
_FLOOR_KEY = "Bearer floor"
QUESTION = "What is the answer to the great question of life, the universe and everything?"


class Process:
    """One process under measurement."""

    def __init__(
        self, argv: Sequence[str], port: int | None, environment: dict[str, str], log: Path, *, program: str = sys.executable
    ) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen([program, *argv], env={**os.environ, **environment}, stdout=output, stderr=output)
        self._seen = psutil.Process(self._process.pid)
        self.log = log
        self.port = port or 0
        self.base_url = f"http://127.0.0.1:{port}"

    def wait_until_serving(self) -> None:
        """Return once the port accepts connections. Raises `RuntimeError` with the log when that does not come."""
        late = time.monotonic() + _START_SECONDS
        while not accepts_connections(self.port):
            if self._process.poll() is not None or time.monotonic() > late:
                raise RuntimeError(f"{self._process.args!r} does not serve:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def cpu_seconds(self) -> float:
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def resident_megabytes(self) -> float:
        return float(self._seen.memory_info().rss) / 1e6

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@dataclass
class Installation:
    """Everything that runs; `target` and `floor_target` are where turns go, by the number of pieces that the model answers in."""

    folder: Path
    superuser: str
    settings: Settings
    environment: dict[str, str]
    demo: Demo
    upstream: str
    agents: dict[int, list[UUID]] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    @classmethod
    @contextmanager
    def running(cls, folder: Path, pieces: Sequence[int]) -> Iterator[Self]:
        """Start servers and the canned model, and make the demo organisation with agents for each number of pieces."""
        with ExitStack() as stack:
            password = secrets.token_urlsafe(16)
            postgres = EmbeddedPostgres(folder / "postgres", password, free_port())
            postgres.start()
            stack.callback(postgres.stop)
            valkey = EmbeddedValkey(folder / "valkey", secrets.token_urlsafe(16), free_port())
            valkey.start()
            stack.callback(valkey.stop)
            superuser, application = postgres.dsn("postgres", password, "postgres"), postgres.dsn("bench", password, "bench")
            with psycopg.connect(superuser, autocommit=True) as connection:
                connection.execute("create database bench")
            superuser = postgres.dsn("postgres", password, "bench")
            migrate(superuser, application)
            with psycopg.connect(superuser, autocommit=True) as connection:
                for statement in floor_b.SCHEMA.split(";"):
                    connection.execute(statement.encode())
                connection.execute("insert into floor.keys values (sha256(%s), %s)", (_FLOOR_KEY.encode(), new_id()))
            model = Process(["-m", "tests.benchmarks.upstream", str(port := free_port())], port, {}, folder / "upstream.log")
            stack.callback(model.stop)
            model.wait_until_serving()
            environment = {
                PREFIX + name: value
                for name, value in {
                    "MODE": "development",
                    "HOME": str(folder / "home"),
                    "DATABASE_URL": application,
                    "REDIS_URL": valkey.url,
                    "QDRANT_URL": f"http://127.0.0.1:{free_port()}",
                    "SECRET_KEY": secrets.token_urlsafe(32),
                    "OPENAI_BASE_URL": f"{model.base_url}/v1",
                    "OPENAI_MODELS": json.dumps([{"name": f"pieces-{n}", "price_in": 0.15, "price_out": 0.6} for n in pieces]),
                    "EMBEDDINGS_WARM_UP": "false",
                }.items()
            }
            (folder / "home").mkdir()
            settings = Settings.load(environment)
            demo = asyncio.run(
                ensure_demo(settings, started_at=datetime.now(UTC), base_url="", password=secrets.token_urlsafe(12), sources=())
            )
            installation = cls(folder, superuser, settings, environment, demo, f"{model.base_url}/v1", _stack=stack)
            yield installation

    @property
    def organization(self) -> UUID:
        return UUID(self.demo.organization_id)

    @contextmanager
    def processes(
        self, *, apis: int = 1, workers: int = 0, database_url: str | None = None, settings: Mapping[str, str] | None = None
    ) -> Iterator[tuple[list[Process], list[Process]]]:
        """Run API and worker processes while the block runs, with further settings, or before another address of the database."""
        with ExitStack() as stack:
            environment = {**self.environment, **({f"{PREFIX}DATABASE_URL": database_url} if database_url else {})}
            environment |= {PREFIX + name: value for name, value in (settings or {}).items()}

            def start(*argv: str, port: int | None = None) -> Process:
                given = {**environment, **({f"{PREFIX}PORT": str(port)} if port else {})}
                process = Process(["-m", "entrypoints.cli.main", *argv], port, given, self.folder / f"{argv[0]}.log")
                stack.callback(process.stop)
                return process

            serving = [start("api", port=free_port()) for _ in range(apis)]
            working = [start("worker", "--also", "relay", "--also", "scheduler") for _ in range(workers)]
            for process in serving:
                process.wait_until_serving()
            if not self.agents:
                asyncio.run(self._make_agents(serving[0].base_url))
            yield serving, working

    @contextmanager
    def vector_index(self) -> Iterator[Process]:
        """Run the local vector server while the block runs, where the settings look for it."""
        port = urlsplit(self.settings.qdrant_url).port
        process = Process(["-m", "entrypoints.cli.main", "index"], port, self.environment, self.folder / "index.log")
        try:
            process.wait_until_serving()
            yield process
        finally:
            process.stop()

    @contextmanager
    def floor(self) -> Iterator[Process]:
        """Run floor B while the block runs."""
        port = free_port()
        dsn = f"{self.settings.database_url}?options=-c%20role%3Dluneo_app"
        process = Process(["-m", "tests.benchmarks.floor_b", str(port), dsn, self.upstream], port, {}, self.folder / "floor.log")
        try:
            process.wait_until_serving()
            yield process
        finally:
            process.stop()

    async def target(self, base_url: str, pieces: int, *, clients: int = CLIENTS, knowledge: UUID | None = None) -> Target:
        """Return where `clients` clients send turns to Luneo: a new conversation each, with agents that answer from `knowledge`."""
        paths = []
        agents = self.agents[pieces] if knowledge is None else await self._publish(base_url, f"pieces-{pieces}", knowledge)
        for agent in islice(cycle(agents), clients):
            conversation = await self.call(base_url, "/api/v1/conversations", {"agent_id": str(agent)})
            paths.append(f"/api/v1/conversations/{conversation['id']}/messages")
        return Target(base_url, paths, json.dumps({"content": QUESTION}).encode(), await self._session(base_url))

    def floor_target(self, base_url: str, pieces: int, *, clients: int = CLIENTS) -> Target:
        """Return where `clients` clients send turns to floor B."""
        paths = [f"/conversations/{new_id()}/messages" for _ in range(clients)]
        body = json.dumps({"content": QUESTION, "model": f"pieces-{pieces}"}).encode()
        return Target(base_url, paths, body, {"authorization": _FLOOR_KEY})

    def model_target(self, pieces: int) -> Target:
        """Return where a client that asks the model itself would send its turns."""
        body = json.dumps({"model": f"pieces-{pieces}", "messages": [{"role": "user", "content": QUESTION}], "stream": True}).encode()
        return Target(self.upstream.removesuffix("/v1"), ["/v1/chat/completions"], body, {})

    @contextmanager
    def litellm(self, command: str, pieces: int) -> Iterator[Target]:
        """Run LiteLLM's proxy in front of the canned model while the block runs; return where its turns are sent."""
        key, port, direct = f"sk-{secrets.token_hex(24)}", free_port(), self.model_target(pieces)
        model = {"model": f"openai/pieces-{pieces}", "api_base": self.upstream, "api_key": "none"}
        configuration = self.folder / "litellm.json"  # JSON is YAML
        settings = {"model_list": [{"model_name": f"pieces-{pieces}", "litellm_params": model}], "general_settings": {"master_key": key}}
        configuration.write_text(json.dumps(settings), encoding="utf-8")
        environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}
        argv = ("--config", str(configuration), "--host", "127.0.0.1", "--port", str(port))
        process = Process(argv, port, environment, self.folder / "litellm.log", program=command)
        try:
            process.wait_until_serving()
            yield replace(direct, base_url=process.base_url, headers={"authorization": f"Bearer {key}"})
        finally:
            process.stop()

    async def call(self, base_url: str, path: str, body: object = None) -> dict[str, Any]:
        """Return what the API answers to a POST of `body`, or to a GET."""
        connection = await Connection.open(base_url)
        method, sent = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
        answer = await connection.send(method, path, sent, self.headers)
        await connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{path} answered {answer.status}: {answer.body!r}")
        found: dict[str, Any] = json.loads(answer.body)
        return found

    async def _session(self, base_url: str) -> dict[str, str]:
        """Sign the demo's owner in: a person's turn, as the budget means it; a call with an API key is metered besides."""
        body = {"email": self.demo.email, "password": self.demo.password, "session": "token"}
        session = await self.call(base_url, "/api/v1/auth/login", body)
        return {"authorization": f"Bearer {session['access_token']}"}

    def session_cookie(self, base_url: str) -> str:
        """Sign the demo's owner in as a browser does; return what it sends as its cookie."""
        body = json.dumps({"email": self.demo.email, "password": self.demo.password}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{base_url}/api/v1/auth/login", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own address
            cookies = answer.headers.get_all("set-cookie")
        return "; ".join(cookie.partition(";")[0] for cookie in cookies)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.demo.api_key}"}

    async def _make_agents(self, base_url: str) -> None:
        """Publish agents for each number of pieces: enough of them that no client comes upon an agent's turns per minute."""
        for model in self.settings.openai_models:
            self.agents[int(model.name.partition("-")[2])] = await self._publish(base_url, model.name)

    async def _publish(self, base_url: str, model: str, knowledge: UUID | None = None) -> list[UUID]:
        agents = []
        for number in range(_AGENTS):
            body: dict[str, object] = {"name": f"{model} {number}", "model": model, "languages": ["en"]}
            if knowledge is not None:
                body |= {"knowledge_base_ids": [str(knowledge)], "retrieval": {"cut_off": 0}}
            agent = await self.call(base_url, "/api/v1/agents", body)
            await self.call(base_url, f"/api/v1/agents/{agent['id']}/publish", {})
            agents.append(UUID(agent["id"]))
        return agents
