"""The `andon` command: its tree of commands, the options that apply to all of them, and how errors are reported.

Neither this module nor the top of a command's module imports a heavy library, so that `andon --help` is quick and a
core install, without the extras, can run every command that does not need one.
"""

import errno
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

from andon.cli import output, terminal
from andon.cli.context import CommandContext, command_context
from andon.cli.line import dashboard, demo, produce, score
from andon.cli.maintenance import bench, config, db, extensions, train, user, weights
from andon.cli.options import json_keys_help
from andon.cli.results import alerts, audit, dead_letters, kpi, outputs, report, review, verdicts
from andon.cli.stations import defects, mask, normal_jobs, normals, station, threshold
from andon.extras import DISTRIBUTION, extra_missing
from foundation.errors import AndonError

COMMAND_ORDER = (
    "station",
    "normals",
    "threshold",
    "defects",
    "demo",
    "produce",
    "score",
    "dashboard",
    "verdicts",
    "review",
    "alerts",
    "outputs",
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
    "extensions",
)


class OrderedGroup(TyperGroup):
    """A group that lists its commands in the order in which a newcomer needs them."""

    def list_commands(self, ctx: object) -> list[str]:
        """Return the names of the commands in the order of `COMMAND_ORDER`."""
        return sorted(self.commands, key=COMMAND_ORDER.index)


app = typer.Typer(
    name="andon",
    cls=OrderedGroup,
    help="Inspect every part on a line with a handful of good examples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
STATIONS, LINE, RESULTS, MAINTENANCE = "Stations", "The line", "Results", "Maintenance"
app.add_typer(station.app, name="station", rich_help_panel=STATIONS)
station.app.add_typer(mask.app, name="mask")
app.add_typer(normals.app, name="normals", rich_help_panel=STATIONS)
normals.app.command("what-if", epilog=json_keys_help("the result", normal_jobs.WHAT_IF_KEYS))(normal_jobs.what_if)
normals.app.command("propose", epilog=json_keys_help("the proposal", normal_jobs.PROPOSAL_KEYS))(normal_jobs.propose)
app.add_typer(threshold.app, name="threshold", rich_help_panel=STATIONS)
app.add_typer(defects.app, name="defects", rich_help_panel=STATIONS)
app.command("demo", rich_help_panel=LINE)(demo.demo)
app.command("produce", rich_help_panel=LINE)(produce.produce)
app.command("score", rich_help_panel=LINE)(score.score)
app.command("dashboard", rich_help_panel=LINE)(dashboard.dashboard)
app.command("verdicts", epilog=json_keys_help("each verdict", verdicts.KEYS), rich_help_panel=RESULTS)(
    verdicts.verdicts
)
app.add_typer(alerts.app, name="alerts", rich_help_panel=RESULTS)
app.add_typer(outputs.app, name="outputs", rich_help_panel=RESULTS)
app.command("kpi", epilog=json_keys_help("each group", kpi.KEYS), rich_help_panel=RESULTS)(kpi.kpi)
app.add_typer(report.app, name="report", rich_help_panel=RESULTS)
app.add_typer(review.app, name="review", rich_help_panel=RESULTS)
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel=RESULTS)
app.add_typer(audit.app, name="audit", rich_help_panel=RESULTS)
app.add_typer(user.app, name="user", rich_help_panel=MAINTENANCE)
app.add_typer(weights.app, name="weights", rich_help_panel=MAINTENANCE)
app.add_typer(train.app, name="train", rich_help_panel=MAINTENANCE)
app.add_typer(bench.app, name="bench", rich_help_panel=MAINTENANCE)
app.add_typer(db.app, name="db", rich_help_panel=MAINTENANCE)
app.command("config", epilog=json_keys_help("each setting", config.KEYS), rich_help_panel=MAINTENANCE)(config.config)
app.command("extensions", epilog=json_keys_help("each extension", extensions.KEYS), rich_help_panel=MAINTENANCE)(
    extensions.extensions
)


def _print_version(requested: bool) -> None:
    if requested:
        output.print_result(f"andon {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def set_common_options(
    context: typer.Context,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="The settings file; by default the one that ANDON_CONFIG names, or ./andon.toml if it exists.",
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", metavar="", help="Show tracebacks and debug logs.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Inspect every part on a line with a handful of good examples."""
    options = command_context(context)
    options.config, options.debug = config_file, debug
    options.command = f"andon {context.invoked_subcommand}"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with 0 (success), 1 (failure), 2 (wrong usage) or 130 (interrupted).

    Args:
        arguments: The arguments after `andon`; by default those of the command line.
    """
    terminal.prepare_streams()
    options = CommandContext()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = get_command(app).main(arguments, prog_name="andon", standalone_mode=False, obj=options)
        sys.stdout.flush()
    except Exception as error:  # the outermost boundary: a person gets one sentence instead of a traceback
        if options.debug:
            raise
        sentence, code = _describe(error, options.command)
        if isinstance(error, OSError):
            terminal.discard_output()
        if sentence:
            output.print_message(f"andon: {' '.join(sentence.split())}")
        raise SystemExit(code) from error
    sys.exit(code if isinstance(code, int) else 0)


def _describe(error: Exception, command: str) -> tuple[str, int]:
    """Return the sentence that describes an error to a person, and the exit code; no sentence where help was shown."""
    match error:
        case typer.TyperException():
            context = getattr(error, "ctx", None)
            message = error.format_message()
            hint = f" (see {context.command_path} --help)" if message and context is not None else ""
            return message + hint, error.exit_code
        case AndonError():
            return str(error), 1
        case ModuleNotFoundError() if (missing := extra_missing(command, error)) is not None:
            return str(missing), 1
        case BrokenPipeError():
            return "", 1  # the reader, such as `head`, has what it wants
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EIO):
            return f"The output can't be written: {error.strerror}.", 1
        case _:
            return f"unexpected {type(error).__name__}: {error} (andon --debug ... shows the traceback)", 1
