"""`luneo …`: the command line. Each command imports what it needs when it runs, so that none waits for another's libraries."""

import argparse
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from uuid import UUID

from entrypoints.settings import FILE_VARIABLE, MISSING_SETTING, Settings, SettingsError
from shared_kernel.pagination import MAXIMUM_LIMIT

Command = Callable[[argparse.Namespace], int]
_FAILED, _USAGE = 1, 2
_FOR_PEOPLE = frozenset({"smtp_url", "public_url"})
"""What only processes use that talk to people: the API and the worker."""
_FOR_MODELS = frozenset({"openai_base_url", "openai_models", "default_model"})
_NOT_FOR_INDEX = _FOR_PEOPLE | _FOR_MODELS | {"database_url", "redis_url", "secret_key"}
_NOT_FOR_MIGRATION = _NOT_FOR_INDEX | {"qdrant_url"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0 done, 1 failed with a message, 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help()
        return _USAGE
    run: Command = options.run
    try:
        return run(options)
    except SettingsError as error:
        print("These settings are wrong or missing:", *(f"  {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        if options.run is not _up and any(MISSING_SETTING in problem for problem in error.problems):
            print("`luneo up` needs none of them; docs/guides/settings.md lists them all.", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return 0
    except Exception as error:
        if not _expected(error):
            raise
        print(f"luneo: {error}", file=sys.stderr)
        return _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="luneo", description="Multi-tenant conversational AI agents.")
    commands = parser.add_subparsers(title="commands", metavar="<command>")

    def command(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    command("up", _up, "Start everything here: Postgres, Valkey, vector index, API and worker, with a demo organisation.")
    command("api", _api, "Serve the HTTP API.")
    worker = command("worker", _background("worker"), "Consume events: index knowledge, send mail.")
    worker.add_argument("--also", action="append", choices=("relay", "scheduler"), default=[], help="run this in the same process too")
    command("relay", _background("relay"), "Carry events from Postgres to the workers.")
    command("scheduler", _background("scheduler"), "Run periodic work: sealing the audit trail, expiring reservations.")
    command("index", _index, "Run the local vector server (instead of a Qdrant server).")
    command("migrate", _migrate, "Bring the database to this version.")
    command("doctor", _doctor, "Check every dependency and say what to do.")
    admin = command("create-admin", _create_admin, "Create a platform administrator.")
    admin.add_argument("--email", required=True)
    admin.add_argument("--name", required=True)
    evaluation = command("evaluate-retrieval", _evaluate_retrieval, "Measure how well questions find the texts that answer them.")
    evaluation.add_argument("files", nargs="+", type=Path, help="passages {id, text}, questions {question, passage_id}")
    chat = command("chat", _chat, "Ask the demo agent, or any other, and watch the answer stream.")
    chat.add_argument("message", help="what to ask")
    chat.add_argument("--agent", help="the agent's id (default: the demo agent)")
    chat.add_argument("--url", help="the API's address (default: the running `luneo up`)")
    chat.add_argument("--api-key", help="an API key (default: LUNEO_API_KEY, else the demo's)")
    chat.add_argument("--conversation", type=UUID, help="continue this conversation")
    _add_audit(commands)
    _add_events(commands)
    return parser


def _add_audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from entrypoints.cli import audit  # noqa: PLC0415

    group = commands.add_parser("audit", help="Verify the audit trail.").add_subparsers(required=True, metavar="verify")
    verify = group.add_parser("verify", help="Prove that the trail was not rewritten, on line or from an exported file.")
    audit.add_arguments(verify)
    verify.set_defaults(run=_audit_verify)


def _add_events(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    group = commands.add_parser("events", help="List and replay deliveries.").add_subparsers(required=True, metavar="list|replay")
    listing = group.add_parser("list", help="List deliveries that wait or were given up.")
    listing.add_argument("--state", choices=("dead", "due", "sent", "running", "done"), action="append", help="default: dead")
    listing.add_argument("--limit", type=_limit, default=20, help=f"how many, at most {MAXIMUM_LIMIT} (default: 20)")
    listing.set_defaults(run=_events_list)
    replay = group.add_parser("replay", help="Deliver a dead letter again, or all of them.")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", type=UUID)
    which.add_argument("--all", action="store_true")
    replay.set_defaults(run=_events_replay)


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAXIMUM_LIMIT:
        raise argparse.ArgumentTypeError(f"must be a whole number between 1 and {MAXIMUM_LIMIT}")
    return int(text)


def _up(_: argparse.Namespace) -> int:
    from entrypoints.cli.up import up  # noqa: PLC0415

    return up()


def _api(_: argparse.Namespace) -> int:
    settings = _configured(Settings.load())
    from entrypoints.composition.processes import run_api  # noqa: PLC0415

    _run(run_api(settings))
    return 0


def _background(part: str) -> Command:
    def run(options: argparse.Namespace) -> int:
        parts = frozenset({part, *getattr(options, "also", ())})
        settings = _configured(Settings.load(without=frozenset() if "worker" in parts else _FOR_PEOPLE))
        from entrypoints.composition.processes import run_background  # noqa: PLC0415

        _run(run_background(settings, parts))
        return 0

    return run


def _index(_: argparse.Namespace) -> int:
    settings = _configured(Settings.load(without=_NOT_FOR_INDEX))
    from entrypoints.composition.embedded import serve_index  # noqa: PLC0415

    serve_index(settings.home, settings.qdrant_url, settings.qdrant_api_key)
    return 0


def _migrate(_: argparse.Namespace) -> int:
    settings = Settings.load(without=_NOT_FOR_MIGRATION)
    if settings.migration_database_url is None:
        raise SettingsError(["LUNEO_MIGRATION_DATABASE_URL: is missing"])
    from entrypoints.composition.embedded import run_migrations  # noqa: PLC0415

    before, after = run_migrations(settings.migration_database_url, settings.database_url or None)
    print(
        f"The database is at revision {after}."
        if before == after
        else f"Migrated the database from {before or 'nothing'} to revision {after}."
    )
    return 0


def _doctor(_: argparse.Namespace) -> int:
    from entrypoints.cli.doctor import doctor  # noqa: PLC0415

    settings = _of_installation(without=frozenset())
    return doctor(settings, of_demo="LUNEO_DATABASE_URL" not in os.environ and FILE_VARIABLE not in os.environ)


def _create_admin(options: argparse.Namespace) -> int:
    from entrypoints.composition.operators import create_admin  # noqa: PLC0415

    return _run(create_admin(_of_installation(), email=options.email, full_name=options.name))


def _chat(options: argparse.Namespace) -> int:
    from entrypoints.cli.chat import chat  # noqa: PLC0415

    return chat(options.message, agent=options.agent, url=options.url, api_key=options.api_key, conversation=options.conversation)


def _evaluate_retrieval(options: argparse.Namespace) -> int:
    from entrypoints.cli.evaluate_retrieval import evaluate_retrieval  # noqa: PLC0415

    return evaluate_retrieval(options.files)


def _audit_verify(options: argparse.Namespace) -> int:
    from entrypoints.cli.audit import verify_exported  # noqa: PLC0415

    file: Path | None = options.file
    if file is not None:
        return verify_exported(file, options.head, options.organization)
    from entrypoints.composition.operators import verify_audit  # noqa: PLC0415

    return _run(verify_audit(_of_installation(), organization=options.organization, head=options.head))


def _events_list(options: argparse.Namespace) -> int:
    from entrypoints.composition.operators import list_events  # noqa: PLC0415

    return _run(list_events(_of_installation(), states=options.state or ["dead"], limit=options.limit))


def _events_replay(options: argparse.Namespace) -> int:
    from entrypoints.composition.operators import replay_events  # noqa: PLC0415

    return _run(replay_events(_of_installation(), delivery_id=options.id))


def _of_installation(*, without: frozenset[str] = _FOR_PEOPLE) -> Settings:
    """Return the settings; without LUNEO_DATABASE_URL those of the `luneo up` that runs on this folder."""
    if "LUNEO_DATABASE_URL" in os.environ:
        return Settings.load(without=without)
    from entrypoints.composition.embedded import running_environment  # noqa: PLC0415

    home = Path(os.environ.get("LUNEO_HOME") or ".luneo")
    running = running_environment(home)
    if not running and not os.environ.get(FILE_VARIABLE):
        raise SettingsError(
            [f"LUNEO_DATABASE_URL: is missing, and no `luneo up` runs on {home.absolute()}: start it, or name your servers"]
        )
    return Settings.load({**os.environ, **running}, without=without)


def _configured(settings: Settings) -> Settings:
    from entrypoints.observability.logging import configure_logging  # noqa: PLC0415
    from entrypoints.observability.tracing import configure_tracing  # noqa: PLC0415

    configure_logging(level=settings.log_level, pretty=None if settings.log_format == "auto" else settings.log_format == "text")
    configure_tracing(endpoint=settings.otlp_endpoint)
    return settings


def _run(work: Coroutine[object, object, int | None]) -> int:
    import uvloop  # noqa: PLC0415

    return uvloop.run(work) or 0


def _expected(error: Exception) -> bool:
    """Return whether `error` is a condition to be told in one line, not a defect to be shown with its trace."""
    from shared_kernel.errors import LuneoError  # noqa: PLC0415

    names = {
        "HomeInUse",
        "SecretsUnreadable",
        "EmbeddedServerFailed",
        "NoFreePort",
        "FolderInUse",
        "UnsafeDatabaseRole",
        "MigrationRefused",
        "OperationalError",
        "InsufficientPrivilege",
    }
    # what the operating system refuses (a folder, a file, an address) is no defect of ours either, and its error names the place
    return isinstance(error, LuneoError | OSError) or type(error).__name__ in names


if __name__ == "__main__":
    sys.exit(main())
