"""The embedded installation of `luneo up`: our own Postgres, Valkey and vector server below one folder, and the processes that use them."""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from adapters.embedded.home import HomeInUse, HomeLock, Secrets
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.processes import EmbeddedServerFailed, write_atomically
from adapters.embedded.supervisor import ChildProcess, Supervisor, accepts_connections, free_port
from adapters.embedded.valkey import EmbeddedValkey
from adapters.postgres.migrate import current_revision, ensure_database, latest_revision, migrate
from entrypoints.settings import GENERATED, PREFIX, Settings

DEMO_FILE = "demo.json"
_QDRANT_PORT = 6333  # where its clients look when an address names no port
_logger = structlog.get_logger("luneo.index")
_ENVIRONMENT_FILE = "environment.json"
_DATABASE = "luneo"
_APPLICATION, _MIGRATOR, _SUPERUSER = "luneo", "luneo_migrator", "postgres"
_PROBE_SECONDS = 1.0
_SERVED_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_LEFTOVER_SECONDS = 0.5
# About the speed of a large model: an answer can be watched, its stream dropped and the turn stopped by hand.
_UNLESS_SET = {"LOCAL_WORDS_PER_SECOND": "25"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedAddresses:
    """Where the servers of this run listen, as the settings of the processes that use them."""

    http_port: int
    environment: Mapping[str, str]

    @property
    def base_url(self) -> str:
        """The address people open."""
        return f"http://127.0.0.1:{self.http_port}"


# What `luneo up` makes itself, whatever the environment says; the values only stand in for what is made later.
_MADE_HERE = {
    "MODE": "development",
    "HOST": "127.0.0.1",
    "PUBLIC_URL": "http://127.0.0.1",
    "DATABASE_URL": "postgresql://127.0.0.1/luneo",
    "MIGRATION_DATABASE_URL": "postgresql://127.0.0.1/luneo",
    "REDIS_URL": "redis://127.0.0.1",
    "QDRANT_URL": "http://127.0.0.1",
    "QDRANT_API_KEY": GENERATED,
    "SECRET_KEY": GENERATED.ljust(64, "0"),
}


def given_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings that `luneo up` takes from the environment, with stand-ins for those it makes.

    Raises `SettingsError` that names all that is wrong, before anything is made or launched.
    """
    return Settings.load({**environment, **{PREFIX + name: value for name, value in _MADE_HERE.items()}})


class EmbeddedInstallation:
    """Everything below `home`, started by one process and stopped with it. `report` is told noteworthy events, one line each.

    The API listens on `preferred_port`, or on the next free one.
    """

    def __init__(self, home: Path, report: Callable[[str], None], preferred_port: int) -> None:
        self.home = home.absolute()
        self._secrets = Secrets(self.home / "secrets.json")
        self.supervisor = Supervisor(self.home / "run", report=report)
        self._postgres = EmbeddedPostgres(self.home / "postgres", self._secrets.get("postgres_superuser"), free_port(), home=self.home)
        self._valkey = EmbeddedValkey(self.home / "valkey", self._secrets.get("valkey"), free_port())
        self._index_port = free_port()
        port = free_port(preferred_port)
        if port != preferred_port:
            report(f"Port {preferred_port} is taken: Luneo takes {port}.")
        self.addresses = EmbeddedAddresses(http_port=port, environment=self._environment(port))

    @staticmethod
    @contextmanager
    def at(home: Path, report: Callable[[str], None], preferred_port: int) -> "Iterator[EmbeddedInstallation]":
        """Hold the home folder while the block runs; stop every child at its end.

        Raises `HomeInUse`, whose message also names the address of the one that holds it.
        """
        with ExitStack() as held:
            try:
                held.enter_context(HomeLock(home))
            except HomeInUse as other:
                raise HomeInUse(f"{other} {_where_it_is(home)}") from None
            installation = EmbeddedInstallation(home, report, preferred_port)
            try:
                yield installation
            finally:
                installation.supervisor.stop_all()
                (installation.home / _ENVIRONMENT_FILE).unlink(missing_ok=True)

    @property
    def demo_password(self) -> str:
        """The password of the demo login, made once."""
        return self._secrets.get("demo_password")

    def start(self) -> None:
        """Start everything, and bring the database to this version, for which the API and the worker wait.

        Their settings are kept for the other commands, readable by us alone.
        """
        write_atomically(self.home / _ENVIRONMENT_FILE, json.dumps(dict(self.addresses.environment), indent=2) + "\n")
        index = self._child("index", ready=lambda: accepts_connections(self._index_port))
        worker = self._child("worker", "--also", "relay", "--also", "scheduler", ready=lambda: True)
        api = self._child("api", ready=lambda: True)
        self.supervisor.start_all([self._postgres.child(), self._valkey.child(), index, worker, api])
        if not self.supervisor.stop_requested:
            self._migrate()

    def wait_until_served(self) -> None:
        """Return when the API answers, or a stop is requested. Raises `EmbeddedServerFailed` when it ends or stays silent for a minute."""
        deadline = time.monotonic() + _SERVED_SECONDS
        while not self.supervisor.stop_requested and not _answers(f"{self.addresses.base_url}/health/live"):
            if time.monotonic() > deadline or not self.supervisor.is_alive("api"):
                raise EmbeddedServerFailed(f"The API does not answer: see {self.home / 'logs' / 'api.log'}.")
            time.sleep(_LOOK_SECONDS)

    def _child(self, name: str, *arguments: str, ready: Callable[[], bool]) -> ChildProcess:
        logs = self.home / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        return ChildProcess(
            name=name,
            argv=[sys.executable, "-m", "entrypoints.cli.main", name, *arguments],
            log=logs / f"{name}.log",
            folder=self.home,
            environment={**os.environ, **self.addresses.environment},
            ready=ready,
            stop_timeout=45.0,
            # Its servers went with the supervisor, so it can finish nothing any more.
            leftover_timeout=_LEFTOVER_SECONDS,
        )

    def _environment(self, port: int) -> dict[str, str]:
        secrets = self._secrets
        values = {
            "MODE": "development",
            "HOME": str(self.home),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "DATABASE_URL": self._postgres.dsn(_APPLICATION, secrets.get("postgres_application"), _DATABASE),
            "MIGRATION_DATABASE_URL": self._postgres.dsn(_MIGRATOR, secrets.get("postgres_migrator"), _DATABASE),
            "REDIS_URL": self._valkey.url,
            "QDRANT_URL": f"http://127.0.0.1:{self._index_port}",
            "QDRANT_API_KEY": secrets.get("vector_server"),
            "SECRET_KEY": GENERATED + secrets.get("secret_key"),
        }
        unless_set = {name: os.environ.get(PREFIX + name) or value for name, value in _UNLESS_SET.items()}
        return {PREFIX + name: value for name, value in {**unless_set, **values}.items()}

    def _migrate(self) -> None:
        superuser = self._postgres.dsn(_SUPERUSER, self._secrets.get("postgres_superuser"), "postgres")
        ensure_database(superuser, database=_DATABASE, migrator=_MIGRATOR, password=self._secrets.get("postgres_migrator"))
        environment = self.addresses.environment
        migration, application = environment[f"{PREFIX}MIGRATION_DATABASE_URL"], environment[f"{PREFIX}DATABASE_URL"]
        if current_revision(migration) != latest_revision():
            migrate(migration, application)


def _where_it_is(home: Path) -> str:
    """Return the address that the running `luneo up` tells in its `demo.json`, as a sentence."""
    try:
        demo = json.loads((home / DEMO_FILE).read_text(encoding="utf-8"))
        return f"Open {demo['base_url']}."
    except (OSError, ValueError, LookupError, TypeError):
        return "It is just starting or stopping."


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_SECONDS) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)  # noqa: PLR2004
    except OSError:
        return False


def running_environment(home: Path) -> dict[str, str]:
    """Return the settings of the `luneo up` that runs on `home`; empty when none does."""
    try:
        values: dict[str, str] = json.loads((home / _ENVIRONMENT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values


def serve_index(home: Path, url: str, api_key: str | None) -> None:
    """Run the local vector server on the port of `url`, Qdrant's own when it names none, until a signal comes. Raises `FolderInUse`."""
    from adapters.embedded.vector_server import serve  # noqa: PLC0415 - loads the Edge library, which only this process needs

    port = urlsplit(url).port or _QDRANT_PORT
    folder = (home / "index").absolute()
    serve(folder, port, api_key, started=lambda: _logger.info("started", serves=["index"], port=port, folder=str(folder)))


def run_migrations(migration_dsn: str, application_dsn: str | None) -> tuple[str | None, str]:
    """Bring the database to this version; return the revisions before and after."""
    before = current_revision(migration_dsn)
    migrate(migration_dsn, application_dsn)
    return before, latest_revision()
