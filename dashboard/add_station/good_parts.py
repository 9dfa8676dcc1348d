"""The second step of adding a station: images of good parts, from files or from frames that wait."""

import hashlib
from collections.abc import Mapping, Sequence

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import formatting, mutations
from dashboard.add_station.odd_parts import draw_standing_out
from dashboard.components import elements, images
from dashboard.context import PageContext
from storage.actions import normal_sets as normal_set_actions
from storage.auth.actors import Actor
from storage.errors import StorageUnavailable
from storage.line import parked_frames
from storage.line.normal_sets import MAX_IMAGES, MIN_IMAGES, NormalImage, NormalSet
from storage.line.parked_frames import ParkedFrame
from storage.line.stations import Station

STEP, GOOD_PARTS = "step", "parts"
UPLOADS = "wizard_uploads"
RECOMMENDED_MIN, RECOMMENDED_MAX = 4, 8
FRAMES_OFFERED = 24  # newest ones
EXTENSIONS = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp"]
THUMBNAIL = 240  # pixels


def is_requested() -> bool:
    """Return whether the address requests this step, though the station has a draft already."""
    return st.query_params.get(STEP) == GOOD_PARTS


def request() -> None:
    """Request this step in the address."""
    st.query_params[STEP] = GOOD_PARTS


def good_parts_step(page: PageContext, station: Station) -> None:
    """Draw the uploader and the frames that wait, and the button that stores the chosen images as a draft."""
    st.markdown(
        f"Give **{formatting.escape_markdown(station.name)}** {RECOMMENDED_MIN} to {RECOMMENDED_MAX} images of good "
        f"parts as the camera captures them. Show the variation that is acceptable, and no defects. {MIN_IMAGES} to "
        f"{MAX_IMAGES} images are possible."
    )
    left, right = st.columns(2, gap="small")
    with left, st.container(border=True, key="card-upload"):
        st.html(elements.heading("Files"))
        files = st.file_uploader(
            "Images",
            EXTENSIONS,
            accept_multiple_files=True,
            key=f"{UPLOADS}_{station.id}",
            label_visibility="collapsed",
        )
        uploads = readable_images([(file.name, file.getvalue()) for file in files])
        gallery(list(uploads.values()))
    with right, st.container(border=True, key="card-camera"):
        st.html(elements.heading("Frames from the camera"))
        frames = choose_frames(page, station)
    draw_standing_out(thumbnails_by_name(page, station, uploads, frames))
    total = len(uploads) + len(frames)
    with st.container(horizontal=True, vertical_alignment="center"):
        is_valid = MIN_IMAGES <= total <= MAX_IMAGES
        if st.button(
            "Continue", type="primary", icon=":material/arrow_forward:", disabled=not is_valid, key="store-good-parts"
        ):
            store(page, station, uploads, frames)
        st.caption(describe_total(total))


def thumbnails_by_name(
    page: PageContext, station: Station, uploads: Mapping[str, tuple[str, bytes]], frames: Sequence[NormalImage]
) -> dict[str, bytes]:
    """Return the thumbnails of the chosen images by name, without those that can't be shown."""
    shown = [(name, upload_thumbnail(data)) for name, data in uploads.values()]
    shown += [
        (frame.name, thumbnail)
        for frame in frames
        if (thumbnail := page.thumbnail(frame.reference, THUMBNAIL, THUMBNAIL, station.id))
    ]
    found: dict[str, bytes] = {}
    for name, thumbnail in shown:
        found[f"{name} ({len(found) + 1})" if name in found else name] = thumbnail  # frames of one second
    return found


def describe_total(total: int) -> str:
    """Return how many good parts are chosen, and whether more or fewer are needed."""
    if total < MIN_IMAGES:
        return f"{formatting.plural(total, 'good part')} so far."
    if total > MAX_IMAGES:
        return f"{total} good parts are too many: the maximum is {MAX_IMAGES}."
    more = f" {RECOMMENDED_MIN} to {RECOMMENDED_MAX} are recommended." if total < RECOMMENDED_MIN else ""
    return f"{formatting.plural(total, 'good part')}.{more}"


def readable_images(files: Sequence[tuple[str, bytes]]) -> dict[str, tuple[str, bytes]]:
    """Return SHA-256 → (name, bytes) of the files that are images; draws which are not, and which are duplicates."""
    found: dict[str, tuple[str, bytes]] = {}
    for name, data in files:
        digest, shown = hashlib.sha256(data).hexdigest(), formatting.escape_markdown(name)
        try:
            upload_thumbnail(data)
        except ValueError as error:
            st.error(f"{shown} can't be used: {formatting.escape_markdown(str(error))}", icon=":material/broken_image:")
            continue
        if digest in found:
            st.warning(f"{shown} is the same image as {formatting.escape_markdown(found[digest][0])} and is used once.")
            continue
        found[digest] = (name, data)
    return found


@st.cache_data(max_entries=200, show_spinner=False)
def upload_thumbnail(data: bytes) -> bytes:
    """Return a thumbnail of an upload.

    Raises:
        ValueError: The bytes are not an image, or a blank one.
    """
    images.require_usable_normal(data)
    return images.thumbnail(data, THUMBNAIL, THUMBNAIL)


def gallery(files: Sequence[tuple[str, bytes]]) -> None:
    """Draw the uploads; each is (name, bytes)."""
    if files:
        with st.grid("auto", min_column_width=100, gap="xxsmall", key="images-uploaded"):
            for name, data in files:
                st.image(upload_thumbnail(data), width="stretch", alt=f"Good part {name}")


def choose_frames(page: PageContext, station: Station) -> list[NormalImage]:
    """Draw the newest frames that wait with a checkbox each, and return the ticked ones."""
    with page.read() as session:
        waiting = parked_frames.count(session, station.id)
        newest = parked_frames.recent(session, station.id, FRAMES_OFFERED)
    if not newest:
        st.markdown("No frame has arrived yet. Frames sent to this station wait here. Send some with:")
        st.code(f"andon produce {station.name} --source folder:PATH", language="bash", wrap_lines=True)
        st.button("Refresh", icon=":material/refresh:", key="refresh-frames")
        return []
    verb = "is" if waiting == 1 else "are"
    st.caption(
        f"{formatting.plural(waiting, 'frame')} {verb} waiting. Tick the good ones. All of them are inspected later."
    )
    distinct: dict[str, ParkedFrame] = {frame.image_reference: frame for frame in reversed(newest)}
    chosen = []
    with st.grid("auto", min_column_width=110, gap="xxsmall", key="images-camera"):
        for frame in list(distinct.values())[::-1]:
            with st.container(gap=None):
                if thumbnail := page.thumbnail(frame.image_reference, THUMBNAIL, THUMBNAIL):
                    st.image(thumbnail, width="stretch", alt="A frame that waits")
                captured = formatting.clock(frame.captured_at, page.now(), page.time_zone)
                if st.checkbox(captured, key=f"take-{frame.frame_id}"):
                    chosen.append(NormalImage(frame.image_reference, f"frame of {captured}"))
    return chosen


def store(
    page: PageContext, station: Station, uploads: Mapping[str, tuple[str, bytes]], frames: Sequence[NormalImage]
) -> None:
    """Put the uploads into the image store, and make a draft of them and the chosen frames."""

    def change(session: Session, actor: Actor) -> NormalSet:
        chosen = {image.reference: image for image in (*stored, *frames)}
        return normal_set_actions.add(
            session, actor, station.name, list(chosen.values()), "first good parts", page.now()
        )

    try:
        stored = [NormalImage(page.image_store.put(data), name) for name, data in uploads.values()]
    except StorageUnavailable as error:
        mutations.refuse(str(error))
    else:
        if mutations.apply(page, change, "The good parts were stored."):
            st.query_params.pop(STEP, None)
    st.rerun()
