"""What `luneo doctor` asks of Postgres."""

import asyncio
from collections.abc import Callable

import psycopg
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.migrate import latest_revision
from adapters.postgres.roles import DatabaseRole, UnsafeDatabaseRole, as_role, refuse_unsafe_role

_LOOK_AGAIN_SECONDS = 0.1


class DatabaseUnfit(Exception):
    """The database cannot be used as it is; the message says what to do."""


class DatabaseNotReady(DatabaseUnfit):
    """The database does not answer yet, or was not migrated to this version yet: waiting may help."""


class DatabaseAway(DatabaseNotReady):
    """Nobody answers there, or nobody who would let anybody in; the message names host, port and reason."""


async def check_database(dsn: str, role: DatabaseRole) -> str:
    """Connect as `role` and return the schema's revision.

    Raises `DatabaseUnfit` when the login is too strong, `DatabaseAway` when nobody answers, `DatabaseNotReady` when the login is refused or
    the schema is not this version's.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(as_role(dsn, role))
    except psycopg.OperationalError as error:
        reason = _reason(error)
        place = f"{_place(dsn)} does not let us in" if "FATAL" in reason else f"{_place(dsn)} does not answer"
        if any(sign in reason for sign in ("role", "password authentication", "does not exist")):
            raise DatabaseNotReady(f"{place} ({reason}): run `luneo migrate` with LUNEO_MIGRATION_DATABASE_URL") from error
        raise DatabaseAway(f"{place} ({reason})") from error
    async with connection:
        try:
            await refuse_unsafe_role(connection)
            cursor = await connection.execute("select version_num from luneo.schema_version")
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.InsufficientPrivilege) as error:
            # also while `luneo migrate` has made its roles, and its tables not yet
            raise DatabaseNotReady(
                "the database holds no schema of ours yet: run `luneo migrate` with LUNEO_MIGRATION_DATABASE_URL"
            ) from error
        except UnsafeDatabaseRole as error:
            raise DatabaseUnfit(str(error)) from error
        except psycopg.Error as error:
            raise DatabaseNotReady(f"the database cannot be read ({error.diag.message_primary or error}): run `luneo migrate`") from error
        found = str((await cursor.fetchone() or ("none",))[0])
    if found != latest_revision():
        raise DatabaseNotReady(f"the schema is at revision {found}, this version needs {latest_revision()}: run `luneo migrate`")
    return f"revision {found}"


def _place(dsn: str) -> str:
    named = conninfo_to_dict(dsn.replace("postgresql+psycopg://", "postgresql://", 1))
    hosts, ports = str(named.get("host") or "localhost").split(","), str(named.get("port") or "5432").split(",")
    return ", ".join(f"{host}:{ports[min(position, len(ports) - 1)]}" for position, host in enumerate(hosts))


def _reason(error: psycopg.OperationalError) -> str:
    """Return what libpq says in one line, without its hints (which begin with a tab) and without what it repeats for each try."""
    lines = [line.rpartition(" failed: ")[2].strip() for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    return "; ".join(dict.fromkeys(lines))


async def wait_for_database(dsn: str, role: DatabaseRole, *, seconds: float, waiting: Callable[[str], None]) -> None:
    """Return as soon as the database answers `role` with this version's schema; tell `waiting` once why it does not yet.

    Raises `DatabaseNotReady` after `seconds`, `DatabaseUnfit` at once.
    """
    deadline, told = asyncio.get_running_loop().time() + seconds, False
    while True:
        try:
            await check_database(dsn, role)
        except DatabaseNotReady as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            if not told:
                waiting(str(error))
                told = True
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        else:
            return
