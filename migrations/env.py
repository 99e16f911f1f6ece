"""Runs migrations on the connection that `bisyncer.state.migrate` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from bisyncer.state.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters most things only by rebuilding the table
    transactional_ddl=True,  # true of SQLite too, once its driver leaves transactions alone
)
with context.begin_transaction():
    context.run_migrations()
