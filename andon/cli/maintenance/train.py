"""`andon train`: learn on your own images what a detector would otherwise bring along."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from andon.cli import output
from andon.cli.context import command_context
from andon.cli.progress import progress_counter

if TYPE_CHECKING:
    from scorer.backbones.weights.store import StoredWeights, WeightsStore
    from scorer.training.episodes import EncodedSources
    from scorer.training.inctrl_trainer import InctrlTrainingConfig
    from scorer.training.train_inctrl import HeadsTarget

app = typer.Typer(help="Train what a detector learns.", no_args_is_help=True)

Data = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="DIR",
        help="A set with train/good, and test/good and test/DEFECT where there are any; give it again for several.",
        show_default=False,
    ),
]
Photos = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="A folder of photographs; anomalies are made on crops of them.", show_default=False
    ),
]
PhotoClasses = Annotated[int, typer.Option(min=1, help="Classes to make of the photographs.")]
Made = Annotated[int, typer.Option(min=0, help="Anomalies to make on each set's normals.")]
Tag = Annotated[str, typer.Option(help="What the heads are called; scorer.inctrl_heads names them.")]
Backbone = Annotated[
    str,
    typer.Option(
        metavar="BACKBONE",
        help="Another backbone than scorer.backbone; teacher:FILE.npz as andon bench accuracy reads it.",
        show_default=False,
    ),
]
LeaveOut = Annotated[
    bool,
    typer.Option(
        "--leave-one-out",
        help="Train heads without each set in turn, called held_out_SET, to see how they do on what they never saw.",
    ),
]
FramingName = Annotated[str, typer.Option("--framing", help="letterbox, stretch or centre_crop.")]
Steps = Annotated[int, typer.Option(min=1, help="Batches to learn from.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed and images give the same weights on the same device.")]
PromptsTag = Annotated[str, typer.Option("--tag", help="What the prompts are called; scorer.coop_prompts names them.")]
Words = Annotated[int, typer.Option(min=1, help="Words to learn, in front of normal or anomalous and the set's name.")]
ClassSpecific = Annotated[
    bool, typer.Option("--class-specific", help="Learn other words for normal than for anomalous.")
]


@app.callback()
def train() -> None:
    """Train what a detector learns."""


@app.command()
def inctrl(
    context: typer.Context,
    data: Data = None,
    photos: Photos = None,
    photo_classes: PhotoClasses = 200,
    made: Made = 96,
    tag: Tag = "trained",
    leave_one_out: LeaveOut = False,
    backbone: Backbone = "",
    framing: FramingName = "letterbox",
    steps: Steps = 400,
    seed: Seed = 0,
) -> None:
    """Train InCTRL's heads on scorer.backbone, which stays as it is; an interrupted run goes on where it was.

    On a CLIP (openclip/…) they are heads for the detector inctrl, on any other backbone for inctrl-visual.
    """
    from scorer.backbones.weights.store import WeightsStore
    from scorer.training.dataset import DatasetLimits, parse_whole_image_framing
    from scorer.training.inctrl_trainer import InctrlTrainingConfig
    from scorer.training.train_inctrl import (
        TrainingDataConfig,
        encode_sources,
        leave_one_set_out,
        load_training_classes,
        student,
    )

    settings = command_context(context).settings().scorer
    recipe, framed = InctrlTrainingConfig(steps=steps, seed=seed), parse_whole_image_framing(framing)
    asked = TrainingDataConfig(data or [], photos, photo_classes, DatasetLimits(made=made))
    found = load_training_classes(asked, seed)
    learner = student(settings, framed, backbone)
    folder = WeightsStore(settings.weights_path)
    with progress_counter("classes looked at", len(found)) as advance:
        sources = encode_sources(learner, found, folder, advance)
    if not leave_one_out:
        _train(learner, sources, recipe, tag, folder)
        return
    for held_out, others in leave_one_set_out(sources, [folder.resolve().name for folder in asked.data]):
        _train(learner, others, recipe, held_out, folder)


@app.command()
def coop(
    context: typer.Context,
    data: Data = None,
    photos: Photos = None,
    photo_classes: PhotoClasses = 200,
    made: Made = 96,
    tag: PromptsTag = "trained",
    words: Words = 16,
    class_specific: ClassSpecific = False,
    framing: FramingName = "letterbox",
    steps: Steps = 1000,
    seed: Seed = 0,
) -> None:
    """Learn CoOp's prompts on the CLIP that scorer.backbone names, which stays as it is.

    Each set's folder is called what it shows. An interrupted run looks at its pictures again and goes on where it was.
    """
    from scorer.backbones.weights.store import WeightsStore
    from scorer.training.coop_trainer import CoopTrainingConfig, load_training_data, train_prompts
    from scorer.training.dataset import DatasetLimits, parse_whole_image_framing
    from scorer.training.train_inctrl import TrainingDataConfig, load_training_classes

    settings = command_context(context).settings().scorer
    recipe, framed = CoopTrainingConfig(words, class_specific, steps, seed=seed), parse_whole_image_framing(framing)
    found = load_training_classes(TrainingDataConfig(data or [], photos, photo_classes, DatasetLimits(made=made)), seed)
    with progress_counter("pictures looked at", sum(len(material.queries) for material in found)) as advance:
        seen = load_training_data(settings, framed, found, advance)
    with progress_counter(f"steps of {tag}", steps) as advance:
        kept = train_prompts(seen, recipe, tag, WeightsStore(settings.weights_path), lambda step, _: advance(step))
    _say(kept, "scorer.coop_prompts")


def _train(
    learner: "HeadsTarget", sources: "EncodedSources", recipe: "InctrlTrainingConfig", tag: str, folder: "WeightsStore"
) -> None:
    from scorer.training.train_inctrl import train_heads

    with progress_counter(f"steps of {tag}", recipe.steps) as advance:
        kept = train_heads(learner, sources, recipe, tag, folder, advance)
    _say(kept, "scorer.inctrl_heads")


def _say(kept: "StoredWeights", setting: str) -> None:
    output.print_result(
        f"{kept.card.name} is in {kept.path} (sha256 {kept.sha256}); set {setting} to {kept.card.tag} to use it."
    )
