"""`andon bench`: evaluate the accuracy and speed of detectors on folders of images."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli import output
from andon.cli.context import command_context
from andon.cli.options import MAX_ROWS
from andon.cli.progress import progress_counter
from andon.errors import CommandFailed

app = typer.Typer(help="Evaluate detectors on your own images.", no_args_is_help=True)

Folders = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[DIR]...", help="More such folders, so that --data A B C works.", show_default=False),
]
Data = Annotated[
    list[Path],
    typer.Option(metavar="DIR", help="A folder in MVTec layout, or one that holds such folders.", show_default=False),
]
Methods = Annotated[
    str,
    typer.Option(help="Detectors, separated by commas, or all; NAME:coreset_patches=1024 sets a setting of one."),
]
Shots = Annotated[str, typer.Option(help="Numbers of normals drawn from train/good, separated by commas.")]
Seeds = Annotated[int, typer.Option(min=1, max=1000, help="Draws of the shots.")]
Backbone = Annotated[
    list[str] | None,
    typer.Option(
        help="A backbone, or teacher:FILE.npz, teacher:FOLDER (both), teacher:FILE.npz:layer2+layer3; repeat it for "
        "several. By default scorer.backbone.",
        show_default=False,
    ),
]
FramingName = Annotated[
    str, typer.Option("--framing", help="How images are framed: letterbox, stretch, centre_crop, tiles_2 or tiles_3.")
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1, max=MAX_ROWS, help="The most normals and the most anomalies to test per folder.", show_default=False
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads; by default scorer.torch_threads.")]
ResultsFile = Annotated[Path, typer.Option("--results-log", help="File of results; none in it is computed again.")]
Tokens = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Keep patch tokens there, so that a later run need not encode again."),
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the results there.")]
Markdown = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write the tables into this page, between <!-- NAME --> and <!-- end of NAME -->."
    ),
]
Name = Annotated[str, typer.Option(help="The name of the markers and the plots.")]
Plots = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Plot AUROC by shots there, as SVG; needs matplotlib.")
]


@app.callback()
def bench() -> None:
    """Evaluate detectors on your own images."""


@app.command()
def accuracy(
    context: typer.Context,
    data: Data,
    folders: Folders = None,
    methods: Methods = "all",
    shots: Shots = "2,4,8",
    seeds: Seeds = 5,
    backbone: Backbone = None,
    framing: FramingName = "letterbox",
    limit: Limit = None,
    threads: Threads = None,
    results_log: ResultsFile = Path(".andon/accuracy.jsonl"),
    tokens: Tokens = None,
    json: Json = None,
    markdown: Markdown = None,
    name: Name = "accuracy",
    plots: Plots = None,
) -> None:
    """Make the accuracy table of the named methods; an interrupted run resumes where it stopped."""
    settings = command_context(context).settings().scorer
    if threads is not None:
        settings = settings.model_copy(update={"torch_threads": threads})
    from scorer.evaluation import json_report, tables
    from scorer.evaluation import plots as auroc_plots
    from scorer.evaluation.datasets import find_datasets
    from scorer.evaluation.evaluate import EvaluationConfig, evaluate
    from scorer.evaluation.results_log import ResultsLog
    from scorer.evaluation.specs import parse_framing, parse_method_specs

    config = EvaluationConfig(
        folders=tuple(find_datasets([*data, *(folders or [])])),
        methods=tuple(parse_method_specs(methods)),
        backbones=tuple(backbone or [settings.backbone]),
        framing=parse_framing(framing),
        shots=_numbers(shots, "--shots", least=2, most=MAX_ROWS),  # one normal has no other to be scored against
        seeds=seeds,
        limit=limit,
        tokens=tokens,
    )
    with progress_counter("draws evaluated") as advance:
        results = evaluate(config, ResultsLog(results_log), settings, advance)
    built = tables.build_tables(results.metrics, results.missing)
    for table in built:
        output.print_result("")
        output.print_result(table.title)
        output.write_table(table.columns, table.rows, empty="Nothing could be evaluated.")
    if json is not None:
        json_report.write_json_report(json, results.metrics, results.missing)
    if markdown is not None:
        tables.replace_between_markers(markdown, name, tables.render_markdown(built))
    for path in auroc_plots.plot_auroc_by_shots(results.metrics, plots, name) if plots is not None else ():
        output.print_message(f"Plotted {path}.")


@app.command()
def stream(
    context: typer.Context,
    data: Data,
    folders: Folders = None,
    normals: Annotated[str, typer.Option(help="Numbers of normals that a station starts with.")] = "4",
    defects: Annotated[str, typer.Option(help="Shares of defects in the stream, such as 0,0.05.")] = "0.05",
    frames: Annotated[str, typer.Option(help="Frames after which it is tested; 0 is before the first.")] = "0,200",
    answers: Annotated[str, typer.Option(help="Numbers of frames that people answer.")] = "0,10",
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Draws of the day.")] = 3,
    backbone: Annotated[str | None, typer.Option(help="A backbone; by default scorer.backbone.")] = None,
    results_log: ResultsFile = Path(".andon/stream.jsonl"),
    markdown: Markdown = None,
    name: Name = "stream",
) -> None:
    """Simulate first days: what a station catches as it learns from its stream; resumes where it stopped."""
    settings = command_context(context).settings().scorer
    from scorer.evaluation import tables
    from scorer.evaluation.datasets import find_datasets
    from scorer.evaluation.stream.simulation import StreamConfig, simulate
    from scorer.evaluation.stream.stream_tables import stream_tables
    from storage.line.normal_sets import MAX_IMAGES, MIN_IMAGES

    config = StreamConfig(
        folders=tuple(find_datasets([*data, *(folders or [])])),
        backbone=backbone or settings.backbone,
        normals=_numbers(normals, "--normals", least=MIN_IMAGES, most=MAX_IMAGES),
        defect_rates=_shares(defects),
        frames=_numbers(frames, "--frames", least=0, most=MAX_ROWS),
        answers=_numbers(answers, "--answers", least=0, most=MAX_ROWS),
        seeds=seeds,
    )
    with progress_counter("results") as advance:
        results = simulate(config, results_log, settings, advance)
    built = stream_tables(results)
    for table in built:
        output.print_result("")
        output.print_result(table.title)
        output.write_table(table.columns, table.rows, empty="Nothing could be simulated.")
    if markdown is not None:
        tables.replace_between_markers(markdown, name, tables.render_markdown(built))


def _numbers(text: str, option: str, least: int, most: int) -> tuple[int, ...]:
    """Parse whole numbers separated by commas, each within the bounds."""
    try:
        numbers = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise CommandFailed(f"{option} takes numbers separated by commas, such as 2,4,8, not {text!r}.") from error
    if min(numbers) < least or max(numbers) > most:
        raise CommandFailed(f"{option} takes numbers from {least} to {most}, not {text!r}.")
    return numbers


def _shares(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError as error:
        raise CommandFailed(f"--defects takes fractions separated by commas, such as 0,0.05, not {text!r}.") from error
    if not all(0 <= share < 1 for share in shares):
        raise CommandFailed(f"--defects takes fractions from 0 to below 1, not {text!r}.")
    return shares
