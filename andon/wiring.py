"""Opens the parts of the rooms from settings and closes them again; the only place that knows how they fit together.

Each function imports what it opens: a command that only looks into the database must not wait for the rest.
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


@contextmanager
def database(settings: Settings) -> "Iterator[Database]":
    """The database, with its schema checked; a new SQLite one is made on the spot.

    Raises `SchemaMismatch` for an older schema, which only `andon db upgrade` changes, and `StorageUnavailable`.
    """
    with _database(settings) as opened:
        opened.require_current_schema()
        yield opened


@contextmanager
def database_or_wait(settings: Settings) -> "Iterator[Database]":
    """The database for a process that waits for one that is away, and checks its schema by itself."""
    with _database(settings) as opened:
        yield opened


@contextmanager
def _database(settings: Settings) -> "Iterator[Database]":
    from storage.database.engine import Database

    with closing(Database(settings.storage.database_url)) as opened:
        if settings.storage.database_url.startswith("sqlite") and _is_empty(opened):
            opened.upgrade()
        yield opened


def images(settings: Settings) -> "ImageStore":
    """The image store."""
    from storage.blobs.image_store import ImageStore

    return ImageStore(settings.storage.images_url)


@contextmanager
def bus(settings: Settings) -> "Iterator[Bus]":
    """The bus; nothing is connected and no topic made before the first publisher or consumer asks for it."""
    from ingest.bus.registry import open_bus

    with closing(open_bus(settings.ingest)) as opened:
        yield opened


@contextmanager
def producer(settings: Settings, station: str) -> "Iterator[Producer]":
    """A producer for one station's frames, with a spool of its own: two processes can't share one.

    Raises `BusMisconfigured` when another process publishes this station's frames now, or the spool can't be used.
    """
    with bus(settings) as opened, closing(_producer(settings, station, opened)) as made:
        yield made


def _producer(settings: Settings, station: str, opened: "Bus") -> "Producer":
    from ingest.producer.producer import Producer
    from ingest.producer.spool import Spool

    spool = Spool(settings.ingest.spool_path / station, settings.ingest.max_spool_bytes)
    try:
        return Producer(opened.publisher(settings.ingest.topic), settings.ingest, spool, images(settings))
    except Exception:
        spool.close()
        raise


@contextmanager
def worker(settings: Settings, name: str) -> "Iterator[ScoringWorker]":
    """A scoring worker; it checks the schema itself, and waits for a database or a bus that is away."""
    from scorer.worker.loop import ScoringWorker

    with _database(settings) as opened, bus(settings) as line:
        yield ScoringWorker(line, opened, images(settings), settings.scorer, settings.ingest.topic, name)


def _is_empty(opened: "Database") -> bool:
    """Whether it has no table at all: a file that was just made, by us or by another process that migrates it now."""
    import sqlalchemy

    with opened.read() as session:
        return not sqlalchemy.inspect(session.connection()).get_table_names()


def metrics_port(settings: Settings, asked: int | None) -> int:
    """The port that this process was asked to serve, or else the one of the settings."""
    return settings.andon.metrics_port if asked is None else asked
