"""`andon train`: train the learned parts of detectors on your own images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import output
from andon.cli.context import command_context
from andon.cli.options import MAX_SEED
from andon.cli.progress import progress_counter

if TYPE_CHECKING:
    from scorer.backbones.weights.store import StoredWeights, WeightsStore
    from scorer.training.inctrl.episodes import EncodedSources
    from scorer.training.inctrl.train import HeadsTarget
    from scorer.training.inctrl.trainer import InctrlTrainingConfig

app = typer.Typer(help="Train the learned parts of detectors.", no_args_is_help=True)

Data = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="DIR",
        help="A dataset with train/good and, if there are any, test/good and test/DEFECT; repeat it for several.",
        show_default=False,
    ),
]
Photos = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="A folder of photographs; anomalies are synthesised on crops of them.", show_default=False
    ),
]
PhotoClasses = Annotated[int, typer.Option(min=1, max=10_000, help="Classes to make from the photographs.")]
Synthetic = Annotated[
    int, typer.Option(min=0, max=100_000, help="Anomalies to synthesise on the normals of each dataset.")
]
Tag = Annotated[str, typer.Option(help="The name of the heads, for scorer.inctrl_heads.")]
Backbone = Annotated[
    str,
    typer.Option(
        metavar="BACKBONE",
        help="Another backbone than scorer.backbone; teacher:FILE.npz as for andon bench accuracy.",
        show_default=False,
    ),
]
LeaveOut = Annotated[
    bool,
    typer.Option(
        "--leave-one-out",
        help="Train heads without each dataset in turn, as held_out_DATASET, to evaluate them on an unseen dataset.",
    ),
]
FramingName = Annotated[str, typer.Option("--framing", help="letterbox, stretch or centre_crop.")]
Steps = Annotated[int, typer.Option(min=1, max=10_000_000, help="Batches to train on.")]
Seed = Annotated[
    int, typer.Option(min=0, max=MAX_SEED, help="Equal seeds and images give equal weights on the same device.")
]
PromptsTag = Annotated[str, typer.Option("--tag", help="The name of the prompts, for scorer.coop_prompts.")]
ContextTokens = Annotated[
    int,
    typer.Option(min=1, max=64, help="Context vectors to learn, before normal or anomalous and the dataset's name."),
]
ClassSpecific = Annotated[
    bool, typer.Option("--class-specific", help="Learn separate context vectors for normal and anomalous.")
]


@app.callback()
def train() -> None:
    """Train the learned parts of detectors."""


@app.command()
def inctrl(
    context: typer.Context,
    data: Data = None,
    photos: Photos = None,
    photo_classes: PhotoClasses = 200,
    synthetic: Synthetic = 96,
    tag: Tag = "trained",
    leave_one_out: LeaveOut = False,
    backbone: Backbone = "",
    framing: FramingName = "letterbox",
    steps: Steps = 400,
    seed: Seed = 0,
) -> None:
    """Train InCTRL's heads on the frozen backbone scorer.backbone; an interrupted run resumes where it stopped.

    On a CLIP (openclip/…) they are heads for the detector inctrl, on any other backbone for inctrl-visual.
    """
    from scorer.backbones.weights.store import WeightsStore
    from scorer.training.images.dataset import (
        DatasetLimits,
        TrainingDataConfig,
        load_training_classes,
        parse_whole_image_framing,
    )
    from scorer.training.inctrl.train import encode_sources, leave_one_set_out, load_heads_target
    from scorer.training.inctrl.trainer import InctrlTrainingConfig

    settings = command_context(context).settings().scorer
    config, framed = InctrlTrainingConfig(steps=steps, seed=seed), parse_whole_image_framing(framing)
    datasets = data or []
    limits = DatasetLimits(synthetic=synthetic)
    classes = load_training_classes(TrainingDataConfig(datasets, photos, photo_classes, limits), seed)
    target = load_heads_target(settings, framed, backbone)
    store = WeightsStore(settings.weights_path)
    with progress_counter("classes encoded", len(classes)) as advance:
        sources = encode_sources(target, classes, store, advance)
    if not leave_one_out:
        _train_heads(target, sources, config, tag, store)
        return
    for held_out_tag, others in leave_one_set_out(sources, [folder.resolve().name for folder in datasets]):
        _train_heads(target, others, config, held_out_tag, store)


@app.command()
def coop(
    context: typer.Context,
    data: Data = None,
    photos: Photos = None,
    photo_classes: PhotoClasses = 200,
    synthetic: Synthetic = 96,
    tag: PromptsTag = "trained",
    context_tokens: ContextTokens = 16,
    class_specific: ClassSpecific = False,
    framing: FramingName = "letterbox",
    steps: Steps = 1000,
    seed: Seed = 0,
) -> None:
    """Learn CoOp's prompts on the frozen CLIP scorer.backbone.

    A dataset's folder name is the noun of its prompts. An interrupted run encodes its images again and resumes where it
    stopped.
    """
    from scorer.backbones.weights.store import WeightsStore
    from scorer.training.coop.train import load_training_data, train_prompts
    from scorer.training.coop.trainer import CoopTrainingConfig
    from scorer.training.images.dataset import (
        DatasetLimits,
        TrainingDataConfig,
        load_training_classes,
        parse_whole_image_framing,
    )

    settings = command_context(context).settings().scorer
    config = CoopTrainingConfig(context_tokens, class_specific, steps, seed=seed)
    framed = parse_whole_image_framing(framing)
    limits = DatasetLimits(synthetic=synthetic)
    classes = load_training_classes(TrainingDataConfig(data or [], photos, photo_classes, limits), seed)
    image_count = sum(len(training_class.queries) for training_class in classes)
    with progress_counter("images encoded", image_count) as advance:
        training_data = load_training_data(settings, framed, classes, advance)
    store = WeightsStore(settings.weights_path)
    with progress_counter(f"steps of {tag}", steps) as advance:
        stored = train_prompts(training_data, config, tag, store, lambda step, _: advance(step))
    _print_stored(stored, "scorer.coop_prompts")


def _train_heads(
    target: "HeadsTarget", sources: "EncodedSources", config: "InctrlTrainingConfig", tag: str, store: "WeightsStore"
) -> None:
    from scorer.training.inctrl.train import train_heads

    with progress_counter(f"steps of {tag}", config.steps) as advance:
        stored = train_heads(target, sources, config, tag, store, lambda step, _: advance(step))
    _print_stored(stored, "scorer.inctrl_heads")


def _print_stored(stored: "StoredWeights", setting: str) -> None:
    output.print_result(
        f"{stored.card.name} is in {stored.path} (sha256 {stored.sha256}); set {setting} to {stored.card.tag} to use "
        "it."
    )
