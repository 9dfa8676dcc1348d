"""`andon db`: the database's schema."""

import typer

from andon.cli import output
from andon.cli.front import front

app = typer.Typer(help="Look after the database.", no_args_is_help=True)


@app.command()
def upgrade(context: typer.Context) -> None:
    """Bring the database to the newest schema; safe to run twice, and from two processes at once."""
    from storage.database import Database

    database = Database(front(context).settings().storage.database_url)
    try:
        database.upgrade()
    finally:
        database.close()
    output.say(f"The database {database.name} has the newest schema.")
