"""`andon db`: the database's schema."""

from contextlib import closing

import typer

from andon.cli import output
from andon.cli.context import command_context

app = typer.Typer(help="Look after the database.", no_args_is_help=True)


@app.command()
def upgrade(context: typer.Context) -> None:
    """Bring the database to the newest schema; safe to run twice, and from two processes at once."""
    from andon import wiring
    from storage.alerts import channels

    with closing(wiring.create_database(command_context(context).settings())) as database:
        database.upgrade()
        with database.begin() as session:
            encrypted = channels.encrypt_all(session)
    if encrypted:
        output.print_message(f"Encrypted the addresses of {encrypted} notification channels.")
    output.print_result(f"The database {database.name} has the newest schema.")
