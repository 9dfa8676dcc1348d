"""A station's versions: one in full with its images, compared with another, activated, and rolled back."""

from collections.abc import Mapping, Sequence
from typing import Literal

import streamlit as st

from dashboard import formatting, mutations
from dashboard.components import elements
from dashboard.components.image_grid import CaptionedImage, image_grid
from dashboard.components.picture import similar_normals
from dashboard.context import PageContext
from dashboard.normals import image_checks, normals_html
from dashboard.normals.image_checks import ImageCheck
from storage.actions import normal_sets as normal_set_actions
from storage.line import normal_sets
from storage.line.jobs import Job
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold

BADGE_COLOURS: Mapping[str, Literal["green", "blue", "gray"]] = {"active": "green", "draft": "blue", "retired": "gray"}
REASON = "activation_reason"
APPLIED_SOON = "Running scorers apply it within seconds."


def versions_view(
    page: PageContext,
    station: Station,
    versions: Sequence[NormalSet],
    threshold_history: Sequence[Threshold],
    what_ifs: Sequence[Job],
) -> None:
    """Draw the selected version in full, and its difference from another one."""
    active = active_of(versions)
    roll_back(page, station, versions, active)
    by_name = {version_name(version): version for version in versions}
    default = version_name(active or versions[0])
    selected = by_name[
        st.pills(
            "Version",
            list(by_name),
            default=default,
            required=True,
            key=selection_key(station),
            label_visibility="collapsed",
        )
        or default
    ]
    with st.container(border=True, key="card-version"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            summary = normals_html.version_summary(selected, page.time_zone)
            st.html(elements.heading(f"Version {selected.version}", summary), width="content")
            st.badge(selected.state, color=BADGE_COLOURS[selected.state])
        threshold = next((threshold for threshold in threshold_history if threshold.normal_set_id == selected.id), None)
        if threshold:
            st.html(normals_html.guarantee(threshold))
        else:
            st.caption("No threshold yet: a scorer calibrates one when it first uses this version.")
        checked_images(page, selected, image_checks.leave_one_out_scores(what_ifs, selected.version))
        if selected.state != "active":
            activation(page, station, selected)
    others = [version for version in versions if version.id != selected.id]
    if others:
        comparison(page, selected, others, active)


def active_of(versions: Sequence[NormalSet]) -> NormalSet | None:
    """Return the active version, or None."""
    return next((version for version in versions if version.state == "active"), None)


def selection_key(station: Station) -> str:
    """Return the key of the widget that selects a version."""
    return f"version-of-{station.id}"


def version_name(version: NormalSet) -> str:
    """Return a version's short name, such as ``v2``."""
    return f"v{version.version}"


def version_label(version: NormalSet) -> str:
    """Return a version's name, state and number of images, for a list to choose from."""
    return f"{version_name(version)} · {version.state} · {formatting.plural(len(version.images), 'image')}"


def rollback_target(versions: Sequence[NormalSet]) -> NormalSet | None:
    """Return the version that a rollback activates again: the one that was retired last."""
    retired = [version for version in versions if version.state == "retired" and version.retired_at is not None]
    return max(retired, key=lambda version: (version.retired_at, version.id), default=None)


def roll_back(page: PageContext, station: Station, versions: Sequence[NormalSet], active: NormalSet | None) -> None:
    """Draw which version is active, and the button that rolls back to the one before."""
    before = rollback_target(versions)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="roll-back"):
        if active:
            summary = normals_html.version_summary(active, page.time_zone)
            st.html(elements.heading(f"Active: version {active.version}", summary))
        else:
            st.html(elements.heading("No version is active", "frames wait until one is activated"))
        st.button(
            f"Roll back to version {before.version}" if before else "Nothing to roll back to",
            key=f"roll-back-{active.id if active else 0}-{before.id if before else 0}",
            icon=":material/history:",
            disabled=before is None or active is None or not page.is_allowed("normal_set.rollback"),
            help=f"Activates the previously active version again. {APPLIED_SOON}",
            on_click=confirm_roll_back,
            args=(page, station, active.id if active else 0),
        )


def confirm_roll_back(page: PageContext, station: Station, active_id: int) -> None:
    """Roll back unless another version became active since the button was drawn, so that two presses do it once."""
    with page.read() as session:
        active = normal_sets.active(session, station.id)
    if active is None or active.id != active_id:
        mutations.refuse("Another version was activated meanwhile. Check it, then roll back if you still want to.")
        return
    mutations.apply(
        page,
        lambda session, actor: normal_set_actions.rollback(session, actor, station.name, page.now()),
        f"Rolled back. {APPLIED_SOON}",
    )


def checked_images(page: PageContext, version: NormalSet, scores: Mapping[str, float]) -> None:
    """Draw the images of a version with their leave-one-out scores and warnings."""
    checks = image_checks.check_images(version, similar_normals.stored_fingerprints(page, version), scores)
    if warnings := image_checks.describe_warnings(checks):
        st.warning(formatting.escape_markdown(warnings), icon=":material/warning:")
    image_grid(page, [check_image(check) for check in checks], f"version-{version.version}")
    st.caption(
        "The number is the image's leave-one-out score: its anomaly score against the others of the set."
        if scores
        else image_checks.NO_SCORES
    )


def check_image(check: ImageCheck) -> CaptionedImage:
    """Return an image of a version with its line of text."""
    return CaptionedImage(check.image.reference, image_checks.image_line(check), f"Good part {check.image.name}")


def activation(page: PageContext, station: Station, version: NormalSet) -> None:
    """Draw the button that activates a version, with a reason."""
    allowed, reason_key = page.is_allowed("normal_set.activate"), f"{REASON}-{version.id}"
    with st.container(horizontal=True, vertical_alignment="bottom", key="activate"):
        st.text_input("Reason", key=reason_key, placeholder="e.g. two false rejects added", disabled=not allowed)
        st.button(
            f"Activate version {version.version}",
            key=f"activate-{version.id}",
            type="primary",
            icon=":material/check_circle:",
            disabled=not allowed,
            on_click=activate,
            args=(page, station, version.version, reason_key),
        )


def activate(page: PageContext, station: Station, version: int, reason_key: str) -> None:
    """Activate a version with the reason that was typed."""
    reason = str(st.session_state.get(reason_key) or "").strip()
    if not reason:
        mutations.refuse("Enter a reason for the audit log.")
        return
    mutations.apply(
        page,
        lambda session, actor: normal_set_actions.activate(session, actor, station.name, version, page.now(), reason),
        f"Version {version} is active. {APPLIED_SOON}",
    )


def comparison(page: PageContext, selected: NormalSet, others: Sequence[NormalSet], active: NormalSet | None) -> None:
    """Draw which images were removed and added between another version and the selected one."""
    by_name = {version_name(version): version for version in others}
    older = [version for version in others if version.version < selected.version]
    default = active if active and active.id != selected.id else (older or others)[0]
    with st.container(border=True, key="card-compare"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.html(elements.heading("Compare with"), width="content")
            name = st.selectbox(
                "Compare with",
                list(by_name),
                index=list(by_name).index(version_name(default)),
                key=f"compare-{selected.version}",
                format_func=lambda each: f"{each} · {by_name[each].state}",
                label_visibility="collapsed",
                width=170,
            )
        diff = normal_sets.diff(by_name[name], selected)
        left, right = st.columns(2, gap="small")
        with left:
            images_only_in(page, f"Removed: only in {name}", diff.removed, "removed")
        with right:
            images_only_in(page, f"Added: only in {version_name(selected)}", diff.added, "added")
        st.caption(f"{formatting.plural(len(diff.unchanged), 'image is', 'images are')} in both.")


def images_only_in(page: PageContext, title: str, images: Sequence[NormalImage], key: str) -> None:
    """Draw the images that only one of two versions has."""
    st.html(elements.heading(title, formatting.plural(len(images), "image")))
    image_grid(page, [check_image(ImageCheck(image)) for image in images], key)
