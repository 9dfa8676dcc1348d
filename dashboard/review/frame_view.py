"""One frame to speak of: its picture under the map, score against threshold, good parts beside it, the trend around."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import streamlit as st
from sqlalchemy.orm import Session
from streamlit.delta_generator import DeltaGenerator

from dashboard import context, formatting
from dashboard.auth import identity
from dashboard.charts import scores
from dashboard.components import elements, similar_images, verdict_html
from dashboard.review import labelling, review_html, review_session
from dashboard.review.labelling import ShownFrame
from dashboard.station import verdict_view
from storage.line import stations, verdicts
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.stations import Station
from storage.line.verdicts import TrendPoint, Verdict
from storage.review import reviews
from storage.review.reviews import Review

AROUND = timedelta(minutes=30)
BUCKET = timedelta(minutes=1)
MOST_FLAGGED = 200  # points in the trend around a frame
NORMALS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class FrameDetails:
    """Everything that is shown of a frame, read in one transaction."""

    frame: Verdict
    station: Station
    shown: ShownFrame
    history: list[Review]
    normal_set: NormalSet | None
    trend: list[TrendPoint]
    flagged: list[Verdict]
    types: list[str]


def sight(session: Session, frame: Verdict) -> FrameDetails:
    since, until = frame.captured_at - AROUND, frame.captured_at + AROUND
    history = reviews.history(session, frame.frame_id)
    return FrameDetails(
        frame=frame,
        station=stations.by_id(session, frame.station_id),
        shown=ShownFrame(frame.frame_id, history[0].id if history else 0),
        history=history,
        normal_set=verdict_view.normal_set_of(session, frame),
        trend=verdicts.trend(session, frame.station_id, since, until, BUCKET),
        flagged=verdicts.recent(
            session, frame.station_id, since=since, until=until, decision="flag", limit=MOST_FLAGGED
        ),
        types=review_session.types_of(session, frame.station_id),
    )


def head(sight: FrameDetails, waiting: int | None, *, sampled: bool = False) -> None:
    """Station, how many wait, and the verdict, without a truth label: a review is a word of its own."""
    st.html(
        review_html.place_line(sight.station.name, waiting, sampled=sampled)
        + verdict_html.verdict_line(replace(sight.frame, truth=None), context.zone())
    )


def words_bar(bar: DeltaGenerator, sight: FrameDetails, undoes: list[Review], *, queued: bool) -> None:
    """Words and defect types, drawn into `bar` when the frame has been: no key speaks of what is not on the screen."""
    with bar:
        word_buttons(sight, undoes, queued=queued)
        types_row(sight)


def word_buttons(sight: FrameDetails, undoes: list[Review], *, queued: bool) -> None:
    """The words as buttons with their keys; a frame that somebody looked up is not skipped."""
    shown, passed = sight.shown, sight.frame.decision == "pass"
    may, pick = identity.may("review.label"), identity.may("normal_set.propose")
    with st.container(horizontal=True, gap="xsmall", key="words"):
        say("Defect", "report", "D", shown, "defect", may)
        say(review_html.GOOD_PART if passed else "False alarm", "verified", "F", shown, "false_alarm", may)
        say("Unsure", "help", "U", shown, "unsure", may)
        st.button(
            "Good, and into the normal set",
            key=f"say-pick-{shown.frame_id}-{shown.last_review_id}",
            icon=":material/add_photo_alternate:",
            shortcut="G",
            disabled=not (may and pick),
            help="Says what F says, and wants this picture in the station's next normal set.",
            on_click=review_session.say,
            args=([shown], "false_alarm", True),
        )
        if queued:
            next_button([shown])
        undo_button(undoes)
        if queued:  # one button has one key; this one, which nobody sees, does the same by the arrow
            st.button("Next", key=f"arrow-{shown.frame_id}", shortcut="Right", on_click=skip_one, args=(shown,))


def say(caption: str, icon: str, key: str, shown: ShownFrame, label: str, may: bool) -> None:
    """The button's name holds the frame, so that a press that comes late speaks of what was seen, not of what is."""
    st.button(
        caption,
        key=f"say-{label}-{shown.frame_id}-{shown.last_review_id}",
        icon=f":material/{icon}:",
        shortcut=key,
        disabled=not may,
        on_click=review_session.say,
        args=([shown], label),
    )


def next_button(shown: list[ShownFrame]) -> None:
    st.button(
        "Next",
        key=f"next-{shown[0].frame_id}",
        icon=":material/skip_next:",
        shortcut="N",
        on_click=review_session.skip,
        args=([one.frame_id for one in shown],),
    )


def skip_one(shown: ShownFrame) -> None:
    review_session.skip([shown.frame_id])


def undo_button(undoes: list[Review]) -> None:
    """Takes back what this person said last; the button's name holds it, so that twice pressed it is once undone."""
    last = undoes[0] if undoes else None
    review_session.offer_undo([one.id for one in undoes])
    st.button(
        "Undo",
        key=f"undo-{last.id if last else 0}",
        icon=":material/undo:",
        shortcut="Z",
        disabled=last is None or not identity.may("review.undo"),
        on_click=review_session.undo_offered,
        args=([one.id for one in undoes],),
    )


def types_row(sight: FrameDetails) -> None:
    """Defect types with the keys 1 to 9, and a field for another one."""
    shown, may = sight.shown, identity.may("review.label")
    marked = review_session.marked(shown.frame_id)
    with st.container(horizontal=True, gap="xsmall", key="types", vertical_alignment="center"):
        for number, name in enumerate(sight.types, start=1):
            st.button(
                name,
                key=f"type-{number}-{shown.frame_id}-{shown.last_review_id}",
                shortcut=str(number),
                type="primary" if name in marked else "secondary",
                disabled=not may,
                on_click=review_session.mark,
                args=(shown.frame_id, name),
            )
        st.text_input(
            "Another type",
            key="another_type",
            placeholder="another type",
            max_chars=64,
            label_visibility="collapsed",
            width=130,
            disabled=not may,
            on_change=review_session.add_type,
            args=(sight.station.id, shown.frame_id, "another_type"),
        )


def body(sight: FrameDetails) -> None:
    """Picture on the left, what helps to judge it on the right, provenance under both."""
    frame = sight.frame
    left, right = st.columns([8, 5], gap="small")
    with left:
        verdict_view.picture(frame)
    with right, st.container(key="beside-frame"):
        st.html(review_html.big_bar(frame))
        good_parts(sight)
        around(sight)
        components(frame)
    if sight.history:
        now = context.now()
        st.html(elements.heading("What was said of it") + "".join(review_html.said(one, now) for one in sight.history))
    with st.expander("Provenance", icon=":material/receipt_long:"):
        st.html(verdict_html.provenance(frame, sight.normal_set, context.zone()))


def components(frame: Verdict) -> None:
    if not frame.components:
        return
    st.html(elements.heading("What the score is made of"))
    st.echarts_chart(
        scores.components(frame.components, context.colours()),
        height=16 + 26 * len(frame.components),
        key="components",
        alt="Components: "
        + ", ".join(f"{name} {formatting.score(value)}" for name, value in sorted(frame.components.items())),
    )


def good_parts(sight: FrameDetails) -> None:
    """The good parts that it was compared with, those that look most like the frame first."""
    version = sight.normal_set
    if version is None:
        st.html(elements.heading("Compared with", "no normal set"))
        return
    images = most_alike(sight.frame, version)
    st.html(
        elements.heading("Good parts", f"normal set v{version.version}, {len(version.images)} images, nearest first")
    )
    with st.grid(min_column_width=105, gap="xxsmall", key="normals"):
        for image in images[:NORMALS_SHOWN]:
            if copy := context.small_copy(image.reference, 240, 240):
                st.image(copy, width="stretch", alt=f"Good part {image.name}")


def most_alike(frame: Verdict, version: NormalSet) -> list[NormalImage]:
    """By their looks alone: what the detector calls nearest would need its model, which pages have not."""
    of_frame = glance(frame.image_reference)
    looks = {image.reference: found for image in version.images if (found := glance(image.reference))}
    if of_frame is None or not looks:
        return list(version.images)
    order = {reference: place for place, reference in enumerate(similar_images.nearest(of_frame, looks))}
    return sorted(version.images, key=lambda image: order.get(image.reference, len(order)))


def glance(reference: str) -> similar_images.Fingerprint | None:
    """How a kept picture looks, of its small copy; None where it can't be shown."""
    copy = context.small_copy(reference, 240, 240)
    return None if copy is None else _look(reference, copy)


@st.cache_resource(max_entries=5000, show_spinner=False)
def _look(reference: str, _copy: bytes) -> similar_images.Fingerprint:
    return similar_images.look(_copy)


def around(sight: FrameDetails) -> None:
    """The station's scores half an hour before and after the frame."""
    frame = sight.frame
    since, until = frame.captured_at - AROUND, frame.captured_at + AROUND
    st.html(elements.heading("Scores around it", "half an hour before and after"))
    option = scores.trend(sight.trend, sight.flagged, since, until, BUCKET, context.colours())
    st.echarts_chart(
        with_this_frame(option, frame),
        height=190,
        key="around",
        alt=f"Scores of {sight.station.name} around this frame; {len(sight.flagged)} flagged frames",
    )


def with_this_frame(option: scores.Option, frame: Verdict) -> scores.Option:
    """The trend with a ring around the frame that is looked at."""
    colours = context.colours()
    ring = {
        "name": "this frame",
        "type": "scatter",
        "data": [] if frame.score is None else [[1000 * frame.captured_at.timestamp(), frame.score]],
        "symbol": "circle",
        "symbolSize": 20,
        "z": 6,
        "silent": True,
        "itemStyle": {"color": "transparent", "borderColor": colours.ink, "borderWidth": 2.5},
    }
    legend = {**option["legend"], "itemGap": 10, "data": [{"name": "mean score"}, {"name": "threshold"}]}
    return {**option, "series": [*option["series"], ring], "legend": legend}


def last_words(session_now: datetime, mine: list[Review], frames: dict[object, Verdict], counting: set[int]) -> None:
    """What this person said last, each to be taken back; false alarms can still go into the normal set."""
    if not mine:
        return
    may_undo, may_pick = identity.may("review.undo"), identity.may("normal_set.propose")
    st.html(elements.heading("Your last words", "newest first"))
    with st.grid(min_column_width=150, gap="xsmall", key="last-words"):
        for review in mine:
            frame = frames.get(review.frame_id)
            with st.container(key=f"word-{review.id}", gap="xxsmall"):
                copy = context.small_copy(frame.image_reference, 240, 180) if frame else None
                if copy:
                    st.image(copy, width="stretch", alt="The frame that was spoken of")
                st.html(review_html.said(review, session_now))
                if review.id not in counting:
                    continue
                with st.container(horizontal=True, gap="xxsmall"):
                    st.button(
                        "Take back",
                        key=f"back-{review.id}",
                        type="tertiary",
                        disabled=not may_undo,
                        on_click=review_session.undo,
                        args=([review.id],),
                    )
                    if review.label == "false_alarm":
                        st.button(
                            "To normal set",
                            key=f"pick-{review.id}",
                            type="tertiary",
                            disabled=not may_pick,
                            on_click=review_session.pick,
                            args=(review.frame_id,),
                        )


def undoes(session: Session, who: str, most: int) -> list[Review]:
    """What Z takes back now."""
    return labelling.last_batch(session, who, most)
