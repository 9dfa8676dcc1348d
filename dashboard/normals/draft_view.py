"""A draft: the active set without what is dropped, with frames picked in review and pictures from a disk."""

from collections.abc import Sequence

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context, formatting, mutations
from dashboard.auth import identity
from dashboard.components import elements, images
from dashboard.normals import image_checks, versions_view
from storage.actions import normal_sets as actions
from storage.auth.actors import Actor
from storage.errors import StorageError
from storage.line.normal_candidates import NormalCandidate
from storage.line.normal_sets import MAX_IMAGES, MIN_IMAGES, NormalImage, NormalSet
from storage.line.stations import Station

NOTE, UPLOADS, TURN = "draft_note", "draft_uploads", "draft_turn"
KINDS = ["jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp"]


def drafting_view(place: Station, versions: Sequence[NormalSet], picked: Sequence[NormalCandidate]) -> None:
    """Choose what a draft is made of, and make it."""
    may = identity.may("normal_set.add")
    active = next((version for version in versions if version.state == "active"), None)
    base = base_of(versions, active)
    with st.container(border=True, key="card-kept"):
        st.html(elements.heading("Kept from the base", "take the tick off an image to drop it"))
        boxes([(image.reference, image.name) for image in base.images] if base else [], "keep", may)
        if base is None:
            st.caption("There is no version yet: the draft begins empty.")
    with st.container(border=True, key="card-picked"):
        st.html(
            elements.heading(
                "Picked in review", f"{formatting.plural(len(picked), 'frame')} called false alarms or good"
            )
        )
        boxes([(pick.image_reference, pick.name) for pick in picked], "take", may)
        if not picked:
            st.caption("Nothing is picked: press G on a false alarm on the page Review, and it comes here.")
        elif st.button("Forget those without a tick", key="unpick", disabled=not identity.may("normal_set.propose")):
            forget(place, picked)
    with st.container(border=True, key="card-uploads"):
        st.html(elements.heading("From your disk", "pictures of good parts as the station's camera takes them"))
        st.file_uploader(
            "Pictures",
            KINDS,
            accept_multiple_files=True,
            key=uploads_key(),
            label_visibility="collapsed",
            disabled=not may,
        )
    make(place, base, picked, may)


def base_of(versions: Sequence[NormalSet], active: NormalSet | None) -> NormalSet | None:
    """The version that the draft begins with, the active one unless another is chosen."""
    if not versions:
        return None
    named = {versions_view.name(version): version for version in versions}
    usual = versions_view.name(active or versions[0])
    chosen = st.selectbox(
        "Begin with",
        list(named),
        index=list(named).index(usual),
        key="draft_base",
        format_func=lambda each: (
            f"{each} · {named[each].state} · {formatting.plural(len(named[each].images), 'image')}"
        ),
        width=260,
    )
    return named[chosen]


def boxes(images: Sequence[tuple[str, str]], kind: str, may: bool) -> None:
    """Pictures with a box each that is ticked at first."""
    with st.grid(min_column_width=130, gap="xsmall", key=f"images-{kind}"):
        for reference, name in images:
            with st.container(key=f"choice-{kind}-{reference[7:23]}", gap=None):
                if copy := context.small_copy(reference, 240, 240):
                    st.image(copy, width="stretch", alt=f"Good part {name}")
                st.checkbox(image_checks.short(name), value=True, key=f"{kind}-{reference}", disabled=not may)


def ticked(references: Sequence[str], kind: str) -> list[str]:
    return [reference for reference in references if st.session_state.get(f"{kind}-{reference}", True)]


def make(place: Station, base: NormalSet | None, picked: Sequence[NormalCandidate], may: bool) -> None:
    """How many images it would have, and the button."""
    kept = ticked([image.reference for image in base.images] if base else [], "keep")
    taken = [pick for pick in picked if pick.image_reference in ticked([one.image_reference for one in picked], "take")]
    uploads = st.session_state.get(uploads_key()) or []
    number = len({*kept, *(pick.image_reference for pick in taken)}) + len(uploads)
    dropped = len(base.images) - len(kept) if base else 0
    parts = [f"{len(kept)} kept", f"{dropped} dropped", f"{len(taken)} picked", f"{len(uploads)} uploaded"]
    fits = MIN_IMAGES <= number <= MAX_IMAGES
    changed = base is None or dropped or taken or uploads
    st.markdown(f"The draft would have **{formatting.plural(number, 'image')}**: {', '.join(parts)}.")
    if not fits:
        st.warning(f"A normal set has {MIN_IMAGES} to {MAX_IMAGES} images of good parts.", icon=":material/rule:")
    with st.container(horizontal=True, vertical_alignment="bottom", key="make-draft"):
        st.text_input("Note", key=NOTE, placeholder="such as: parts of the new supplier", disabled=not may)
        st.button(
            "Make a draft",
            key="make",
            type="primary",
            icon=":material/add_photo_alternate:",
            disabled=not (may and fits and changed),
            on_click=make_draft,
            args=(place, base, [image.reference for image in base.images] if base else [], picked),
        )


def make_draft(
    place: Station, base: NormalSet | None, references: Sequence[str], picked: Sequence[NormalCandidate]
) -> None:
    """Keep the uploads, then make the draft; what is chosen is read now, as it was when the button was pressed."""
    if not identity.may("normal_set.add"):
        mutations.refuse("Only an engineer makes a draft of a normal set.")
        return
    drop = set(references) - set(ticked(references, "keep"))
    taken = [pick for pick in picked if pick.image_reference in ticked([one.image_reference for one in picked], "take")]
    try:
        uploaded = [kept(upload.name, upload.getvalue()) for upload in st.session_state.get(uploads_key()) or []]
    except (StorageError, ValueError) as error:
        mutations.refuse(str(error))
        return
    images = [*(NormalImage(pick.image_reference, pick.name) for pick in taken), *uploaded]
    note = str(st.session_state.get(NOTE) or "").strip()
    made: list[NormalSet] = []

    def change(session: Session, who: Actor) -> None:
        at = context.now()
        made.append(
            actions.draft(session, who, place.name, images, note, at, drop=drop, base=base.version if base else None)
        )
        if taken:
            actions.withdraw(session, who, place.name, [pick.image_reference for pick in taken], at)

    if mutations.act(change, "The draft is made: see what it would change, then activate it."):
        st.session_state[NOTE] = ""
        st.session_state[TURN] = st.session_state.get(TURN, 0) + 1
        st.session_state[versions_view.chosen_key(place)] = versions_view.name(made[0])
        st.session_state["what"] = "Versions"


def kept(name: str, data: bytes) -> NormalImage:
    """Put an upload into the image store; raises `ValueError` when it is no picture, `StorageUnavailable`."""
    try:
        images.small_copy(data, 240, 240)
    except ValueError as error:
        raise ValueError(f"{name} can't be opened as a picture: choose JPEG, PNG, BMP, TIFF or WebP.") from error
    return NormalImage(context.image_store().put(data), name)


def forget(place: Station, picked: Sequence[NormalCandidate]) -> None:
    """Picks whose tick was taken off are wanted no more."""
    references = [pick.image_reference for pick in picked]
    gone = [reference for reference in references if reference not in ticked(references, "take")]
    if gone and mutations.act(
        lambda session, who: actions.withdraw(session, who, place.name, gone, context.now()),
        f"{formatting.plural(len(gone), 'picked frame')} forgotten.",
    ):
        st.rerun()


def uploads_key() -> str:
    """The uploader gets a new name after each draft, which empties it."""
    return f"{UPLOADS}-{st.session_state.get(TURN, 0)}"
