"""The database and the image store of this process, opened once, and what to say when one of them is away."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from functools import wraps
from typing import ParamSpec
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
import structlog
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.orm import Session

from alerts.settings import AlertsSettings
from dashboard import theme
from dashboard.app.command import settings_from
from dashboard.app.settings import DashboardSettings
from dashboard.components import images
from foundation.clock import utc_now
from storage.blobs.anomaly_maps import AnomalyMap, decode_map
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database
from storage.errors import NotFound, SchemaMismatch, StorageUnavailable
from storage.settings import StorageSettings

P = ParamSpec("P")
log = structlog.get_logger()


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ANDON_", env_nested_delimiter="__", extra="ignore")

    storage: StorageSettings = StorageSettings()
    alerts: AlertsSettings = AlertsSettings()


def now() -> datetime:
    return utc_now()


@st.cache_resource
def settings() -> DashboardSettings:
    return settings_from(sys.argv)


def storage_settings() -> StorageSettings:
    return _Environment().storage


@st.cache_resource
def alerts_settings() -> AlertsSettings:
    """The plant's time zone, shifts, and how many defects a part can have."""
    return _Environment().alerts


@st.cache_resource
def _database(url: str) -> Database:
    return Database(url)


@st.cache_resource
def _image_store(url: str) -> ImageStore:
    return ImageStore(url)


def database() -> Database:
    return _database(storage_settings().database_url)


def image_store() -> ImageStore:
    return _image_store(storage_settings().images_url)


@contextmanager
def changing() -> Iterator[Session]:
    """One transaction that changes data, for the desk's functions alone; raises `StorageUnavailable`."""
    with database().begin() as session:
        yield session


@contextmanager
def reading() -> Iterator[Session]:
    """One transaction on this process's database; raises `StorageUnavailable`."""
    with database().read() as session:
        yield session


def problem() -> str | None:
    """One sentence on why there is nothing to show, and the way out; None when all is well."""
    try:
        database().require_current_schema()
    except SchemaMismatch as error:
        return f"{error} This page goes on by itself as soon as that is done."
    except StorageUnavailable as error:
        return f"{error} This page goes on by itself as soon as it is back."
    return None


def live(part: Callable[P, None], every_s: float | None, *args: P.args, **kwargs: P.kwargs) -> None:
    """Draw a part of the page now, and without the rest of it again every `every_s` seconds (None: the setting's).

    When the database goes away meanwhile the whole page runs again, which then says so.
    """

    @wraps(part)  # Streamlit knows a fragment by its name
    def guarded() -> None:
        try:
            part(*args, **kwargs)
        except (StorageUnavailable, SchemaMismatch) as error:
            log.warning("dashboard-part-not-drawn", part=part.__qualname__, error=str(error))
            st.rerun()

    st.fragment(guarded, run_every=every_s or settings().refresh_every_s)()


def colours() -> theme.Palette:
    return theme.palette(st.context.theme.type)


def zone() -> tzinfo:
    """The reader's own time zone, UTC when the browser does not say or says one that is unknown here."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def midnight(at: datetime) -> datetime:
    """The beginning of the reader's own day, in UTC."""
    return at.astimezone(zone()).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


def small_copy(reference: str, width: int, height: int) -> bytes | None:
    """A small copy of a kept picture as JPEG; None when it is not kept, can't be shown, or its store is away."""
    try:
        return _small_copy(storage_settings().images_url, reference, width, height)
    except (NotFound, StorageUnavailable, ValueError) as error:
        log.warning("picture-not-shown", reference=reference, error=str(error))
        return None


def anomaly_map(reference: str) -> AnomalyMap | None:
    """A kept anomaly map; None when it is not kept any more, can't be read, or the store is away."""
    try:
        return decode_map(image_store().get(reference))
    except (NotFound, StorageUnavailable, ValueError) as error:
        log.warning("map-not-shown", reference=reference, error=str(error))
        return None


@st.cache_data(max_entries=2000, show_spinner=False)
def _small_copy(images_url: str, reference: str, width: int, height: int) -> bytes:
    return images.small_copy(_image_store(images_url).get(reference), width, height)
