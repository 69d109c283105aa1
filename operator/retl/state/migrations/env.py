"""Alembic's entry point. The caller hands over a connection whose transaction holds the migration lock."""

from alembic import context

from retl.state.tables import REVISION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=REVISION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
