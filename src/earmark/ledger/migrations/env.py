"""Runs the migrations on the connection, and in the transaction, that `earmark.ledger.schema` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
