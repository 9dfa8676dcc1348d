"""Alembic's entry point: migrates over the connection that `schema` passes, in its transaction."""

from alembic import context
from sqlalchemy import Connection, create_engine

from storage.database.schema import VERSION_TABLE, rendered
from storage.database.tables import Base
from storage.urls import parse_database_url


def migrate(connection: Connection) -> None:
    """Execute the migrations over this connection."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        transactional_ddl=True,
        render_as_batch=True,
        render_item=rendered,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with create_engine(parse_database_url(context.get_x_argument(as_dictionary=True)["url"])).begin() as opened:
        migrate(opened)
