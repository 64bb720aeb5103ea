"""The entry point for Alembic.

Migrations run on the connection, and in the transaction, that migrate.py gives.
"""

from alembic import context

from headrace_server.store.tables.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite can take tables back; Alembic supposes that its driver cannot.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
