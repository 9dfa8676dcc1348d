"""What would change if a version were active: asked for, worked out by a scorer, shown frame by frame."""

from collections.abc import Sequence
from uuid import UUID

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import acting, identity, job_view, opening, pictures_row, review_facts, tiles, versions_view, words
from dashboard.pictures_row import Captioned
from storage import jobs, reviewed, verdicts
from storage.desk import jobs as desk
from storage.errors import NotFound
from storage.jobs import Job
from storage.normal_sets import NormalSet
from storage.stations import Station
from storage.what_if import Flip, WhatIf

FLIPS_SHOWN = 16
FRAME_NUMBERS = (100, 200, 500, 1000, 5000)


def what_if_view(place: Station, versions: Sequence[NormalSet]) -> None:
    """Start one; see how far it is; see what it found."""
    with opening.reading() as session:
        found = jobs.recent(session, place.id, kind="what_if")
        scorer_runs = job_view.is_any_scorer(session)
        counts = reviewed.counts(session, place.id)
    running = next((job for job in found if not job.is_over), None)
    with st.container(border=True, key="card-ask"):
        st.html(
            tiles.heading(
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
            job_view.under_way(running, scorer_runs)
    done = [job for job in found if job.is_over]
    if not done:
        return
    chosen = earlier(done)
    job_view.trouble(chosen)
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
            format_func=lambda each: f"{each} · {named[each].state} · {words.plural(len(named[each].images), 'image')}",
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
        st.warning(job_view.NOBODY, icon=":material/power_off:")


def start(place: Station, version: int, last: int) -> None:
    """Twice pressed it is asked for once."""
    with opening.reading() as session:
        newest = job_view.newest(session, place, "what_if")
    if newest is not None and not newest.is_over:
        return
    acting.act(
        lambda session, who: desk.start_what_if(session, who, place.name, version, opening.now(), last), "Asked for."
    )


def earlier(done: Sequence[Job]) -> Job:
    """The newest result, or an earlier one that was chosen."""
    if len(done) == 1:
        return done[0]
    now = opening.now()
    named = {job.id: f"version {job.payload['version']}, {words.ago(job.requested_at, now)}" for job in done}
    chosen = st.selectbox("Result", list(named), format_func=lambda each: named[each], key="what_if_result", width=280)
    return next(job for job in done if job.id == chosen)


def result(place: Station, versions: Sequence[NormalSet], job: Job) -> None:
    found = WhatIf.from_json(job.result)
    with opening.reading() as session:
        pictures = pictures_of(session, [*found.to_pass[:FLIPS_SHOWN], *found.to_flag[:FLIPS_SHOWN]])
    with st.container(border=True, key="card-result"):
        st.html(tiles.heading(f"If version {found.version} were active", rescored(found)))
        st.html(figures(found))
        st.markdown(found.promise)
        left, right = st.columns(2, gap="small")
        with left:
            flips("Flagged now, would pass", found.to_pass, pictures, "to-pass")
        with right:
            flips("Passed now, would be flagged", found.to_flag, pictures, "to-flag")
        version = next((one for one in versions if one.version == found.version), None)
        if version is not None and version.state != "active":
            versions_view.activation(place, version)


def rescored(found: WhatIf) -> str:
    left_out = f", {found.not_rescored} could not be" if found.not_rescored else ""
    return f"{words.plural(found.rescored, 'frame was', 'frames were')} scored again{left_out}"


def figures(found: WhatIf) -> str:
    """Threshold, the two errors before and after on what people have said, and how many flip."""
    better = found.after.false_rejects <= found.before.false_rejects and found.after.escapes <= found.before.escapes
    return tiles.strip(
        tiles.figure("Threshold", words.score(found.threshold), "of this version"),
        tiles.figure(
            "False rejects",
            f"{found.before.false_rejects} → {found.after.false_rejects}",
            f"of {words.plural(found.good, 'reviewed good part')}",
            tone(found.before.false_rejects, found.after.false_rejects),
        ),
        tiles.figure(
            "Escapes",
            f"{found.before.escapes} → {found.after.escapes}",
            f"of {words.plural(found.defects, 'reviewed defect')}",
            tone(found.before.escapes, found.after.escapes),
        ),
        tiles.figure("Flips to pass", words.count(len(found.to_pass)), "flagged now"),
        tiles.figure("Flips to flag", words.count(len(found.to_flag)), "passed now"),
        tiles.figure("All in all", verdict(found, better), "on what was reviewed"),
    )


def verdict(found: WhatIf, better: bool) -> str:
    if found.good + found.defects == 0:
        return "not known"
    if found.before == found.after:
        return "the same"
    return "better" if better else "mixed" if found.after.escapes <= found.before.escapes else "worse"


def tone(before: int, after: int) -> str:
    return "warn" if after > before else ""


def flips(heading: str, found: Sequence[Flip], pictures: dict[UUID, str], key: str) -> None:
    """Frames that would be decided the other way, with the word that was said of them."""
    st.html(tiles.heading(heading, words.plural(len(found), "frame")))
    shown = [flip for flip in found if flip.frame_id in pictures][:FLIPS_SHOWN]
    pictures_row.row(
        [Captioned(pictures[flip.frame_id], flip_line(flip), "A frame that flips") for flip in shown], key, width=120
    )
    if len(found) > len(shown):
        st.caption(f"and {words.count(len(found) - len(shown))} more")


def flip_line(flip: Flip) -> str:
    word = review_facts.word_chip(flip.word) if flip.word else ""
    scores = f"{words.score(flip.old_score)} → <b>{words.score(flip.new_score)}</b>"
    return f'<div class="andon-image"><span>{scores}</span>{word}</div>'


def pictures_of(session: Session, flips: Sequence[Flip]) -> dict[UUID, str]:
    """Frame id → image reference, of those whose verdict is still there."""
    found: dict[UUID, str] = {}
    for flip in flips:
        try:
            found[flip.frame_id] = verdicts.get(session, flip.frame_id).image_reference
        except NotFound:
            continue
    return found
