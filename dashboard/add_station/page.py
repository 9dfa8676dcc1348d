"""The page that adds a station in five steps: name, good parts, false-reject rate, first verdict, first answers.

The current step follows from the database and the address, so that a reload or a later visit continues there.
"""

import math
from dataclasses import replace
from datetime import timedelta

import streamlit as st
from sqlalchemy.orm import Session

from dashboard import formatting, mutations, station_state
from dashboard.add_station import first_answers, good_parts
from dashboard.components import elements, image_grid, verdict_html
from dashboard.components.picture.outlined_image import outlined_image
from dashboard.context import PageContext, draw_live
from dashboard.html import render
from storage.actions import normal_sets as normal_set_actions
from storage.actions import stations as station_actions
from storage.auth.actors import Actor
from storage.errors import NotFound
from storage.line import normal_sets, parked_frames, stations, thresholds, verdicts, workers
from storage.line.normal_sets import NormalSet
from storage.line.stations import Station, StationSettings
from storage.line.verdicts import Verdict

TEMPLATE = "add_station/add_station.html"
STATION = "new"
STEPS = ("Name", "Good parts", "False-reject rate", "First verdict", "First answers")
RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
DEFAULT_RATE = 0.01
REFRESH_EVERY_S = 2.0


def add_station_page(page: PageContext) -> None:
    """Draw the current step."""
    st.title("Add a station")
    if not page.is_allowed("station.add"):
        st.info("Adding a station needs the role engineer.", icon=":material/lock:")
        return
    mutations.show_outcome()
    station = station_in_address(page)
    if station is None:
        draw_steps(0)
        name_step(page)
        return
    with page.read() as session:
        versions = normal_sets.list_all(session, station.id)
        has_questions = first_answers.is_reached(session, station)
    if any(version.state == "active" for version in versions) and has_questions:
        draw_steps(4)
        first_answers.first_answers_step(page, station)
    elif any(version.state == "active" for version in versions):
        draw_steps(3)
        draw_live(page, first_verdict_step, REFRESH_EVERY_S, station)
    elif versions and not good_parts.is_requested():
        draw_steps(2)
        rate_step(page, station, versions[0])
    else:
        draw_steps(1)
        good_parts.good_parts_step(page, station)


def station_in_address(page: PageContext) -> Station | None:
    """Return the station that the address names, or None in the first step."""
    name = st.query_params.get(STATION)
    if not name:
        return None
    try:
        with page.read() as session:
            return stations.get(session, name)
    except NotFound:
        return None


def draw_steps(current: int) -> None:
    """Draw the steps with the current one marked; it is counted from 0."""
    st.html(render(TEMPLATE, "steps", STEPS, current))


def name_step(page: PageContext) -> None:
    """Draw the form that adds a station, and the stations that still have no active normal set."""
    with page.read() as session:
        unfinished = [
            station.name for station in stations.list_all(session) if normal_sets.active(session, station.id) is None
        ]
    with st.container(border=True, key="card-wizard"):
        st.markdown("A station is one camera position. Frames are sent under its name, so keep it short.")
        with st.form("name", border=False):
            name = st.text_input("Name", placeholder="press-1", max_chars=64, help="a-z, 0-9, dash, dot, underscore")
            object_name = st.text_input("Object that is inspected", placeholder="solar cell", max_chars=120)
            submitted = st.form_submit_button("Continue", type="primary", icon=":material/arrow_forward:")
        if submitted:
            add(page, name.strip().lower(), object_name.strip() or "part")
        if unfinished:
            st.markdown("Or continue with a station that has no normal set yet:")
            with st.container(horizontal=True):
                for other in unfinished:
                    st.button(other, key=f"continue-with-{other}", on_click=continue_with, args=(other,))


def add(page: PageContext, name: str, object_name: str) -> None:
    """Add a station and continue with it."""

    def change(session: Session, actor: Actor) -> Station:
        return station_actions.add(session, actor, name, StationSettings(object_name=object_name), page.now())

    if mutations.apply(page, change, f"{name} was added. Its frames wait until it has a normal set."):
        continue_with(name)
    st.rerun()


def continue_with(name: str) -> None:
    """Name a station in the address, which leads to its next step."""
    st.query_params[STATION] = name


def rate_step(page: PageContext, station: Station, draft: NormalSet) -> None:
    """Draw the good parts and the choice of a false-reject rate."""
    with st.container(border=True, key="card-wizard"):
        st.html(elements.heading(f"{station.name}: {formatting.plural(len(draft.images), 'good part')}"))
        with st.grid("auto", min_column_width=88, gap="xxsmall", key="images-chosen"):
            image_grid.images_without_captions(
                page, [(image.reference, f"Good part {image.name}") for image in draft.images], station.id
            )
        rate = st.select_slider(
            "False-reject rate: how many good parts may be flagged?",
            RATES,
            value=DEFAULT_RATE,
            format_func=lambda each: f"{100 * each:g} %",
            key="rate",
        )
        st.info(guarantee(len(draft.images), rate), icon=":material/rule:")
        with st.container(horizontal=True):
            if st.button("Back", icon=":material/arrow_back:", key="back"):
                good_parts.request()
                st.rerun()
            if st.button("Start inspection", type="primary", icon=":material/play_arrow:", key="start-inspection"):
                start(page, station, draft, rate)


def guarantee(images: int, rate: float) -> str:
    """Return the guarantee of this number of good parts: a conformal threshold needs 1/rate - 1 of them (ADR 0007)."""
    needed = math.ceil(1 / rate - 1e-9) - 1
    if images >= needed:
        return f"{images} good parts can guarantee this rate."
    return (
        f"{images} good parts can guarantee at best one false reject in {images + 1}; {100 * rate:g} % needs {needed} "
        "good parts. You can start with these: the threshold improves with every frame that is reviewed."
    )


def start(page: PageContext, station: Station, draft: NormalSet, rate: float) -> None:
    """Set the false-reject rate and activate the normal set in one transaction."""

    def change(session: Session, actor: Actor) -> None:
        at = page.now()
        if rate != station.settings.false_reject_rate:
            settings = replace(station.settings, false_reject_rate=rate)
            station_actions.edit(session, actor, station.name, settings, at, "first setting")
        normal_set_actions.activate(session, actor, station.name, draft.version, at)

    mutations.apply(page, change, f"{station.name} starts to inspect.")
    st.rerun()


def first_verdict_step(page: PageContext, station: Station) -> None:
    """Draw the steps still missing for the first verdict, then the verdict."""
    with page.read() as session:
        newest = verdicts.latest(session, station.id)
        frames = verdicts.count(session, station.id)
        has_questions = first_answers.is_reached(session, station)
        threshold = next(iter(thresholds.history(session, station.id)), None)
        waiting = parked_frames.count(session, station.id)
        all_workers = workers.list_all(session)
    if has_questions:
        st.rerun()
    timeout = timedelta(seconds=page.settings.worker_timeout_s)
    running = station_state.alive(all_workers, page.now(), timeout)
    with st.container(border=True, key="card-wizard"):
        if newest is not None:
            first_verdict(page, station, newest)
            first_answers.draw_progress(frames)
            return
        st.html(elements.heading("Waiting for the first verdict"))
        checks = [
            ("A scorer is running", bool(running), "Start one: `andon score`"),
            (
                "The scorer has calibrated a threshold",
                threshold is not None,
                "This takes a few seconds after it has read the good parts",
            ),
            (
                "Frames arrive",
                waiting > 0,
                f"Send some: `andon produce {station.name} --source folder:PATH`",
            ),
        ]
        for text, is_true, hint in checks:
            icon = "check_circle" if is_true else "hourglass_empty"
            st.markdown(f":material/{icon}: {text}" + ("" if is_true else f" – {hint}"))


def first_verdict(page: PageContext, station: Station, verdict: Verdict) -> None:
    """Draw the first verdict with its frame, and links to the station and the wall."""
    st.html(render(TEMPLATE, "first_verdict", station.name, verdict, verdict_html.style(verdict)))
    if verdict.picture_problem is not None:
        st.html(verdict_html.bad_picture(verdict.picture_problem))
    if thumbnail := page.thumbnail(verdict.image_reference, 640, 480, station.id):
        with st.container(width=480):
            outlined_image(thumbnail, verdict.regions, "first-frame", f"The first frame of {station.name}")
    with st.container(horizontal=True):
        st.page_link(page.pages["station"], label=f"Open {station.name}", query_params={"station": station.name})
        st.page_link(page.pages["wall"], label="Live wall")
