"""One frame to label: the inspection picture, the score, similar good parts, the scores around it, and its reviews."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import streamlit as st
from markupsafe import Markup
from sqlalchemy.orm import Session
from streamlit.delta_generator import DeltaGenerator

from dashboard.charts import scores
from dashboard.components import elements, image_grid, verdict_html
from dashboard.components.picture import inspection_picture
from dashboard.components.picture.inspection_picture import PictureData
from dashboard.components.picture.similar_normals import by_similarity
from dashboard.context import PageContext
from dashboard.review import label_buttons, review_html, review_session
from dashboard.review.labelling import ShownFrame
from dashboard.station import verdict_view
from storage.line import stations, thresholds, verdicts
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold
from storage.line.verdicts import Verdict
from storage.review import review_queue, reviews
from storage.review.review_queue import QueueFilter
from storage.review.reviews import Review
from storage.rollups import trends
from storage.rollups.trends import TrendPoint

HALF_WINDOW = timedelta(minutes=30)
BUCKET = timedelta(minutes=1)
MAX_FLAGGED_POINTS = 200
NORMALS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class FrameDetails:
    """Everything that is shown of a frame, read in one transaction before any of it is drawn."""

    frame: Verdict
    station: Station
    shown: ShownFrame
    history: list[Review]
    normal_set: NormalSet | None
    trend: list[TrendPoint]
    flagged: list[Verdict]
    thresholds: list[Threshold]
    types: list[str]
    picture: PictureData | None


def load_details(page: PageContext, session: Session, frame: Verdict) -> FrameDetails:
    """Read everything that is shown of a frame."""
    since, until = frame.captured_at - HALF_WINDOW, frame.captured_at + HALF_WINDOW
    history = reviews.history(session, frame.frame_id)
    station, normal_set = stations.by_id(session, frame.station_id), verdict_view.normal_set_of(session, frame)
    return FrameDetails(
        frame=frame,
        station=station,
        shown=ShownFrame(frame.frame_id, history[0].id if history else 0),
        history=history,
        normal_set=normal_set,
        trend=trends.trend(session, frame.station_id, since, until, BUCKET),
        flagged=verdicts.recent(
            session, frame.station_id, since=since, until=until, decision="flag", limit=MAX_FLAGGED_POINTS
        ),
        thresholds=thresholds.history(session, frame.station_id),
        types=review_session.types_of_station(page, session, frame.station_id),
        picture=inspection_picture.prepare(page, frame, station.name, normal_set),
    )


def draw_next_ahead(page: PageContext, queue: QueueFilter, frame: Verdict) -> None:
    """Send the picture of the frame that probably follows in the queue; call it after everything was drawn."""
    with page.read() as session:
        queued = review_queue.list_queued(session, queue, limit=2)
        following = next((other for other in queued if other.frame_id != frame.frame_id), None)
        if following is None:
            return
        verdict = verdicts.get(session, following.frame_id)
        station, normal_set = stations.by_id(session, verdict.station_id), verdict_view.normal_set_of(session, verdict)
    inspection_picture.draw_ahead(inspection_picture.prepare(page, verdict, station.name, normal_set))


def header(
    page: PageContext, details: FrameDetails, queued: int | None, *, sampled: bool = False, asked: bool = False
) -> None:
    """Draw the station, the length of the queue, and the verdict; without ground truth, which would bias the label."""
    st.html(
        review_html.queue_line(details.station.name, queued, sampled=sampled, asked=asked)
        + verdict_html.headline(replace(details.frame, truth=None), page.time_zone)
    )


def controls(
    page: PageContext, toolbar: DeltaGenerator, details: FrameDetails, undoable: Sequence[Review], *, queued: bool
) -> None:
    """Draw the labels and the defect types into `toolbar`.

    Call it after the frame was drawn, so that no key applies to a frame that is not on the screen yet.
    """
    with toolbar:
        label_buttons.label_buttons(page, details.shown, details.frame.decision, undoable, queued=queued)
        label_buttons.defect_types(page, details.shown, details.station.id, details.types)


def body(page: PageContext, details: FrameDetails) -> None:
    """Draw the inspection picture at the left, context for the label at the right, and the reviews and provenance."""
    frame = details.frame
    left, right = st.columns([8, 5], gap="small")
    with left:
        inspection_picture.draw(details.picture)
    with right, st.container(key="beside-frame"):
        st.html(verdict_html.score_bar(frame))
        good_parts(page, details)
        scores_around(page, details)
        verdict_view.components(page, frame)
    if details.history:
        now = page.now()
        lines = Markup("").join(review_html.review_line(review, now) for review in details.history)
        st.html(elements.heading("Reviews of this frame") + lines)
    with st.expander("Provenance", icon=":material/receipt_long:"):
        without_truth = replace(frame, truth=None)  # which would bias the label
        st.html(verdict_html.provenance(without_truth, details.normal_set, page.time_zone))


def good_parts(page: PageContext, details: FrameDetails) -> None:
    """Draw the good parts that the frame was compared with, the most similar first."""
    version = details.normal_set
    if version is None:
        st.html(elements.heading("Compared with", "no normal set"))
        return
    images = by_similarity(page, details.frame, version)[:NORMALS_SHOWN]
    note = f"normal set v{version.version}, {len(version.images)} images, most similar first"
    st.html(elements.heading("Good parts", note))
    with st.grid(min_column_width=105, gap="xxsmall", key="normals"):
        image_grid.images_without_captions(
            page, [(image.reference, f"Good part {image.name}") for image in images], version.station_id
        )


def scores_around(page: PageContext, details: FrameDetails) -> None:
    """Draw the station's scores half an hour before and after the frame."""
    frame = details.frame
    since, until = frame.captured_at - HALF_WINDOW, frame.captured_at + HALF_WINDOW
    st.html(elements.heading("Scores around this frame", "half an hour before and after"))
    trend = scores.trend(details.trend, details.flagged, since, until, BUCKET, page.palette, details.thresholds)
    st.echarts_chart(
        scores.with_frame_marked(trend, frame, page.palette),
        height=190,
        key="around",
        alt=f"Scores of {details.station.name} around this frame; {len(details.flagged)} flagged frames",
    )


def recent_labels(
    page: PageContext, own_reviews: Sequence[Review], frames: Mapping[UUID, Verdict], current_ids: Collection[int]
) -> None:
    """Draw a person's newest reviews, each with buttons to undo it and to propose a false reject as a good part.

    Args:
        page: The page's context.
        own_reviews: The reviews.
        frames: Verdicts by frame id; one that was deleted is missing.
        current_ids: Ids of the reviews that still are the newest of their frame.
    """
    if not own_reviews:
        return
    st.html(elements.heading("Your recent labels", "newest first"))
    with st.grid(min_column_width=150, gap="xsmall", key="recent-labels"):
        for review in own_reviews:
            frame = frames.get(review.frame_id)
            with st.container(key=f"review-{review.id}", gap="xxsmall"):
                if frame and (thumbnail := page.thumbnail(frame.image_reference, 240, 180, frame.station_id)):
                    st.image(thumbnail, width="stretch", alt="The frame that was labelled")
                st.html(review_html.review_line(review, page.now()))
                if review.id in current_ids:
                    review_buttons(page, review)


def review_buttons(page: PageContext, review: Review) -> None:
    """Draw the buttons under one of the person's reviews."""
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Undo",
            key=f"undo-review-{review.id}",
            type="tertiary",
            disabled=not page.is_allowed("review.undo"),
            on_click=review_session.undo,
            args=(page, [review.id]),
        )
        if review.label == "false_alarm":
            st.button(
                "Add to normal set",
                key=f"propose-{review.id}",
                type="tertiary",
                disabled=not page.is_allowed("normal_set.propose"),
                on_click=review_session.propose_as_normal,
                args=(page, review.frame_id),
            )
