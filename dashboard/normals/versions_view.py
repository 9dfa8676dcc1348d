"""A station's versions: one in full with its images, beside another one, activated, and rolled back."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import context, formatting, mutations
from dashboard.auth import identity
from dashboard.components import elements, image_grid, verdict_html
from dashboard.components.image_grid import CaptionedImage
from dashboard.components.similar_images import Fingerprint
from dashboard.normals import image_checks
from dashboard.review import frame_view
from storage.actions import normal_sets as actions
from storage.line import normal_sets
from storage.line.jobs import Job
from storage.line.normal_sets import NormalImage, NormalSet
from storage.line.stations import Station
from storage.line.thresholds import Threshold

TONES = {"active": "green", "draft": "blue", "retired": "gray"}
REASON = "activation_reason"


def versions_view(
    place: Station, versions: Sequence[NormalSet], made: Sequence[Threshold], jobs: Sequence[Job]
) -> None:
    """The chosen version in full, and how it differs from another one."""
    active = next((version for version in versions if version.state == "active"), None)
    roll_back(place, versions, active)
    named = {name(version): version for version in versions}
    default = name(active or versions[0])
    chosen = named[
        st.pills(
            "Version",
            list(named),
            default=default,
            required=True,
            key=chosen_key(place),
            label_visibility="collapsed",
        )
        or default
    ]
    with st.container(border=True, key="card-version"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.html(
                elements.heading(f"Version {chosen.version}", verdict_html.history(chosen, context.zone())),
                width="content",
            )
            st.badge(chosen.state, color=TONES[chosen.state])  # type: ignore[arg-type]
        threshold = next((one for one in made if one.normal_set_id == chosen.id), None)
        if threshold:
            st.html(verdict_html.promise(threshold))
        else:
            st.caption("No threshold yet: a scorer makes one when it first uses this version.")
        images(chosen, image_checks.scores_of(jobs, chosen.version))
        if chosen.state != "active":
            activation(place, chosen)
    if len(versions) > 1:
        side_by_side(chosen, [version for version in versions if version.id != chosen.id], active)


def chosen_key(place: Station) -> str:
    """Where the visit keeps which version is looked at."""
    return f"version-of-{place.id}"


def name(version: NormalSet) -> str:
    return f"v{version.version}"


def previous(versions: Sequence[NormalSet]) -> NormalSet | None:
    """The one that a roll-back would make active again: retired last."""
    retired = [version for version in versions if version.state == "retired" and version.retired_at is not None]
    return max(retired, key=lambda version: (version.retired_at, version.id), default=None)


def roll_back(place: Station, versions: Sequence[NormalSet], active: NormalSet | None) -> None:
    before = previous(versions)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="roll-back"):
        if active:
            st.html(elements.heading(f"Active: version {active.version}", verdict_html.history(active, context.zone())))
        else:
            st.html(elements.heading("No version is active", "frames wait until one is"))
        st.button(
            f"Roll back to version {before.version}" if before else "Nothing to roll back to",
            key=f"roll-back-{active.id if active else 0}-{before.id if before else 0}",
            icon=":material/history:",
            disabled=before is None or active is None or not identity.may("normal_set.rollback"),
            help="Makes the version active again that was active before. Running scorers follow within seconds.",
            on_click=back,
            args=(place, active.id if active else 0),
        )


def back(place: Station, active_id: int) -> None:
    """A press that comes twice rolls back once: it names the version that was active when it was seen."""
    with context.reading() as session:
        now_active = normal_sets.active(session, place.id)
    if now_active is None or now_active.id != active_id:
        mutations.refuse(
            "Another version has become active meanwhile: look again, then roll back if you still want to."
        )
        return
    mutations.act(
        lambda session, who: actions.rollback(session, who, place.name, context.now()),
        "Rolled back. Running scorers follow within seconds.",
    )


def images(version: NormalSet, scores: Mapping[str, float]) -> None:
    """The version's images, each with its score against the others, doubtful ones pointed out."""
    told = image_checks.facts_of(version, looks_of(version.images), scores)
    if doubts := image_checks.doubts(told):
        st.warning(doubts, icon=":material/warning:")
    image_grid.row(
        [
            CaptionedImage(fact.image.reference, image_checks.image_line(fact), f"Good part {fact.image.name}")
            for fact in told
        ],
        f"version-{version.version}",
    )
    st.caption(
        "The number is the image's anomaly score against the others of the set." if scores else image_checks.NO_SCORES
    )


def looks_of(images: Sequence[NormalImage]) -> dict[str, Fingerprint]:
    return {image.reference: found for image in images if (found := frame_view.glance(image.reference))}


def activation(place: Station, version: NormalSet) -> None:
    """Make it the active one, with a reason."""
    may = identity.may("normal_set.activate")
    with st.container(horizontal=True, vertical_alignment="bottom", key="activate"):
        st.text_input(
            "Reason", key=f"{REASON}-{version.id}", placeholder="such as: two false alarms added", disabled=not may
        )
        st.button(
            f"Activate version {version.version}",
            key=f"activate-{version.id}",
            type="primary",
            icon=":material/check_circle:",
            disabled=not may,
            on_click=activate,
            args=(place, version.version, f"{REASON}-{version.id}"),
        )


def activate(place: Station, version: int, field: str) -> None:
    reason = str(st.session_state.get(field) or "").strip()
    if not reason:
        mutations.refuse("Say in a few words why this version becomes active: it stands in the audit log.")
        return
    mutations.act(
        lambda session, who: actions.activate(session, who, place.name, version, context.now(), reason),
        f"Version {version} is active. Running scorers follow within seconds.",
    )


def side_by_side(chosen: NormalSet, others: Sequence[NormalSet], active: NormalSet | None) -> None:
    """What came in and what left from another version to this one."""
    named = {name(version): version for version in others}
    older = [version for version in others if version.version < chosen.version]
    usual = active if active and active.id != chosen.id else (older or others)[0]
    with st.container(border=True, key="card-compare"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.html(elements.heading("Side by side"), width="content")
            picked = st.selectbox(
                "Compare with",
                list(named),
                index=list(named).index(name(usual)),
                key=f"compare-{chosen.version}",
                format_func=lambda each: f"{each} · {named[each].state}",
                label_visibility="collapsed",
                width=170,
            )
        change = normal_sets.diff(named[picked], chosen)
        left, right = st.columns(2, gap="small")
        with left:
            st.html(elements.heading(f"Left, only in {picked}", formatting.plural(len(change.removed), "image")))
            image_grid.row(captioned(change.removed), "left")
        with right:
            st.html(elements.heading(f"Came in, only in {name(chosen)}", formatting.plural(len(change.added), "image")))
            image_grid.row(captioned(change.added), "came-in")
        st.caption(f"{formatting.plural(len(change.unchanged), 'image is', 'images are')} in both.")


def captioned(pictures: Sequence[NormalImage]) -> list[CaptionedImage]:
    return [CaptionedImage(image.reference, version_line(image), f"Good part {image.name}") for image in pictures]


def version_line(image: NormalImage) -> str:
    return image_checks.image_line(image_checks.ImageCheck(image, None, (), stands_out=False))
