"""What `luneo doctor` asks of Postgres."""

import psycopg

from adapters.postgres.migrate import latest_revision
from adapters.postgres.roles import DatabaseRole, UnsafeDatabaseRole, as_role, refuse_unsafe_role


class DatabaseUnfit(Exception):
    """The database cannot be used as it is; the message says what to do."""


async def check_database(dsn: str, role: DatabaseRole) -> str:
    """Connect as `role` and return the schema's revision.

    Raises `DatabaseUnfit` when the login is refused or too strong, or when the schema is not this version's.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(as_role(dsn, role))
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        hint = (
            ": run `luneo migrate` with LUNEO_MIGRATION_DATABASE_URL"
            if any(sign in reason for sign in ("role", "password authentication", "does not exist"))
            else ""
        )
        raise DatabaseUnfit(f"LUNEO_DATABASE_URL cannot be used ({reason}){hint}") from error
    async with connection:
        try:
            await refuse_unsafe_role(connection)
            cursor = await connection.execute("select version_num from luneo.schema_version")
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.InsufficientPrivilege) as error:
            raise DatabaseUnfit(
                "the database holds no schema of ours yet: run `luneo migrate` with LUNEO_MIGRATION_DATABASE_URL"
            ) from error
        except (UnsafeDatabaseRole, psycopg.Error) as error:
            raise DatabaseUnfit(str(error)) from error
        found = str((await cursor.fetchone() or ("none",))[0])
    if found != latest_revision():
        raise DatabaseUnfit(f"the schema is at revision {found}, this version needs {latest_revision()}: run `luneo migrate`")
    return f"revision {found}"
