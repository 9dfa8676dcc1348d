"""`andon db`: the database's schema."""

import typer

from andon.cli import output
from andon.cli.context import command_context

app = typer.Typer(help="Look after the database.", no_args_is_help=True)


@app.command()
def upgrade(context: typer.Context) -> None:
    """Bring the database to the newest schema; safe to run twice, and from two processes at once."""
    from storage.database.engine import Database

    database = Database(command_context(context).settings().storage.database_url)
    try:
        database.upgrade()
    finally:
        database.close()
    output.print_result(f"The database {database.name} has the newest schema.")
