"""Composition of a process from its settings: each function opens one part and closes it again.

This is the only module that connects the packages. Each function imports what it opens, so that a command that only
reads the database does not load the rest.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from andon.settings import Settings

if TYPE_CHECKING:
    from ingest.bus.protocol import Bus
    from ingest.producer.producer import Producer
    from scorer.worker.loop import ScoringWorker
    from storage.blobs.image_store import ImageStore
    from storage.database.engine import Database


def create_database(settings: Settings) -> "Database":
    """Return the database of the settings, with the key for its secrets; nothing is connected yet."""
    from storage.database.engine import Database
    from storage.database.secret_key import SecretKey

    return Database(settings.storage.database_url, secret_key=SecretKey.from_settings(settings.storage))


@contextmanager
def open_database(settings: Settings) -> "Iterator[Database]":
    """Open the database and check its schema; a new SQLite file gets its tables at once.

    Raises:
        SchemaMismatch: The schema is older or newer than this version; `andon db upgrade` brings an older one up.
        StorageUnavailable: The database can't be reached.
    """
    with open_database_unchecked(settings) as database:
        database.require_current_schema()
        yield database


@contextmanager
def open_database_unchecked(settings: Settings) -> "Iterator[Database]":
    """Open the database for a process that checks the schema itself and waits while the database is unavailable."""
    with closing(create_database(settings)) as database:
        if settings.storage.database_url.startswith("sqlite") and _is_empty(database):
            database.upgrade()
        yield database


def open_image_store(settings: Settings) -> "ImageStore":
    """Return the image store."""
    from storage.blobs.image_store import ImageStore

    return ImageStore(settings.storage.images_url)


@contextmanager
def open_bus(settings: Settings) -> "Iterator[Bus]":
    """Open the bus; it connects and creates its topic when the first publisher or consumer is made."""
    from ingest.bus import registry

    with closing(registry.open_bus(settings.ingest)) as bus:
        yield bus


@contextmanager
def open_producer(settings: Settings, station: str) -> "Iterator[Producer]":
    """Open a producer of one station's frames with a spool of its own, which no other process may use meanwhile.

    Raises:
        BusMisconfigured: Another process publishes this station's frames, or the spool can't be used.
    """
    with open_bus(settings) as bus, closing(_create_producer(settings, station, bus)) as producer:
        yield producer


def _create_producer(settings: Settings, station: str, bus: "Bus") -> "Producer":
    from ingest.producer.producer import Producer
    from ingest.producer.spool import Spool

    spool = Spool(settings.ingest.spool_path / station, settings.ingest.max_spool_bytes)
    try:
        return Producer(bus.publisher(settings.ingest.topic), settings.ingest, spool, open_image_store(settings))
    except Exception:
        spool.close()
        raise


@contextmanager
def open_worker(settings: Settings, name: str) -> "Iterator[ScoringWorker]":
    """Open a scoring worker; it checks the schema itself and waits while the database or the bus is unavailable."""
    from scorer.worker.loop import ScoringWorker

    with open_database_unchecked(settings) as database, open_bus(settings) as bus:
        yield ScoringWorker(bus, database, open_image_store(settings), settings.scorer, settings.ingest.topic, name)


def metrics_port(settings: Settings, option: int | None) -> int:
    """Return the port of the command line's option, or the setting's where the option is not given."""
    return settings.andon.metrics_port if option is None else option


def _is_empty(database: "Database") -> bool:
    """Return whether the database has no table: this process, or one that migrates it now, has just created it."""
    import sqlalchemy

    with database.read() as session:
        return not sqlalchemy.inspect(session.connection()).get_table_names()
