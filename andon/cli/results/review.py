"""`andon review`: the review queue, and the labels that people give to frames."""

from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID, uuid4

import typer

from andon.cli import authentication, output
from andon.cli.context import command_context
from andon.cli.options import MAX_ID, Json, Limit, json_keys_help
from foundation.clock import utc_now

if TYPE_CHECKING:
    from storage.line.verdicts import Verdict
    from storage.review.review_queue import QueuedFrame
    from storage.review.reviews import Review

app = typer.Typer(help="Take frames from the review queue, label them, and undo a label.", no_args_is_help=True)

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
    "review_limit",
    "question",
)
KEYS = (
    "id",
    "idempotency_key",
    "frame_id",
    "station",
    "captured_at",
    "decision",
    "label",
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
        bool, typer.Option("--sample", help="Only passed frames drawn at random, from which escapes are estimated.")
    ] = False,
    questions: Annotated[
        bool,
        typer.Option("--questions", help="Only frames that stations ask about, whose labels teach them the most."),
    ] = False,
    json: Json = False,
) -> None:
    """Take the next frames to review; nobody else gets them for five minutes."""
    from storage.actions import reviews
    from storage.line import stations, verdicts
    from storage.review.review_queue import QueueFilter, QueueOrder

    if sample and questions:
        raise typer.BadParameter("take the sample or the questions, not both", param_hint="--questions")
    with authentication.authenticated_session(context) as (session, actor):
        station_id = None if station is None else stations.get(session, station).id
        names = {one.id: one.name for one in stations.list_all(session)}
        first: QueueOrder = "newest" if order == "newest" else "most_uncertain"
        filters = QueueFilter(station_id, first, only_sampled=sample, only_questions=questions)
        frames = reviews.claim(session, actor, filters, utc_now(), limit=count)
        found = [(frame, verdicts.get(session, frame.frame_id)) for frame in frames]
    if json:
        output.write_json([waiting_json_of(names[frame.station_id], frame, verdict) for frame, verdict in found])
        return
    output.write_table(
        ["captured at (UTC)", "station", "decision", "score", "review limit", "threshold", "question", "part", "frame"],
        [
            (
                verdict.captured_at,
                names[frame.station_id],
                verdict.decision,
                verdict.score,
                verdict.review_limit,
                verdict.threshold,
                frame.question,
                verdict.part_id,
                frame.frame_id,
            )
            for frame, verdict in found
        ],
        empty="No frame waits for review.",
    )


@app.command("label")
def label_frames(
    context: typer.Context,
    label: Annotated[
        Literal["defect", "false-alarm", "unsure"],
        typer.Argument(help="The label; a false alarm is a good part.", show_default=False),
    ],
    frames: Frames,
    tag: Annotated[
        list[str] | None, typer.Option(help="A defect type, for example scratch; may be repeated.", show_default=False)
    ] = None,
    note: Annotated[str, typer.Option(help="A note to store with it.")] = "",
    idempotency_key: Annotated[
        UUID | None,
        typer.Option(
            "--id", help="An id of your choice; a label that is sent twice with it counts once.", show_default=False
        ),
    ] = None,
) -> None:
    """Label frames, flagged or not; all of them or none."""
    from storage.actions import reviews
    from storage.review.labels import Label
    from storage.review.reviews import LabelSubmission

    if idempotency_key is not None and len(frames) > 1:
        raise typer.BadParameter("one id goes with one frame", param_hint="--id")
    value: Label = "false_alarm" if label == "false-alarm" else label
    submissions = [
        LabelSubmission(idempotency_key or uuid4(), frame, value, tuple(tag or ()), note) for frame in frames
    ]
    with authentication.authenticated_session(context) as (session, actor):
        recorded = reviews.label(session, actor, submissions, utc_now())
    for one in recorded:
        again = "" if one.is_new else " (recorded before)"
        output.print_result(
            f"Review {one.review.id}: frame {one.review.frame_id} is {_describe_label(one.review.label)}{again}."
        )


@app.command()
def undo(
    context: typer.Context,
    review: Annotated[
        int | None,
        typer.Argument(
            metavar="REVIEW", min=1, max=MAX_ID, help="The review's number; else your newest.", show_default=False
        ),
    ] = None,
) -> None:
    """Undo a label: the one before it counts again, or the frame waits for review again."""
    from storage.actions import reviews
    from storage.review import labels

    with authentication.authenticated_session(context) as (session, actor):
        undone = reviews.undo(session, actor, uuid4(), utc_now(), review).review
        now = labels.current(session, [undone.frame_id]).get(undone.frame_id)
    state = "it waits for review again" if now is None else f"it is {_describe_label(now.label)} again"
    output.print_result(f"Review {undone.retracts_id} is undone: frame {undone.frame_id}, {state}.")


@app.command("add-candidate")
def add_candidates(context: typer.Context, frames: Frames) -> None:
    """Propose frames for their stations' next normal sets; `andon normals draft` creates the set."""
    from storage.actions import normal_sets

    with authentication.authenticated_session(context) as (session, actor):
        new = sum([normal_sets.propose(session, actor, frame, utc_now()) for frame in frames])
    output.print_result(
        f"{new} of {len(frames)} frame{'' if len(frames) == 1 else 's'} added to the normal candidates."
    )


@app.command("list", epilog=json_keys_help("each review", KEYS))
def list_reviews(
    context: typer.Context,
    station: Annotated[str | None, typer.Argument(help="Only this station's.", show_default=False)] = None,
    by: Annotated[str | None, typer.Option(help="Only this person's.", show_default=False)] = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List reviews, newest first, those that were undone too."""
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
        ["review", "at (UTC)", "by", "station", "decision", "label", "tags", "note", "frame"],
        [
            (
                one.id,
                one.at,
                one.by,
                names[one.station_id],
                one.decision,
                _describe_label(one.label) if one.retracts_id is None else f"retracts {one.retracts_id}",
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
        "review_limit": verdict.review_limit,
        "question": frame.question,
    }


def json_of(station: str, review: "Review") -> dict[str, object]:
    """Return a review as a JSON object, with its station's name."""
    return {key: station if key == "station" else getattr(review, key) for key in KEYS}


def _describe_label(label: str) -> str:
    return {"defect": "a defect", "false_alarm": "a false alarm", "unsure": "unsure"}.get(label, label)
