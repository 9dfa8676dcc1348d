"""What would change if a version were active: asked for, worked out by a scorer, shown frame by frame."""

from collections.abc import Sequence
from uuid import UUID

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context, formatting, mutations
from dashboard.auth import identity
from dashboard.components import elements, image_grid, job_progress
from dashboard.components.image_grid import CaptionedImage
from dashboard.normals import versions_view
from dashboard.review import review_html
from storage.actions import jobs as actions
from storage.errors import NotFound
from storage.line import jobs, verdicts
from storage.line.jobs import Job
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station
from storage.line.what_if import DecisionFlip, WhatIfResult
from storage.review import labels

FLIPS_SHOWN = 16
FRAME_NUMBERS = (100, 200, 500, 1000, 5000)


def what_if_view(place: Station, versions: Sequence[NormalSet]) -> None:
    """Start one; see how far it is; see what it found."""
    with context.reading() as session:
        found = jobs.recent(session, place.id, kind="what_if")
        scorer_runs = job_progress.is_any_scorer(session)
        counts = labels.counts(session, place.id)
    running = next((job for job in found if not job.is_over), None)
    with st.container(border=True, key="card-ask"):
        st.html(
            elements.heading(
                "What if another version were active?", "the last frames are scored again, reviewed ones first"
            )
        )
        if not counts:
            st.caption(
                "Nothing of this station has been reviewed: the what-if will show which frames flip, but not whether "
                "that is right. Review some frames first."
            )
        ask(place, versions, running, scorer_runs)
        if running:
            job_progress.under_way(running, scorer_runs)
    done = [job for job in found if job.is_over]
    if not done:
        return
    chosen = earlier(done)
    job_progress.trouble(chosen)
    if chosen.state == "done":
        result(place, versions, chosen)


def ask(place: Station, versions: Sequence[NormalSet], running: Job | None, scorer_runs: bool) -> None:
    others = [version for version in versions if version.state != "active"]
    named = {versions_view.name(version): version for version in [*others, *versions] if version in versions}
    may = identity.may("job.start")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        version = st.selectbox(
            "Version",
            list(named),
            key="what_if_version",
            format_func=lambda each: (
                f"{each} · {named[each].state} · {formatting.plural(len(named[each].images), 'image')}"
            ),
            width=260,
        )
        last = st.selectbox("Frames", FRAME_NUMBERS, index=1, key="what_if_last", width=110)
        st.button(
            "Work it out",
            key=f"start-{running.id if running else 0}",
            type="primary",
            icon=":material/science:",
            disabled=not may or running is not None or version is None,
            on_click=start,
            args=(place, named[version].version if version else 0, last),
        )
    if not scorer_runs and running is None:
        st.warning(job_progress.NOBODY, icon=":material/power_off:")


def start(place: Station, version: int, last: int) -> None:
    """Twice pressed it is asked for once."""
    with context.reading() as session:
        newest = job_progress.newest(session, place, "what_if")
    if newest is not None and not newest.is_over:
        return
    mutations.act(
        lambda session, who: actions.start_what_if(session, who, place.name, version, context.now(), last), "Asked for."
    )


def earlier(done: Sequence[Job]) -> Job:
    """The newest result, or an earlier one that was chosen."""
    if len(done) == 1:
        return done[0]
    now = context.now()
    named = {job.id: f"version {job.payload['version']}, {formatting.ago(job.requested_at, now)}" for job in done}
    chosen = st.selectbox("Result", list(named), format_func=lambda each: named[each], key="what_if_result", width=280)
    return next(job for job in done if job.id == chosen)


def result(place: Station, versions: Sequence[NormalSet], job: Job) -> None:
    found = WhatIfResult.from_json(job.result)
    with context.reading() as session:
        pictures = pictures_of(session, [*found.to_pass[:FLIPS_SHOWN], *found.to_flag[:FLIPS_SHOWN]])
    with st.container(border=True, key="card-result"):
        st.html(elements.heading(f"If version {found.version} were active", rescored(found)))
        st.html(figures(found))
        st.markdown(found.guarantee)
        left, right = st.columns(2, gap="small")
        with left:
            flips("Flagged now, would pass", found.to_pass, pictures, "to-pass")
        with right:
            flips("Passed now, would be flagged", found.to_flag, pictures, "to-flag")
        version = next((one for one in versions if one.version == found.version), None)
        if version is not None and version.state != "active":
            versions_view.activation(place, version)


def rescored(found: WhatIfResult) -> str:
    left_out = f", {found.not_rescored} could not be" if found.not_rescored else ""
    return f"{formatting.plural(found.rescored, 'frame was', 'frames were')} scored again{left_out}"


def figures(found: WhatIfResult) -> str:
    """Threshold, the two errors before and after on what people have said, and how many flip."""
    better = found.after.false_rejects <= found.before.false_rejects and found.after.escapes <= found.before.escapes
    return elements.strip(
        elements.figure("Threshold", formatting.score(found.threshold), "of this version"),
        elements.figure(
            "False rejects",
            f"{found.before.false_rejects} → {found.after.false_rejects}",
            f"of {formatting.plural(found.good, 'reviewed good part')}",
            tone(found.before.false_rejects, found.after.false_rejects),
        ),
        elements.figure(
            "Escapes",
            f"{found.before.escapes} → {found.after.escapes}",
            f"of {formatting.plural(found.defects, 'reviewed defect')}",
            tone(found.before.escapes, found.after.escapes),
        ),
        elements.figure("Flips to pass", formatting.count(len(found.to_pass)), "flagged now"),
        elements.figure("Flips to flag", formatting.count(len(found.to_flag)), "passed now"),
        elements.figure("All in all", verdict(found, better), "on what was reviewed"),
    )


def verdict(found: WhatIfResult, better: bool) -> str:
    if found.good + found.defects == 0:
        return "not known"
    if found.before == found.after:
        return "the same"
    return "better" if better else "mixed" if found.after.escapes <= found.before.escapes else "worse"


def tone(before: int, after: int) -> str:
    return "warn" if after > before else ""


def flips(heading: str, found: Sequence[DecisionFlip], pictures: dict[UUID, str], key: str) -> None:
    """Frames that would be decided the other way, with the word that was said of them."""
    st.html(elements.heading(heading, formatting.plural(len(found), "frame")))
    shown = [flip for flip in found if flip.frame_id in pictures][:FLIPS_SHOWN]
    image_grid.row(
        [CaptionedImage(pictures[flip.frame_id], flip_line(flip), "A frame that flips") for flip in shown],
        key,
        width=120,
    )
    if len(found) > len(shown):
        st.caption(f"and {formatting.count(len(found) - len(shown))} more")


def flip_line(flip: DecisionFlip) -> str:
    label = review_html.word_chip(flip.label) if flip.label else ""
    scores = f"{formatting.score(flip.old_score)} → <b>{formatting.score(flip.new_score)}</b>"
    return f'<div class="andon-image"><span>{scores}</span>{label}</div>'


def pictures_of(session: Session, flips: Sequence[DecisionFlip]) -> dict[UUID, str]:
    """Frame id → image reference, of those whose verdict is still there."""
    found: dict[UUID, str] = {}
    for flip in flips:
        try:
            found[flip.frame_id] = verdicts.get(session, flip.frame_id).image_reference
        except NotFound:
            continue
    return found
