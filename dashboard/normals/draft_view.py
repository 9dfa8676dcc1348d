"""A draft: the images added_candidates over from a version, candidates from the review, and uploads."""

from collections.abc import Sequence

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import formatting, mutations
from dashboard.components import elements, images
from dashboard.context import PageContext
from dashboard.normals import image_checks, versions_view
from storage.actions import normal_sets as normal_set_actions
from storage.auth.actors import Actor
from storage.errors import StorageError
from storage.line.normal_candidates import NormalCandidate
from storage.line.normal_sets import MAX_IMAGES, MIN_IMAGES, NormalImage, NormalSet
from storage.line.stations import Station

NOTE, UPLOADS, UPLOADS_VERSION = "draft_note", "draft_uploads", "draft_uploads_version"
EXTENSIONS = ["jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp"]
BASE, CANDIDATE = "base", "candidate"


def draft_view(
    page: PageContext, station: Station, versions: Sequence[NormalSet], candidates: Sequence[NormalCandidate]
) -> None:
    """Draw the images that a draft can be made of, and the button that creates it."""
    allowed = page.is_allowed("normal_set.add")
    base = choose_base(versions)
    with st.container(border=True, key="card-base"):
        st.html(elements.heading("Images of the base version", "untick an image to leave it out"))
        base_images = [(image.reference, image.name) for image in base.images] if base else []
        checkboxes(page, base_images, BASE, enabled=allowed)
        if base is None:
            st.caption("There is no version yet: the draft starts empty.")
    with st.container(border=True, key="card-candidates"):
        number = formatting.plural(len(candidates), "candidate")
        st.html(elements.heading("Candidates from the review", f"{number} labelled false reject or good part"))
        checkboxes(
            page, [(candidate.image_reference, candidate.name) for candidate in candidates], CANDIDATE, enabled=allowed
        )
        if not candidates:
            st.caption("There are no candidates. Press G on a false reject on the page Review to add one.")
        elif st.button(
            "Remove unticked candidates", key="withdraw", disabled=not page.is_allowed("normal_set.propose")
        ):
            withdraw_unticked(page, station, candidates)
    with st.container(border=True, key="card-uploads"):
        st.html(elements.heading("Uploads", "images of good parts as the station's camera captures them"))
        st.file_uploader(
            "Images",
            EXTENSIONS,
            accept_multiple_files=True,
            key=uploads_key(),
            label_visibility="collapsed",
            disabled=not allowed,
        )
    draft_summary(page, station, base, candidates, allowed=allowed)


def choose_base(versions: Sequence[NormalSet]) -> NormalSet | None:
    """Draw the choice of the version that a draft starts from, by default the active one, and return it."""
    if not versions:
        return None
    by_name = {versions_view.version_name(version): version for version in versions}
    default = versions_view.version_name(versions_view.active_of(versions) or versions[0])
    name = st.selectbox(
        "Base version",
        list(by_name),
        index=list(by_name).index(default),
        key="draft_base",
        format_func=lambda each: versions_view.version_label(by_name[each]),
        width=260,
    )
    return by_name[name]


def checkboxes(page: PageContext, stored: Sequence[tuple[str, str]], kind: str, *, enabled: bool) -> None:
    """Draw images with a checkbox each, ticked at first; each is (reference, name)."""
    with st.grid(min_column_width=130, gap="xsmall", key=f"images-{kind}"):
        for reference, name in stored:
            with st.container(key=f"choice-{kind}-{reference[7:23]}", gap=None):
                if thumbnail := page.thumbnail(reference, 240, 240):
                    st.image(thumbnail, width="stretch", alt=f"Good part {name}")
                short = image_checks.short_name(name)
                st.checkbox(short, value=True, key=f"{kind}-{reference}", disabled=not enabled)


def ticked(references: Sequence[str], kind: str) -> list[str]:
    """Return the references of the images whose checkbox is ticked."""
    return [reference for reference in references if st.session_state.get(f"{kind}-{reference}", True)]


def ticked_candidates(candidates: Sequence[NormalCandidate]) -> list[NormalCandidate]:
    """Return the candidates whose checkbox is ticked."""
    references = ticked([candidate.image_reference for candidate in candidates], CANDIDATE)
    return [candidate for candidate in candidates if candidate.image_reference in references]


def draft_summary(
    page: PageContext,
    station: Station,
    base: NormalSet | None,
    candidates: Sequence[NormalCandidate],
    *,
    allowed: bool,
) -> None:
    """Draw how many images the draft would have, and the button that creates it."""
    base_references = [image.reference for image in base.images] if base else []
    kept_references, added_candidates = ticked(base_references, BASE), ticked_candidates(candidates)
    uploads = st.session_state.get(uploads_key()) or []
    total = len({*kept_references, *(candidate.image_reference for candidate in added_candidates)}) + len(uploads)
    removed = len(base_references) - len(kept_references)
    is_valid = MIN_IMAGES <= total <= MAX_IMAGES
    is_changed = base is None or removed or added_candidates or uploads
    st.markdown(
        f"The draft would have **{formatting.plural(total, 'image')}**: {len(kept_references)} kept, "
        f"{removed} removed, {formatting.plural(len(added_candidates), 'candidate')}, "
        f"{formatting.plural(len(uploads), 'upload')}."
    )
    if not is_valid:
        st.warning(f"A normal set has {MIN_IMAGES} to {MAX_IMAGES} images of good parts.", icon=":material/rule:")
    with st.container(horizontal=True, vertical_alignment="bottom", key="draft-form"):
        st.text_input("Note", key=NOTE, placeholder="e.g. parts of the new supplier", disabled=not allowed)
        st.button(
            "Create draft",
            key="create-draft",
            type="primary",
            icon=":material/add_photo_alternate:",
            disabled=not (allowed and is_valid and is_changed),
            on_click=create_draft,
            args=(page, station, base, base_references, candidates),
        )


def create_draft(
    page: PageContext,
    station: Station,
    base: NormalSet | None,
    base_references: Sequence[str],
    candidates: Sequence[NormalCandidate],
) -> None:
    """Store the uploads and create the draft of the images ticked at this moment, then show it."""
    if not page.is_allowed("normal_set.add"):
        mutations.refuse("Creating a draft of a normal set needs the role engineer.")
        return
    removed = set(base_references) - set(ticked(base_references, BASE))
    added_candidates = ticked_candidates(candidates)
    try:
        uploaded = [
            store_upload(page, upload.name, upload.getvalue()) for upload in st.session_state.get(uploads_key()) or []
        ]
    except (StorageError, ValueError) as error:
        mutations.refuse(str(error))
        return
    added = [*(NormalImage(candidate.image_reference, candidate.name) for candidate in added_candidates), *uploaded]
    note = str(st.session_state.get(NOTE) or "").strip()
    drafts: list[NormalSet] = []

    def change(session: Session, actor: Actor) -> None:
        at, version = page.now(), base.version if base else None
        drafts.append(
            normal_set_actions.draft(session, actor, station.name, added, note, at, drop=removed, base=version)
        )
        if added_candidates:
            references = [candidate.image_reference for candidate in added_candidates]
            normal_set_actions.withdraw(session, actor, station.name, references, at)

    if mutations.apply(page, change, "The draft was created. Check what it would change, then activate it."):
        st.session_state[NOTE] = ""
        st.session_state[UPLOADS_VERSION] = st.session_state.get(UPLOADS_VERSION, 0) + 1
        st.session_state[versions_view.selection_key(station)] = versions_view.version_name(drafts[0])
        st.session_state["view"] = "Versions"


def store_upload(page: PageContext, name: str, data: bytes) -> NormalImage:
    """Put an upload into the image store.

    Raises:
        ValueError: The file is not an image, or a blank one.
        StorageUnavailable: The image store can't be reached.
    """
    try:
        images.require_usable_normal(data, page.image_limits)
    except ValueError as error:
        raise ValueError(f"{name} can't be a good part: {error}") from error
    return NormalImage(page.image_store.put(data), name)


def withdraw_unticked(page: PageContext, station: Station, candidates: Sequence[NormalCandidate]) -> None:
    """Remove the candidates whose checkbox is not ticked."""
    references = [candidate.image_reference for candidate in candidates]
    unticked = [reference for reference in references if reference not in ticked(references, CANDIDATE)]
    if unticked and mutations.apply(
        page,
        lambda session, actor: normal_set_actions.withdraw(session, actor, station.name, unticked, page.now()),
        f"{formatting.plural(len(unticked), 'candidate')} removed.",
    ):
        st.rerun()


def uploads_key() -> str:
    """Return the key of the uploader; it changes after each draft, which empties the uploader."""
    return f"{UPLOADS}-{st.session_state.get(UPLOADS_VERSION, 0)}"
