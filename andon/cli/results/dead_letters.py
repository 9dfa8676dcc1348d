"""`andon dead-letters`: messages that could not become a verdict."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import authentication, output
from andon.cli.context import command_context
from andon.cli.options import MAX_ID, Json, Limit, RowId, json_keys_help

if TYPE_CHECKING:
    from storage.line.dead_letters import DeadLetter

app = typer.Typer(help="List, show and replay messages that could not become a verdict.", no_args_is_help=True)

KEYS = (
    "id",
    "occurred_at",
    "station",
    "reason",
    "error",
    "topic",
    "partition",
    "offset",
    "key",
    "headers",
    "payload_reference",
    "payload_bytes",
    "replayed_at",
)


@app.command("list", epilog=json_keys_help("each dead letter", KEYS))
def list_letters(
    context: typer.Context,
    replayed: Annotated[bool, typer.Option("--replayed", metavar="", help="Include those that were replayed.")] = False,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List dead letters that were not replayed yet, newest first."""
    from andon import wiring
    from storage.line import dead_letters

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        found = dead_letters.recent(session, replayed=None if replayed else False, limit=limit)
        waiting = dead_letters.count(session, replayed=False)
    if json:
        output.write_json([json_of(letter) for letter in found])
        return
    output.write_table(
        ["id", "occurred at (UTC)", "station", "reason", "error", "bytes", "replayed at (UTC)"],
        [
            (one.id, one.occurred_at, one.station, one.reason, one.error, one.payload_bytes, one.replayed_at)
            for one in found
        ],
        empty="There are no dead letters.",
    )
    if waiting > len(found):
        output.print_message(f"{waiting} were not replayed yet; --limit {waiting} shows them all.")


@app.command(epilog=json_keys_help("the dead letter", KEYS))
def show(
    context: typer.Context,
    letter_id: RowId,
    save: Annotated[
        Path | None, typer.Option(help="Write the message's payload to this new file.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Show one dead letter with its position, headers and error."""
    from andon import wiring
    from andon.errors import CommandFailed
    from storage.line import dead_letters

    settings = command_context(context).settings()
    with wiring.open_database(settings) as database, database.read() as session:
        letter = dead_letters.get(session, letter_id)
    if save is not None:
        payload = wiring.open_image_store(settings).get(letter.payload_reference)
        try:
            with save.open("xb") as file:
                file.write(payload)
        except OSError as error:
            raise CommandFailed(f"The payload can't be written to {save}: {error.strerror}.") from None
        output.print_message(f"{len(payload)} bytes were written to {save}.")
    fields = json_of(letter)
    if json:
        output.write_json(fields)
        return
    headers = fields.pop("headers")
    assert isinstance(headers, list)
    output.write_pairs(fields)
    output.write_table(
        ["header", "value"], [(one["name"], one["value"]) for one in headers], empty="It has no headers."
    )


@app.command()
def replay(
    context: typer.Context,
    letter_id: Annotated[
        int | None,
        typer.Argument(metavar="ID", min=1, max=MAX_ID, help="The id in the list.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", metavar="", help="All that were not replayed yet.")] = False,
    reason: Annotated[
        str | None, typer.Option(help="With --all: only those with this reason.", show_default=False)
    ] = None,
) -> None:
    """Publish a dead letter's message again unchanged; one that is still bad becomes a new dead letter."""
    if (letter_id is None) == (not every) or (reason is not None and not every):
        raise typer.BadParameter("name one dead letter, or use --all, with or without --reason", param_hint="ID")
    from andon import wiring
    from andon.cli.progress import progress_counter
    from andon.services import replay as replaying

    settings = command_context(context).settings()
    with (
        wiring.open_database(settings) as database,
        wiring.open_bus(settings) as bus,
        progress_counter("dead letters replayed") as advance,
    ):
        actor = authentication.current_actor(database)
        letters = replaying.pending_letters(database, letter_id, reason)
        done = replaying.replay(
            letters, database, wiring.open_image_store(settings), bus, settings.ingest.topic, advance, actor
        )
    output.print_result(f"{done} dead letter{'' if done == 1 else 's'} replayed to {settings.ingest.topic}.")


def json_of(letter: "DeadLetter") -> dict[str, object]:
    """Return a dead letter as a JSON object."""
    return {
        "id": letter.id,
        "occurred_at": letter.occurred_at,
        "station": letter.station,
        "reason": letter.reason,
        "error": letter.error,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": letter.key,
        "headers": [{"name": name, "value": value.decode(errors="backslashreplace")} for name, value in letter.headers],
        "payload_reference": letter.payload_reference,
        "payload_bytes": letter.payload_bytes,
        "replayed_at": letter.replayed_at,
    }
