"""Row-level security, said once for every migration."""

from alembic import op

CURRENT_TENANT = "(select nullif(current_setting('luneo.organization_id', true), '')::uuid)"


def protect(table: str, *, tenantless_rows: bool = False) -> None:
    """Force row-level security on `schema.table` and let the app see its own organisation's rows alone.

    With `tenantless_rows` the organisation may be null, and such rows are seen only by transactions without one.
    """
    comparison = "is not distinct from" if tenantless_rows else "="
    op.execute(f"alter table {table} enable row level security")
    op.execute(f"alter table {table} force row level security")
    op.execute(
        f"create policy tenant on {table} to luneo_app using (organization_id {comparison} {CURRENT_TENANT}) "
        f"with check (organization_id {comparison} {CURRENT_TENANT})"
    )


def allow(role: str, table: str, privileges: str, *, name: str, using: str = "true") -> None:
    """Grant `privileges` on `table` to `role` through the named policy `name` (rows for which `using` holds)."""
    op.execute(f"grant {privileges} on {table} to {role}")
    commands = [p.strip().split("(")[0].strip() for p in privileges.split(",")]
    for command in dict.fromkeys(commands):
        check = f" with check ({using})" if command in {"insert", "update"} else ""
        condition = "" if command == "insert" else f" using ({using})"
        op.execute(f"create policy {name}_{command} on {table} for {command} to {role}{condition}{check}")


def grant_app(table: str, privileges: str = "select, insert, update, delete") -> None:
    """Grant the app role `privileges` on `table`; the policy `tenant` decides on which rows."""
    op.execute(f"grant {privileges} on {table} to luneo_app")
