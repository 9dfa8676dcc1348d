"""What-ifs: the change that activating a version would make, computed by a scorer and shown frame by frame."""

from collections.abc import Sequence
from uuid import UUID

import streamlit as st
from markupsafe import Markup
from sqlalchemy.orm import Session

from dashboard import formatting, mutations
from dashboard.components import elements, job_progress
from dashboard.components.elements import Metric
from dashboard.components.image_grid import CaptionedImage, image_grid
from dashboard.context import PageContext
from dashboard.normals import normals_html, versions_view
from storage.actions import jobs as job_actions
from storage.errors import NotFound
from storage.line import jobs, verdicts
from storage.line.jobs import Job
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.what_if import DecisionFlip, WhatIfResult
from storage.review import labels

FLIPS_SHOWN = 16
FRAME_COUNTS = (100, 200, 500, 1000, 5000)


def what_if_view(page: PageContext, station: Station, versions: Sequence[NormalSet]) -> None:
    """Draw the form that starts a what-if, the progress of a running one, and the newest results."""
    with page.read() as session:
        found = jobs.recent(session, station.id, kind="what_if")
        scorer_alive = job_progress.any_scorer_alive(page, session)
        has_labels = bool(labels.counts(session, station.id))
    running = next((job for job in found if not job.is_over), None)
    with st.container(border=True, key="card-what-if"):
        note = "the newest frames are scored again, reviewed ones first"
        st.html(elements.heading("What if another version were active?", note))
        if not has_labels:
            st.caption(
                "No frame of this station has been reviewed: the what-if will show whose decision changes, but not "
                "whether the change is right. Review some frames first."
            )
        start_form(page, station, versions, running, scorer_alive=scorer_alive)
        if running:
            job_progress.job_under_way(page, running, scorer_alive=scorer_alive)
    finished = [job for job in found if job.is_over]
    if not finished:
        return
    selected = choose_result(page, finished)
    job_progress.show_failure(selected)
    if selected.state == "done":
        show_result(page, station, versions, WhatIfResult.from_json(selected.result))


def start_form(
    page: PageContext, station: Station, versions: Sequence[NormalSet], running: Job | None, *, scorer_alive: bool
) -> None:
    """Draw the choice of a version and a number of frames, and the button that starts a what-if."""
    inactive_first = sorted(versions, key=lambda version: version.state == "active")
    by_name = {versions_view.version_name(version): version for version in inactive_first}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Version",
            list(by_name),
            key="what_if_version",
            format_func=lambda each: versions_view.version_label(by_name[each]),
            width=260,
        )
        frames = st.selectbox("Frames", FRAME_COUNTS, index=1, key="what_if_last", width=110)
        st.button(
            "Start what-if",
            key=f"start-{running.id if running else 0}",
            type="primary",
            icon=":material/science:",
            disabled=not page.is_allowed("job.start") or running is not None or name is None,
            on_click=start,
            args=(page, station, by_name[name].version if name else 0, frames),
        )
    if not scorer_alive and running is None:
        st.warning(job_progress.NO_SCORER, icon=":material/power_off:")


def start(page: PageContext, station: Station, version: int, frames: int) -> None:
    """Start a what-if unless one is running, so that two presses start one."""
    with page.read() as session:
        newest = job_progress.newest_job(session, station, "what_if")
    if newest is not None and not newest.is_over:
        return
    mutations.apply(
        page,
        lambda session, actor: job_actions.start_what_if(session, actor, station.name, version, page.now(), frames),
        "The what-if was started.",
    )


def choose_result(page: PageContext, finished: Sequence[Job]) -> Job:
    """Draw the choice between several results and return the selected one, by default the newest."""
    if len(finished) == 1:
        return finished[0]
    now = page.now()
    names = {job.id: f"version {job.payload['version']}, {formatting.ago(job.requested_at, now)}" for job in finished}
    selected = st.selectbox(
        "Result", list(names), format_func=lambda each: names[each], key="what_if_result", width=280
    )
    return next(job for job in finished if job.id == selected)


def show_result(page: PageContext, station: Station, versions: Sequence[NormalSet], result: WhatIfResult) -> None:
    """Draw the result of a what-if, and the button that activates its version."""
    with page.read() as session:
        images = images_of(session, [*result.to_pass[:FLIPS_SHOWN], *result.to_flag[:FLIPS_SHOWN]])
    with st.container(border=True, key="card-result"):
        st.html(elements.heading(f"If version {result.version} were active", rescored_note(result)))
        st.html(metrics(result))
        st.markdown(result.guarantee)
        left, right = st.columns(2, gap="small")
        with left:
            flips(page, "Flagged now, would pass", result.to_pass, images, "to-pass")
        with right:
            flips(page, "Passed now, would be flagged", result.to_flag, images, "to-flag")
        version = next((version for version in versions if version.version == result.version), None)
        if version is not None and version.state != "active":
            versions_view.activation(page, station, version)


def rescored_note(result: WhatIfResult) -> str:
    """Return how many frames were scored again, and how many could not be."""
    missing = f", {result.not_rescored} could not be" if result.not_rescored else ""
    own = f", {result.own} left out because they are among its images" if result.own else ""
    bad = f", {result.bad_pictures} would be bad pictures" if result.bad_pictures else ""
    return f"{formatting.plural(result.rescored, 'frame was', 'frames were')} scored again{missing}{bad}{own}"


def metrics(result: WhatIfResult) -> Markup:
    """Return the threshold, both errors on reviewed frames before and after, and how many decisions change."""
    before, after = result.before, result.after
    return elements.metrics(
        Metric("Threshold", formatting.score(result.threshold), "of this version"),
        Metric(
            "False rejects",
            f"{before.false_rejects} → {after.false_rejects}",
            f"of {formatting.plural(result.good, 'reviewed good part')}",
            tone(before.false_rejects, after.false_rejects),
        ),
        Metric(
            "Escapes",
            f"{before.escapes} → {after.escapes}",
            f"of {formatting.plural(result.defects, 'reviewed defect')}",
            tone(before.escapes, after.escapes),
        ),
        Metric("Would pass", formatting.count(len(result.to_pass)), "flagged now"),
        Metric("Would be flagged", formatting.count(len(result.to_flag)), "passed now"),
        Metric("Overall", overall(result), "on reviewed frames"),
    )


def overall(result: WhatIfResult) -> str:
    """Return whether the version makes fewer errors: better, worse, mixed, the same, or unknown without reviews."""
    if result.good + result.defects == 0:
        return "unknown"
    if result.before == result.after:
        return "the same"
    if result.after.escapes > result.before.escapes:
        return "worse"
    return "better" if result.after.false_rejects <= result.before.false_rejects else "mixed"


def tone(before: int, after: int) -> str:
    """Return the tone of an error count: a warning where it grows."""
    return "warn" if after > before else ""


def flips(page: PageContext, title: str, found: Sequence[DecisionFlip], images: dict[UUID, str], key: str) -> None:
    """Draw the frames whose decision would change, with their labels."""
    st.html(elements.heading(title, formatting.plural(len(found), "frame")))
    shown = [flip for flip in found if flip.frame_id in images][:FLIPS_SHOWN]
    alt = "A frame whose decision would change"
    image_grid(
        page,
        [CaptionedImage(images[flip.frame_id], normals_html.flip_line(flip), alt) for flip in shown],
        key,
        min_column_width=120,
    )
    if len(found) > len(shown):
        st.caption(f"and {formatting.count(len(found) - len(shown))} more")


def images_of(session: Session, found: Sequence[DecisionFlip]) -> dict[UUID, str]:
    """Return frame id → image reference of the frames whose verdict still exists."""
    references: dict[UUID, str] = {}
    for flip in found:
        try:
            references[flip.frame_id] = verdicts.get(session, flip.frame_id).image_reference
        except NotFound:
            continue
    return references
