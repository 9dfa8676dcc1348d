"""What can fill up on this machine: the disks of database and images, and the spools."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from alerts.views import DiskUsage
from andon.settings import Settings
from storage.urls import parse_database_url


def disk_usages(settings: Settings) -> list[DiskUsage]:
    """Disks that Andon writes on here, each once, and every station's spool with its limit."""
    found: dict[int, DiskUsage] = {}
    for name, folder in _folders(settings):
        there = _nearest(folder)
        usage = shutil.disk_usage(there)
        found.setdefault(there.stat().st_dev, DiskUsage(name, usage.total - usage.free, usage.total))
    return [*found.values(), *_spools(settings)]


def _folders(settings: Settings) -> Iterator[tuple[str, Path]]:
    database = parse_database_url(settings.storage.database_url)
    if database.get_backend_name() == "sqlite":
        yield "the disk of the database", Path(database.database or ".").parent
    if "://" not in settings.storage.images_url:
        yield "the disk of the images", Path(settings.storage.images_url)


def _spools(settings: Settings) -> Iterator[DiskUsage]:
    folder = settings.ingest.spool_path
    for spool in sorted(folder.iterdir()) if folder.is_dir() else []:
        if spool.is_dir():
            used = sum(_size(file) for file in spool.iterdir())
            yield DiskUsage(f"the spool of {spool.name}", used, settings.ingest.max_spool_bytes)


def _nearest(folder: Path) -> Path:
    """The folder, or the first one above it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # sent, and deleted, while we looked
        return 0
