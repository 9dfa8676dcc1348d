"""`andon review`: frames that wait for a person's word, and the words."""

from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID, uuid4

import typer

from andon.cli import authentication, output
from andon.cli.context import command_context
from andon.cli.options import Json, json_keys_help
from foundation.clock import utc_now

if TYPE_CHECKING:
    from storage.line.verdicts import Verdict
    from storage.review.review_queue import QueuedFrame
    from storage.review.reviews import Review

app = typer.Typer(
    help="Take frames from the review queue, say what they are, and take that back.", no_args_is_help=True
)

Frames = Annotated[list[UUID], typer.Argument(metavar="FRAME", help="Frames by their ids.", show_default=False)]

WAITING_KEYS = (
    "frame_id",
    "station",
    "captured_at",
    "decision",
    "score",
    "threshold",
    "margin",
    "image_reference",
    "claimed_until",
    "sampled",
)
KEYS = (
    "id",
    "idempotency_key",
    "frame_id",
    "station",
    "captured_at",
    "decision",
    "word",
    "retracts_id",
    "tags",
    "note",
    "by",
    "at",
)


@app.command("next", epilog=json_keys_help("each frame", WAITING_KEYS))
def next_frames(
    context: typer.Context,
    station: Annotated[str | None, typer.Argument(help="Only this station's.", show_default=False)] = None,
    order: Annotated[Literal["newest", "most-uncertain"], typer.Option(help="Which come first.")] = "newest",
    count: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 1,
    sample: Annotated[
        bool, typer.Option("--sample", help="Only passed frames drawn at random; escapes are told by these.")
    ] = False,
    json: Json = False,
) -> None:
    """Take the next frames that want a word: nobody else gets them for five minutes."""
    from andon import wiring
    from storage.actions import reviews
    from storage.line import stations, verdicts
    from storage.review.review_queue import QueueFilter, QueueOrder

    with wiring.open_database(command_context(context).settings()) as database:
        actor = authentication.current_actor(database)
        with database.begin() as session:
            station_id = None if station is None else stations.get(session, station).id
            names = {one.id: one.name for one in stations.list_all(session)}
            first: QueueOrder = "newest" if order == "newest" else "most_uncertain"
            wanted = QueueFilter(station_id, first, only_sampled=sample)
            frames = reviews.claim(session, actor, wanted, utc_now(), limit=count)
            found = [(frame, verdicts.get(session, frame.frame_id)) for frame in frames]
    if json:
        output.write_json([waiting_json_of(names[frame.station_id], frame, verdict) for frame, verdict in found])
        return
    output.write_table(
        ["captured at (UTC)", "station", "decision", "score", "threshold", "part", "frame"],
        [
            (
                verdict.captured_at,
                names[frame.station_id],
                verdict.decision,
                verdict.score,
                verdict.threshold,
                verdict.part_id,
                frame.frame_id,
            )
            for frame, verdict in found
        ],
        empty="No frame waits for a word.",
    )


@app.command()
def say(
    context: typer.Context,
    label: Annotated[
        Literal["defect", "false-alarm", "unsure"],
        typer.Argument(help="What they are; a false alarm is a good part.", show_default=False),
    ],
    frames: Frames,
    tag: Annotated[
        list[str] | None, typer.Option(help="A defect type, for example scratch; may be repeated.", show_default=False)
    ] = None,
    note: Annotated[str, typer.Option(help="What else there is to say.")] = "",
    idempotency_key: Annotated[
        UUID | None,
        typer.Option("--id", help="An id of your own making: said again with it, it counts once.", show_default=False),
    ] = None,
) -> None:
    """Say what frames are, flagged or not; all words are kept, or none."""
    from andon import wiring
    from storage.actions import reviews
    from storage.review.labels import Label
    from storage.review.reviews import LabelSubmission

    if idempotency_key is not None and len(frames) > 1:
        raise typer.BadParameter("one id goes with one frame", param_hint="--id")
    kept: Label = "false_alarm" if label == "false-alarm" else label
    sayings = [LabelSubmission(idempotency_key or uuid4(), frame, kept, tuple(tag or ()), note) for frame in frames]
    with wiring.open_database(command_context(context).settings()) as database:
        actor = authentication.current_actor(database)
        with database.begin() as session:
            said = reviews.label(session, actor, sayings, utc_now())
    for one in said:
        again = "" if one.is_new else " (it was said before)"
        output.print_result(
            f"Review {one.review.id}: frame {one.review.frame_id} is {_words(one.review.label)}{again}."
        )


@app.command()
def undo(
    context: typer.Context,
    review: Annotated[
        int | None, typer.Argument(metavar="REVIEW", help="Its number; else your newest.", show_default=False)
    ] = None,
) -> None:
    """Take a word back: the one before it counts again, or the frame waits again."""
    from andon import wiring
    from storage.actions import reviews
    from storage.review import labels

    with wiring.open_database(command_context(context).settings()) as database:
        actor = authentication.current_actor(database)
        with database.begin() as session:
            taken = reviews.undo(session, actor, uuid4(), utc_now(), review).review
            now = labels.current(session, [taken.frame_id]).get(taken.frame_id)
    left = "it waits for a word again" if now is None else f"it is {_words(now.label)} again"
    output.print_result(f"Review {taken.retracts_id} is taken back: frame {taken.frame_id}, {left}.")


@app.command()
def pick(context: typer.Context, frames: Frames) -> None:
    """Want frames in their stations' next normal sets; andon normals draft makes the set."""
    from andon import wiring
    from storage.actions import normal_sets

    with wiring.open_database(command_context(context).settings()) as database:
        actor = authentication.current_actor(database)
        with database.begin() as session:
            new = sum([normal_sets.propose(session, actor, frame, utc_now()) for frame in frames])
    output.print_result(
        f"{new} of {len(frames)} frame{'' if len(frames) == 1 else 's'} picked, the others were before."
    )


@app.command("list", epilog=json_keys_help("each word", KEYS))
def list_reviews(
    context: typer.Context,
    station: Annotated[str | None, typer.Argument(help="Only this station's.", show_default=False)] = None,
    by: Annotated[str | None, typer.Option(help="Only this person's.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    json: Json = False,
) -> None:
    """List what was said, newest first, with what was taken back."""
    from andon import wiring
    from storage.line import stations
    from storage.review import reviews

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        station_id = None if station is None else stations.get(session, station).id
        names = {one.id: one.name for one in stations.list_all(session)}
        found = reviews.recent(session, station_id, by=by, limit=limit)
    if json:
        output.write_json([json_of(names[one.station_id], one) for one in found])
        return
    output.write_table(
        ["review", "at (UTC)", "by", "station", "decision", "word", "tags", "note", "frame"],
        [
            (
                one.id,
                one.at,
                one.by,
                names[one.station_id],
                one.decision,
                _words(one.label) if one.retracts_id is None else f"takes back {one.retracts_id}",
                ", ".join(one.tags),
                one.note,
                one.frame_id,
            )
            for one in found
        ],
        empty="There are no reviews.",
    )


def waiting_json_of(station: str, frame: "QueuedFrame", verdict: "Verdict") -> dict[str, object]:
    """Return a queued frame as a JSON object, with its station's name."""
    return {
        "frame_id": frame.frame_id,
        "station": station,
        "captured_at": frame.captured_at,
        "decision": verdict.decision,
        "score": verdict.score,
        "threshold": verdict.threshold,
        "margin": frame.margin,
        "image_reference": verdict.image_reference,
        "claimed_until": frame.claimed_until,
        "sampled": frame.sampled,
    }


def json_of(station: str, review: "Review") -> dict[str, object]:
    """Return a review as a JSON object, with its station's name."""
    return {key: station if key == "station" else getattr(review, key) for key in KEYS}


def _words(label: str) -> str:
    return {"defect": "a defect", "false_alarm": "a false alarm", "unsure": "unsure"}.get(label, label)
