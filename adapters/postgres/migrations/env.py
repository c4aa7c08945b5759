"""Run by alembic: migrates on the connection that `adapters.postgres.migrate` opened and gave its role."""

from alembic import context

from adapters.postgres.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_schemas=True,
    version_table="schema_version",
    version_table_schema="luneo",
    compare_type=True,
    compare_server_default=False,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
