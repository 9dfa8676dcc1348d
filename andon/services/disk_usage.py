"""Disk usage on this machine: the disks that hold the database and the images, and the spools of the producers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from alerts.views import DiskUsage
from andon.settings import Settings
from storage.urls import parse_database_url


def disk_usages(settings: Settings) -> list[DiskUsage]:
    """Return the usage of every disk that Andon writes to here, once per disk, and of every station's spool."""
    by_device: dict[int, DiskUsage] = {}
    for name, folder in _folders(settings):
        existing = _nearest_existing(folder)
        usage = shutil.disk_usage(existing)
        by_device.setdefault(existing.stat().st_dev, DiskUsage(name, usage.total - usage.free, usage.total))
    return [*by_device.values(), *_spools(settings)]


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
            used_bytes = sum(_size_bytes(file) for file in spool.iterdir())
            yield DiskUsage(f"the spool of {spool.name}", used_bytes, settings.ingest.max_spool_bytes)


def _nearest_existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # sent and deleted in the meantime
        return 0
