"""Proposals: a draft that a scorer makes of the stream, with the images that it adds and what it would change."""

from collections.abc import Sequence

import streamlit as st

from dashboard import formatting, mutations
from dashboard.components import elements, job_progress
from dashboard.components.image_grid import CaptionedImage, image_grid
from dashboard.context import PageContext
from dashboard.html import render
from dashboard.normals import image_checks, normals_html, versions_view, what_if_view
from storage.actions import jobs as job_actions
from storage.line import jobs, normal_sets
from storage.line.jobs import Job
from storage.line.normal_sets import MAX_IMAGES, NormalImage, NormalSet
from storage.line.stations import Station
from storage.line.what_if import WhatIfResult

AUTOPILOT = {
    "off": "Nobody proposes by themselves: the autopilot of this station is off.",
    "propose": "From 250 frames on a scorer proposes by itself, once a day; a person activates.",
    "act": "From 250 frames on a scorer proposes by itself, once a day, and activates where no guard rail objects.",
}


def proposal_view(page: PageContext, station: Station, versions: Sequence[NormalSet]) -> None:
    """Draw the button that asks for a proposal, the progress of one, and the newest proposal."""
    with page.read() as session:
        newest = job_progress.newest_job(session, station, "propose_normals")
        scorer_alive = job_progress.any_scorer_alive(page, session)
    active = next((version for version in versions if version.state == "active"), None)
    running = newest is not None and not newest.is_over
    with st.container(border=True, key="card-proposal"):
        st.html(elements.heading("Grow the normals from the stream", "good parts that differ most from each other"))
        st.caption(
            "A frame joins only where its score is low and it looks like no reviewed defect. One half of the stream "
            f"may join, the other half sets the limits. {AUTOPILOT[station.settings.autopilot]}"
        )
        if active is None:
            st.info("The station has no active version: activate one first.", icon=":material/info:")
        elif len(active.images) >= MAX_IMAGES:
            st.info(f"The active version has {MAX_IMAGES} images already.", icon=":material/check_circle:")
        st.button(
            "Propose from the stream",
            key=f"propose-{newest.id if newest else 0}",
            type="primary",
            icon=":material/auto_awesome:",
            disabled=not page.is_allowed("job.start") or running or active is None or len(active.images) >= MAX_IMAGES,
            on_click=start,
            args=(page, station),
        )
        if newest is not None and running:
            job_progress.job_under_way(page, newest, scorer_alive=scorer_alive)
        elif not scorer_alive:
            st.warning(job_progress.NO_SCORER, icon=":material/power_off:")
    if newest is None or running:
        return
    job_progress.show_failure(newest)
    if newest.state == "done":
        show_proposal(page, station, versions, newest)


def start(page: PageContext, station: Station) -> None:
    """Ask a scorer for a proposal."""
    mutations.apply(
        page,
        lambda session, actor: job_actions.start_proposal(session, actor, station.name, page.now()),
        "A scorer looks for normals in the stream.",
    )


def show_proposal(page: PageContext, station: Station, versions: Sequence[NormalSet], job: Job) -> None:
    """Draw the images that a proposal adds, why it was not activated by itself, and its what-if."""
    draft = next((version for version in versions if version.version == job.result["version"]), None)
    if draft is None:
        return
    base = next((version for version in versions if version.version < draft.version and version.activated_at), None)
    added = normal_sets.diff(base, draft).added
    with st.container(border=True, key="card-added"):
        note = f"{formatting.plural(len(added), 'image')} added, {normals_html.version_summary(draft, page.time_zone)}"
        st.html(elements.heading(f"Version {draft.version} · {draft.state}", note))
        if job.result["reasons"]:
            st.html(render(normals_html.TEMPLATE, "guard_rails", job.result["reasons"]))
        image_grid(
            page,
            [added_image(image) for image in added],
            "added",
            min_column_width=110,
        )
    with page.read() as session:
        what_ifs = jobs.recent(session, station.id, kind="what_if")
    of_draft = next((each for each in what_ifs if each.payload["version"] == draft.version), None)
    if of_draft is None:
        return
    if not of_draft.is_over:
        job_progress.job_under_way(page, of_draft, scorer_alive=True)
        return
    job_progress.show_failure(of_draft)
    if of_draft.state == "done":
        st.session_state.setdefault(f"{versions_view.REASON}-{draft.id}", draft.note)  # so that one click is enough
        what_if_view.show_result(page, station, versions, WhatIfResult.from_json(of_draft.result))


def added_image(image: NormalImage) -> CaptionedImage:
    """Return an image that a proposal adds, with its short name."""
    caption = render(normals_html.TEMPLATE, "image_line", image_checks.short_name(image.name), None, (), False)
    return CaptionedImage(image.reference, caption, f"Proposed good part {image.name}")
