"""`andon weights`: fetch, import and list model weights."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import output
from andon.cli.context import command_context
from andon.cli.progress import progress_counter
from andon.errors import CommandFailed

if TYPE_CHECKING:
    from scorer.backbones.weights.store import StoredWeights, WeightsStore

app = typer.Typer(help="Fetch, import and list model weights.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="An OpenCLIP model and its tag, MODEL:TAG, or a vision transformer of timm's, timm/MODEL.TAG.",
    ),
]
File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A checkpoint: OpenCLIP's, timm's, the official InCTRL's .pyth, or a file of another weights folder.",
        show_default=False,
    ),
]
Model = Annotated[str, typer.Option(help="The OpenCLIP model the checkpoint is of.")]
Tag = Annotated[
    str | None, typer.Option(help="What these weights are called; by default the file's name.", show_default=False)
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="An OpenCLIP model configuration (JSON), for a model OpenCLIP does not know.", show_default=False
    ),
]
Timm = Annotated[
    str | None,
    typer.Option(
        help="The timm vision transformer the checkpoint is of, such as vit_small_patch14_dinov2.lvd142m.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]


@app.command()
def fetch(context: typer.Context, name: Name = "ViT-B-16-plus-240:laion400m_e32") -> None:
    """Download weights from the hub; without a network, the error names the file to copy."""
    from scorer.backbones.weights.fetch import fetch as fetch_weights

    folder = _folder(context)
    with progress_counter("bytes fetched") as advance:
        stored = fetch_weights(folder, name, lambda done, _: advance(done))
    _print_stored(stored)


@app.command("import")
def import_weights(
    context: typer.Context,
    file: File,
    model: Model = "ViT-B-16-plus-240",
    tag: Tag = None,
    config: Config = None,
    timm: Timm = None,
) -> None:
    """Check a checkpoint and store its weights; an official InCTRL checkpoint gives towers and heads."""
    if timm is not None:
        from scorer.backbones.weights.import_timm import import_timm

        _print_stored(import_timm(_folder(context), file, timm, tag))
        return
    from scorer.backbones.weights.import_openclip import ImportOptions, import_file

    options = ImportOptions(model, tag, None if config is None else _configuration(config))
    for stored in import_file(_folder(context), file, options):
        _print_stored(stored)


@app.command("list")
def list_weights(context: typer.Context, json: Json = False) -> None:
    """List the weights in the weights folder."""
    found = _folder(context).list_all()
    if json:
        output.write_json([_json_of(stored) for stored in found])
        return
    output.write_table(
        ["name", "kind", "MB", "sha256", "from", "file"],
        [
            (
                stored.card.name,
                stored.card.kind,
                f"{stored.size_bytes / 1e6:.1f}",
                stored.sha256[:12],
                stored.card.source,
                stored.path.name,
            )
            for stored in found
        ],
        empty="There are no weights yet; get InCTRL's: andon weights fetch",
    )


def _folder(context: typer.Context) -> "WeightsStore":
    from scorer.backbones.weights.store import WeightsStore

    return WeightsStore(command_context(context).settings().scorer.weights_path)


def _configuration(path: Path) -> dict[str, object]:
    try:
        read = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CommandFailed(f"{path} is no JSON file that can be read: {error}") from error
    if not isinstance(read, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= read.keys():
        raise CommandFailed(f"{path} is no OpenCLIP configuration; it needs embed_dim, vision_cfg and text_cfg.")
    return read


def _print_stored(stored: "StoredWeights") -> None:
    output.print_result(
        f"{stored.card.name} is in {stored.path} ({stored.size_bytes / 1e6:.1f} MB, sha256 {stored.sha256})."
    )


def _json_of(stored: "StoredWeights") -> dict[str, object]:
    return {
        "name": stored.card.name,
        "kind": stored.card.kind,
        "backbone": stored.card.backbone,
        "source": stored.card.source,
        "file": stored.path,
        "size_bytes": stored.size_bytes,
        "sha256": stored.sha256,
    }
