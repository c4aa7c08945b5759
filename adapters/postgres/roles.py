"""The four database roles, and the guard that keeps the application from running as a stronger one."""

from enum import StrEnum
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import tuple_row


class DatabaseRole(StrEnum):
    """Group roles without login; a process's login is a member and takes its role when it connects."""

    OWNER = "luneo_owner"
    APP = "luneo_app"
    RELAY = "luneo_relay"
    PLATFORM = "luneo_platform"


class UnsafeDatabaseRole(Exception):
    """The login could bypass row-level security, so the process refuses to start."""


def as_role(dsn: str, role: DatabaseRole, *, application_name: str = "luneo") -> str:
    """Return `dsn` as a libpq connection string that takes `role` when it connects."""
    parameters = conninfo_to_dict(dsn.replace("postgresql+psycopg://", "postgresql://", 1))
    options = str(parameters.get("options") or "")
    return make_conninfo(
        "", **{**parameters, "options": f"{options} -c role={role}".strip(), "application_name": application_name, "connect_timeout": 5}
    )


_GUARD = """
select r.rolname, r.rolsuper, r.rolbypassrls, pg_has_role(session_user, 'luneo_owner', 'member')
  from pg_roles r where r.rolname in (session_user, current_user)
"""


async def refuse_unsafe_role(connection: psycopg.AsyncConnection[Any]) -> None:
    """Raise `UnsafeDatabaseRole` when the login is a superuser, has BYPASSRLS, or is a member of the owner role."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        rows = await (await cursor.execute(_GUARD)).fetchall()
    for name, superuser, bypass, owner in rows:
        if superuser or bypass or owner:
            what = "a superuser" if superuser else "exempt from row-level security" if bypass else "a member of luneo_owner"
            raise UnsafeDatabaseRole(
                f"the database login {name!r} is {what}: LUNEO_DATABASE_URL must name a login that is a member of "
                "luneo_app, luneo_relay and luneo_platform only (luneo migrate grants that)"
            )
