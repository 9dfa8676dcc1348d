"""Disk usage lists each disk once, and every spool with its limit."""

from pathlib import Path

import pytest

from andon.services.disk_usage import disk_usages
from andon.settings import load_settings


@pytest.fixture
def spool_settings(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_INGEST__SPOOL_PATH", str(workplace / "spool"))
    monkeypatch.setenv("ANDON_INGEST__MAX_SPOOL_BYTES", "1000000000")


@pytest.mark.usefixtures("spool_settings")
def test_a_disk_with_database_and_images_is_listed_once_before_their_folders_exist() -> None:
    (disk,) = disk_usages(load_settings().settings)
    assert disk.name == "the disk of the database"
    assert 0 < disk.share < 1


@pytest.mark.usefixtures("spool_settings")
def test_the_spool_of_each_station_is_measured_against_its_limit(workplace: Path) -> None:
    for station, size in (("s1", 250), ("s2", 0)):
        (workplace / "spool" / station).mkdir(parents=True)
        (workplace / "spool" / station / "000.seg").write_bytes(b"x" * size)
    _, first, second = disk_usages(load_settings().settings)
    assert (first.name, first.used_bytes, first.limit_bytes) == ("the spool of s1", 250, 1_000_000_000)
    assert (second.name, second.used_bytes) == ("the spool of s2", 0)


@pytest.mark.usefixtures("spool_settings")
def test_remote_storage_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", "postgresql+psycopg://andon@db/andon")
    monkeypatch.setenv("ANDON_STORAGE__IMAGES_URL", "s3://bucket/andon")
    assert disk_usages(load_settings().settings) == []
