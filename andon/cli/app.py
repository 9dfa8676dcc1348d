"""The `andon` command: options before the command's name, one file a noun, and how errors reach a person.

Nothing heavy is imported here or at the top of a noun's file: `andon --help` must not wait for torch.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

from andon.cli import output
from andon.cli.context import CommandContext, command_context
from andon.cli.line import dashboard, demo, produce, score
from andon.cli.maintenance import bench, config, db, train, user, weights
from andon.cli.options import json_keys_help
from andon.cli.results import alerts, audit, dead_letters, kpi, report, review, verdicts
from andon.cli.stations import normals, station, threshold
from foundation.errors import AndonError

COMMAND_ORDER = (
    "station",
    "normals",
    "threshold",
    "demo",
    "produce",
    "score",
    "dashboard",
    "verdicts",
    "review",
    "alerts",
    "kpi",
    "report",
    "dead-letters",
    "audit",
    "user",
    "weights",
    "train",
    "bench",
    "db",
    "config",
)


class OrderedGroup(TyperGroup):
    """Lists commands in the order in which a newcomer needs them."""

    def list_commands(self, ctx: object) -> list[str]:
        return sorted(
            self.commands, key=lambda name: COMMAND_ORDER.index(name) if name in COMMAND_ORDER else len(COMMAND_ORDER)
        )


app = typer.Typer(
    name="andon",
    cls=OrderedGroup,
    help="Inspect every part on a line with a handful of good examples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
STATIONS, LINE, RESULTS, UPKEEP = "Stations", "The line", "Results", "Upkeep"
app.add_typer(station.app, name="station", rich_help_panel=STATIONS)
app.add_typer(normals.app, name="normals", rich_help_panel=STATIONS)
app.add_typer(threshold.app, name="threshold", rich_help_panel=STATIONS)
app.command("demo", rich_help_panel=LINE)(demo.demo)
app.command("produce", rich_help_panel=LINE)(produce.produce)
app.command("score", rich_help_panel=LINE)(score.score)
app.command("dashboard", rich_help_panel=LINE)(dashboard.dashboard)
app.command("verdicts", epilog=json_keys_help("each verdict", verdicts.KEYS), rich_help_panel=RESULTS)(
    verdicts.verdicts
)
app.add_typer(alerts.app, name="alerts", rich_help_panel=RESULTS)
app.command("kpi", epilog=json_keys_help("each group", kpi.KEYS), rich_help_panel=RESULTS)(kpi.kpi)
app.add_typer(report.app, name="report", rich_help_panel=RESULTS)
app.add_typer(review.app, name="review", rich_help_panel=RESULTS)
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel=RESULTS)
app.command("audit", epilog=json_keys_help("each entry", audit.KEYS), rich_help_panel=RESULTS)(audit.audit)
app.add_typer(user.app, name="user", rich_help_panel=UPKEEP)
app.add_typer(weights.app, name="weights", rich_help_panel=UPKEEP)
app.add_typer(train.app, name="train", rich_help_panel=UPKEEP)
app.add_typer(bench.app, name="bench", rich_help_panel=UPKEEP)
app.add_typer(db.app, name="db", rich_help_panel=UPKEEP)
app.command("config", epilog=json_keys_help("each setting", config.KEYS), rich_help_panel=UPKEEP)(config.config)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        output.say(f"andon {version('andon-inspection')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", help="Settings file; else ANDON_CONFIG names it, else ./andon.toml if it is there."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", metavar="", help="Show tracebacks and debug logs.")] = False,
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Inspect every part on a line with a handful of good examples."""
    asked = command_context(context)
    asked.config, asked.debug = config_file, debug


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 it can't be done (one sentence on stderr), 2 wrong usage, 130 interrupted."""
    asked = CommandContext()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = get_command(app).main(words, prog_name="andon", standalone_mode=False, obj=asked)
    except typer.TyperException as error:
        if asked.debug:
            raise
        sys.exit(_show_usage(error))
    except AndonError as error:
        if asked.debug:
            raise
        output.note(f"andon: {_one_line(error)}")
        sys.exit(1)
    except Exception as error:  # the outermost edge: whatever is left becomes one sentence
        if asked.debug:
            raise
        kind = type(error).__name__
        output.note(f"andon: unexpected {kind}: {_one_line(error)} (andon --debug … shows where)")
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _show_usage(error: typer.TyperException) -> int:
    """Write what was wrong with the command line, and which help to ask for; return the exit code."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if not message:  # help was shown in place of a missing command
        return error.exit_code
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    output.note(f"andon: {_one_line(message)}{hint}")
    return error.exit_code


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
