"""Add a station: name, object, a few good parts, how sensitive; then wait for the first verdict.

Where a visit stands is told from the database and the address, so a reload, or a second visit, goes on from there.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from html import escape

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import context, formatting, mutations, station_state
from dashboard.auth import identity
from dashboard.auth.account import escaped
from dashboard.components import elements, images
from storage.actions import normal_sets as normal_set_actions
from storage.actions import stations as station_actions
from storage.auth import rights
from storage.auth.actors import Actor
from storage.errors import NotFound, StorageUnavailable
from storage.line import normal_sets, parked_frames, stations, thresholds, verdicts, workers
from storage.line.normal_sets import MAX_IMAGES, MIN_IMAGES, NormalImage, NormalSet
from storage.line.parked_frames import ParkedFrame
from storage.line.stations import Station, StationSettings
from storage.line.verdicts import Verdict

NEW, STEP, CHOOSE, UPLOADS = "new", "step", "parts", "wizard_uploads"
STEPS = ("Name", "Good parts", "Sensitivity", "First verdict")
FEW, ENOUGH = 4, 8  # how many good parts are asked for; more are better, to MAX_IMAGES
RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
FROM_CAMERA = 24  # newest frames that are offered
LOOK_EVERY_S = 2.0
READS = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp"]


def add_station_page() -> None:
    st.title("Add a station")
    if not rights.is_allowed(identity.actor(), "station.add"):
        st.info("An engineer or an admin adds stations.", icon=":material/lock:")
        return
    mutations.say_what_came_of_it()
    place = being_added()
    if place is None:
        st.html(steps(0))
        name_it()
        return
    with context.reading() as session:
        versions = normal_sets.list_all(session, place.id)
    if any(one.state == "active" for one in versions):
        st.html(steps(3))
        context.live(first_verdict, LOOK_EVERY_S, place)
    elif versions and st.query_params.get(STEP) != CHOOSE:
        st.html(steps(2))
        sensitivity(place, versions[0])
    else:
        st.html(steps(1))
        good_parts(place)


def being_added() -> Station | None:
    """The station that the address names; None at the very beginning."""
    named = st.query_params.get(NEW)
    if not named:
        return None
    try:
        with context.reading() as session:
            return stations.get(session, named)
    except NotFound:
        return None


def steps(now: int) -> str:
    """The four steps with the one that is under way."""
    shown = "".join(
        f'<li class="{"done" if n < now else "now" if n == now else ""}"><b>{"✓" if n < now else n + 1}</b>{step}</li>'
        for n, step in enumerate(STEPS)
    )
    return f'<ol class="andon-steps">{shown}</ol>'


def name_it() -> None:
    with context.reading() as session:
        bare = [one.name for one in stations.list_all(session) if normal_sets.active(session, one.id) is None]
    with st.container(border=True, key="card-wizard"):
        st.markdown("A station is one camera position. Its name is what frames are sent under, so keep it short.")
        with st.form("name", border=False):
            name = st.text_input("Name", placeholder="press-1", max_chars=64, help="a-z, 0-9, dash, dot, underscore")
            object_name = st.text_input("What does the camera look at?", placeholder="solar cell", max_chars=120)
            pressed = st.form_submit_button("Go on", type="primary", icon=":material/arrow_forward:")
        if pressed:
            add(name.strip().lower(), object_name.strip() or "part")
        if bare:
            st.markdown("Or go on with a station that has no good parts yet:")
            with st.container(horizontal=True):
                for known in bare:
                    st.button(known, key=f"go-on-{known}", on_click=go_on, args=(known,))


def add(name: str, object_name: str) -> None:
    def change(session: Session, who: Actor) -> Station:
        return station_actions.add(session, who, name, StationSettings(object_name=object_name), context.now())

    if mutations.act(change, f"{name} is there: frames sent to it wait for their first good parts."):
        go_on(name)
    st.rerun()


def go_on(name: str) -> None:
    st.query_params[NEW] = name


def good_parts(place: Station) -> None:
    """Pictures from files or from what the camera sends already."""
    st.markdown(
        f"Give **{escaped(place.name)}** {FEW} to {ENOUGH} pictures of good parts as the camera sees them: the variety "
        f"that is all right, and nothing that is not. {MIN_IMAGES} are the least, {MAX_IMAGES} the most."
    )
    left, right = st.columns(2, gap="small")
    with left, st.container(border=True, key="card-upload"):
        st.html(elements.heading("From files"))
        files = st.file_uploader(
            "Pictures", READS, accept_multiple_files=True, key=f"{UPLOADS}_{place.id}", label_visibility="collapsed"
        )
        read = readable([(file.name, file.getvalue()) for file in files])
        gallery(list(read.values()))
    with right, st.container(border=True, key="card-camera"):
        st.html(elements.heading("From the camera"))
        frames = from_camera(place)
    images = [NormalImage(reference, name) for reference, name in frames]
    total = len(read) + len(images)
    with st.container(horizontal=True, vertical_alignment="center"):
        ready = MIN_IMAGES <= total <= MAX_IMAGES
        if st.button("Go on", type="primary", icon=":material/arrow_forward:", disabled=not ready, key="parts-done"):
            keep(place, read, images)
        st.caption(said_of(total))


def said_of(total: int) -> str:
    if total < MIN_IMAGES:
        return f"{formatting.plural(total, 'good part')} so far."
    if total > MAX_IMAGES:
        return f"{total} are too many: {MAX_IMAGES} at most."
    more = f" {FEW} to {ENOUGH} make a better start." if total < FEW else ""
    return f"{formatting.plural(total, 'good part')}.{more}"


def readable(files: Sequence[tuple[str, bytes]]) -> dict[str, tuple[str, bytes]]:
    """Content's hash → name and bytes of the files that are pictures; says which are none or come twice."""
    found: dict[str, tuple[str, bytes]] = {}
    for name, data in files:
        content = hashlib.sha256(data).hexdigest()
        try:
            small(data)
        except ValueError as error:
            st.error(f"{name} can't be taken: {error}.", icon=":material/broken_image:")
            continue
        if content in found:
            st.warning(f"{name} is the same picture as {found[content][0]}, and is taken once.")
            continue
        found[content] = (name, data)
    return found


@st.cache_data(max_entries=200, show_spinner=False)
def small(data: bytes) -> bytes:
    """A small copy; raises `ValueError` for what is no picture."""
    return images.small_copy(data, 240, 240)


def gallery(files: Sequence[tuple[str, bytes]]) -> None:
    if files:
        with st.grid("auto", min_column_width=100, gap="xxsmall", key="images-uploaded"):
            for name, data in files:
                st.image(small(data), width="stretch", alt=f"Good part {name}")


def from_camera(place: Station) -> list[tuple[str, str]]:
    """Frames that wait, to be ticked: (image reference, name) of those chosen."""
    with context.reading() as session:
        waiting = parked_frames.count(session, place.id)
        newest = parked_frames.recent(session, place.id, FROM_CAMERA)
    if not newest:
        st.markdown("Nothing has come from the camera yet. Frames sent to this station wait here; send some with")
        st.code(f"andon produce {place.name} --source folder:PATH", language="bash", wrap_lines=True)
        st.button("Look again", icon=":material/refresh:", key="look-again")
        return []
    st.caption(f"{formatting.plural(waiting, 'frame')} wait. Tick the good ones; all of them are inspected afterwards.")
    distinct: dict[str, ParkedFrame] = {frame.image_reference: frame for frame in reversed(newest)}
    chosen = []
    with st.grid("auto", min_column_width=110, gap="xxsmall", key="images-camera"):
        for frame in list(distinct.values())[::-1]:
            with st.container(gap=None):
                if copy := context.small_copy(frame.image_reference, 240, 240):
                    st.image(copy, width="stretch", alt="A frame that waits")
                clock = formatting.clock(frame.captured_at, context.now(), context.zone())
                if st.checkbox(clock, key=f"take-{frame.frame_id}"):
                    chosen.append((frame.image_reference, f"frame of {clock}"))
    return chosen


def keep(place: Station, read: Mapping[str, tuple[str, bytes]], images: Sequence[NormalImage]) -> None:
    """Put the files into the image store, and make the first normal set of all that was chosen, as a draft."""

    def change(session: Session, who: Actor) -> NormalSet:
        chosen = {one.reference: one for one in (*kept, *images)}
        return normal_set_actions.add(
            session, who, place.name, list(chosen.values()), "first good parts", context.now()
        )

    try:
        kept = [NormalImage(context.image_store().put(data), name) for name, data in read.values()]
    except StorageUnavailable as error:
        mutations.refuse(str(error))
    else:
        if mutations.act(change, "The good parts are kept."):
            st.query_params.pop(STEP, None)
    st.rerun()


def sensitivity(place: Station, draft: NormalSet) -> None:
    images = draft.images
    with st.container(border=True, key="card-wizard"):
        st.html(elements.heading(f"{place.name}: {formatting.plural(len(images), 'good part')}"))
        with st.grid("auto", min_column_width=88, gap="xxsmall", key="images-chosen"):
            for image in images:
                if copy := context.small_copy(image.reference, 240, 240):
                    st.image(copy, width="stretch", alt=f"Good part {image.name}")
        rate = st.select_slider(
            "How many good parts may be flagged?",
            RATES,
            value=0.01,
            format_func=lambda one: f"{100 * one:g} %",
            key="rate",
        )
        st.info(promise(len(images), rate), icon=":material/rule:")
        with st.container(horizontal=True):
            if st.button("Back", icon=":material/arrow_back:", key="back"):
                st.query_params[STEP] = CHOOSE
                st.rerun()
            if st.button("Begin to inspect", type="primary", icon=":material/play_arrow:", key="begin"):
                begin(place, draft, rate)


def promise(images: int, rate: float) -> str:
    """What so many normals can promise: a conformal threshold needs 1/rate - 1 of them (docs/adr/0007)."""
    needed = math.ceil(1 / rate - 1e-9) - 1
    if images >= needed:
        return f"{images} good parts can promise this."
    return (
        f"{images} good parts can promise at best one false reject in {images + 1}; {100 * rate:g} % can be promised "
        f"from {needed} good parts on. Begin with these: the threshold gets better with every frame that is reviewed."
    )


def begin(place: Station, draft: NormalSet, rate: float) -> None:
    """The sensitivity and the set's activation, both or neither."""

    def change(session: Session, who: Actor) -> None:
        at = context.now()
        if rate != place.settings.false_reject_rate:
            wanted = replace(place.settings, false_reject_rate=rate)
            station_actions.edit(session, who, place.name, wanted, at, "first setting")
        normal_set_actions.activate(session, who, place.name, draft.version, at)

    mutations.act(change, f"{place.name} begins to inspect.")
    st.rerun()


def first_verdict(place: Station) -> None:
    """What happens until the first verdict is there, and the verdict."""
    now = context.now()
    with context.reading() as session:
        newest = verdicts.recent(session, place.id, limit=1)
        threshold = next(iter(thresholds.history(session, place.id)), None)
        waiting = parked_frames.count(session, place.id)
        scorers = workers.list_all(session)
    running = station_state.alive(scorers, now, timedelta(seconds=context.settings().worker_timeout_s))
    with st.container(border=True, key="card-wizard"):
        if newest:
            done(place, newest[0])
            return
        st.html(elements.heading("Waiting for the first verdict"))
        said = [
            ("A scorer runs", bool(running), "Start one: `andon score`"),
            (
                "It has made references and a threshold",
                threshold is not None,
                "A few seconds after it sees the good parts",
            ),
            ("Frames come", waiting > 0, f"Send some: `andon produce {place.name} --source folder:PATH`"),
        ]
        for sentence, holds, hint in said:
            mark = "check_circle" if holds else "hourglass_empty"
            st.markdown(f":material/{mark}: {sentence}" + ("" if holds else f" – {hint}"))


def done(place: Station, verdict: Verdict) -> None:
    st.html(
        f'<div class="andon-verdict" data-first="{verdict.decision}">{elements.decision_chip(verdict)}'
        f"<span>The first verdict of {escape(place.name)}: score {formatting.score(verdict.score)}, "
        f"threshold {formatting.score(verdict.threshold)}.</span></div>"
    )
    if copy := context.small_copy(verdict.image_reference, 640, 480):
        st.image(copy, width=480, alt=f"The first frame of {place.name}")
    with st.container(horizontal=True):
        st.page_link("../station/page.py", label=f"Open {place.name}", query_params={"station": place.name})
        st.page_link("../wall/page.py", label="Live wall")


add_station_page()
