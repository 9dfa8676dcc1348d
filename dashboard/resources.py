"""The resources that this process opens once: its settings, the database and the image store."""

import sys

import streamlit as st
from pydantic import BaseModel, ConfigDict
from pydantic_settings import BaseSettings, SettingsConfigDict

from alerts.settings import AlertsSettings
from dashboard.app.command import settings_from
from dashboard.app.settings import DashboardSettings
from imaging.limits import MAX_BYTES, MAX_PIXELS, ImageLimits
from storage.blobs.image_store import ImageStore
from storage.database.engine import Database
from storage.database.secret_key import SecretKey
from storage.errors import SchemaMismatch, StorageUnavailable
from storage.settings import StorageSettings

LOCK_TIMEOUT_S = 2.0  # a person who waits longer for another writer wants to know why


class _ImageLimits(BaseModel):
    """Those of the scorer's settings that limit images."""

    model_config = ConfigDict(extra="ignore")

    max_image_bytes: int = MAX_BYTES
    max_image_pixels: int = MAX_PIXELS


class _Environment(BaseSettings):
    """The settings of other rooms, which the parent process passes in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="ANDON_", env_nested_delimiter="__", extra="ignore", env_ignore_empty=True
    )

    storage: StorageSettings = StorageSettings()
    scorer: _ImageLimits = _ImageLimits()
    alerts: AlertsSettings = AlertsSettings()


@st.cache_resource
def dashboard_settings() -> DashboardSettings:
    """Return the settings that the command line of this process carries."""
    return settings_from(sys.argv)


def storage_settings() -> StorageSettings:
    """Return the addresses of the database and the image store."""
    return _Environment().storage


@st.cache_resource
def alerts_settings() -> AlertsSettings:
    """Return the plant's time zone and shifts, and how many defects a part can have."""
    return _Environment().alerts


@st.cache_resource
def image_limits() -> ImageLimits:
    """Return the scorer's limits on images: the pages show what it decodes."""
    scorer = _Environment().scorer
    return ImageLimits(scorer.max_image_bytes, scorer.max_image_pixels)


def database() -> Database:
    """Return the database of this process."""
    return _database(storage_settings().database_url, storage_settings())


def image_store() -> ImageStore:
    """Return the image store of this process."""
    return _image_store(storage_settings().images_url)


def storage_problem() -> str | None:
    """Return why the database can't be read and what to do about it, or None when it can."""
    try:
        database().require_current_schema()
    except SchemaMismatch as error:
        return f"{error} This page continues by itself as soon as that is done."
    except StorageUnavailable as error:
        return f"{error} This page continues by itself as soon as the database is back."
    return None


@st.cache_resource
def _database(url: str, _settings: StorageSettings) -> Database:
    return Database(url, lock_timeout_s=LOCK_TIMEOUT_S, secret_key=SecretKey.from_settings(_settings))


@st.cache_resource
def _image_store(url: str) -> ImageStore:
    return ImageStore(url)
