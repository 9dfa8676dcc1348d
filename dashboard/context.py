"""The context of every page: the settings, the database, the images, and the user with role and time zone."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import wraps
from typing import Literal, TypeVarTuple

import streamlit as st
import structlog
from sqlalchemy.orm import Session
from streamlit.navigation.page import StreamlitPage

from alerts.settings import AlertsSettings
from dashboard.app.settings import DashboardSettings
from dashboard.auth import identity
from dashboard.components import images
from dashboard.components.freshness import watch_freshness
from dashboard.theme import Palette
from foundation.clock import utc_now
from imaging.limits import ImageLimits
from storage.auth import rights
from storage.auth.actors import Actor
from storage.auth.rights import Action
from storage.blobs.anomaly_maps import AnomalyMap, decode_map
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database
from storage.errors import NotFound, SchemaMismatch, StorageUnavailable
from storage.line import normal_sets
from storage.settings import StorageSettings

PageName = Literal[
    "wall", "station", "review", "normals", "alerts", "quality", "dead-letters", "audit", "settings", "add-station"
]
Arguments = TypeVarTuple("Arguments")
BIT_DEPTHS_TTL_S = 5.0
log = structlog.get_logger()


def now() -> datetime:
    """Return the current time in UTC."""
    return utc_now()


@dataclass(frozen=True, slots=True)
class PageContext:
    """One visit of one person to one page.

    `actor` is the person in the role they had when the page was drawn; storage checks the role again with every change.
    `time_zone` is the browser's. `browser` tells the browsers of one person apart. `pages` are the targets of links
    between pages.
    """

    settings: DashboardSettings
    storage_settings: StorageSettings
    alerts_settings: AlertsSettings
    database: Database
    image_store: ImageStore
    image_limits: ImageLimits
    actor: Actor
    time_zone: tzinfo
    browser: str
    palette: Palette
    pages: Mapping[PageName, StreamlitPage]

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return now()

    def start_of_day(self, at: datetime) -> datetime:
        """Return the beginning of that day in the person's time zone, in UTC."""
        local = at.astimezone(self.time_zone)
        return local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open one read-only transaction.

        Raises:
            StorageUnavailable: The database can't be reached.
        """
        with self.database.read() as session:
            yield session

    def write_problem(self) -> str | None:
        """Return why the database can't be written now and what to do about it, or None when it can."""
        try:
            with self.database.begin() as session:
                session.connection()  # only now the transaction begins
                return None
        except StorageUnavailable as error:
            return str(error)

    def is_allowed(self, action: Action) -> bool:
        """Return whether to enable the control of an action; storage alone enforces the permission."""
        return rights.is_allowed(self.actor, action)

    def thumbnail(self, reference: str, width: int, height: int, station_id: int | None = None) -> bytes | None:
        """Return a stored image as JPEG of at most `width` × `height` pixels, or None when it can't be shown.

        Its samples are read at the bit depth of the station, or of the image itself where no station is given.
        """
        try:
            depth = None if station_id is None else self._bit_depths().get(station_id)
            settings = self.storage_settings
            return _thumbnail(settings.images_url, reference, width, height, depth, self.image_limits, self.image_store)
        except (NotFound, StorageUnavailable, ValueError) as error:
            log.warning("image-not-shown", reference=reference, error=str(error))
            return None

    def _bit_depths(self) -> Mapping[int, int]:
        return _bit_depths(self.storage_settings.database_url, self.database)

    def anomaly_map(self, reference: str) -> AnomalyMap | None:
        """Return a stored anomaly map, or None when it was deleted or can't be read."""
        try:
            return decode_map(self.image_store.get(reference))
        except (NotFound, StorageUnavailable, ValueError) as error:
            log.warning("anomaly-map-not-shown", reference=reference, error=str(error))
            return None


def draw_live(
    context: PageContext,
    part: Callable[[PageContext, *Arguments], None],
    every_s: float | None,
    *arguments: *Arguments,
) -> None:
    """Draw a part of the page now and again every `every_s` seconds, without the rest of the page.

    Each time it is asked who is there: when the login has ended or the role has changed, the whole page runs again.
    When the database becomes unavailable, the whole page runs again and shows why. When the part is not refreshed any
    more, the browser says so.

    Args:
        context: Passed to `part`.
        part: Draws the part.
        every_s: Period in seconds; None takes `refresh_every_s` of the settings.
        arguments: Passed to `part` after the context.
    """

    period_s = every_s or context.settings.refresh_every_s

    @wraps(part)  # Streamlit identifies a fragment by its function's name
    def guarded() -> None:
        try:
            require_same_login(context)
            part(context, *arguments)
            watch_freshness(part.__name__, period_s, context.now(), context.time_zone)
        except (StorageUnavailable, SchemaMismatch) as error:
            log.warning("live-part-not-drawn", part=part.__qualname__, error=str(error))
            st.rerun()

    st.fragment(guarded, run_every=period_s)()


def require_same_login(context: PageContext) -> None:
    """Run the whole page again unless the person is still logged in, in the same role.

    Streamlit runs a fragment without the rest of the page, for as long as a browser asks for it.
    """
    if identity.current_actor(context.database, context.settings, context.now()) != context.actor:
        st.rerun()


@st.cache_data(max_entries=2000, show_spinner=False)
def _thumbnail(
    images_url: str,
    reference: str,
    width: int,
    height: int,
    bit_depth: int | None,
    _limits: ImageLimits,
    _store: ImageStore,
) -> bytes:
    """Cache thumbnails by the store's address; Streamlit leaves arguments with a leading underscore out of the key."""
    return images.thumbnail(_store.get(reference), width, height, _limits, bit_depth)


@st.cache_data(ttl=BIT_DEPTHS_TTL_S, max_entries=8, show_spinner=False)
def _bit_depths(database_url: str, _database: Database) -> Mapping[int, int]:
    """Return the stations' bit depths, read again after some seconds: a page shows many thumbnails."""
    with _database.read() as session:
        return dict(normal_sets.bit_depths(session))
