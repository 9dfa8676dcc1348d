"""A folder source yields every image once, and only when it is complete."""

import os
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from ingest.frame import mint_frame_id
from testing.images import png
from tests.ingest.sources.folder_run import LONG_ENOUGH, STATION, FolderRun, part_ids, wait_only, write


def metric_value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"station": STATION, **labels}) or 0.0


def test_existing_files_are_read_oldest_first(root: Path, start_run: Callable[..., FolderRun]) -> None:
    write(root / "a.png", png(1), 3_000)
    write(root / "b.jpg", png(2), 1_000)
    write(root / "c.tiff", png(3), 2_000)

    frames = start_run().run_actions(*LONG_ENOUGH)

    assert part_ids(frames) == ["b.jpg", "c.tiff", "a.png"]
    assert [frame.content_type for frame in frames] == ["image/jpeg", "image/tiff", "image/png"]
    assert [frame.image for frame in frames] == [png(2), png(3), png(1)]
    assert frames[0].captured_at == datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC)
    assert {frame.station for frame in frames} == {STATION}


def test_a_growing_file_is_read_once_it_is_complete(root: Path, start_run: Callable[..., FolderRun]) -> None:
    image = png(1)
    file = root / "growing.png"

    def grow(size: int) -> Callable[[], None]:
        return lambda: write(file, image[:size], 1_000 + size)

    frames = start_run().run_actions(grow(100), grow(500), grow(900), grow(len(image)), *LONG_ENOUGH)

    assert [frame.image for frame in frames] == [image]


def test_an_overwritten_file_is_a_new_frame(root: Path, start_run: Callable[..., FolderRun]) -> None:
    file = root / "a.png"
    write(file, png(1), 1_000)
    run = start_run()

    first, second = run.run_actions(*LONG_ENOUGH, lambda: write(file, png(2), 2_000), *LONG_ENOUGH)

    assert (first.image, second.image) == (png(1), png(2))
    assert mint_frame_id(first) != mint_frame_id(second)


def test_subfolders_are_read_but_hidden_files_and_folders_are_not(
    root: Path, start_run: Callable[..., FolderRun]
) -> None:
    write(root / "2026-01-31" / "a.png", png(1), 1_000)
    write(root / ".trash" / "b.png", png(2), 1_000)
    write(root / ".c.png", png(3), 1_000)

    assert part_ids(start_run().run_actions(*LONG_ENOUGH)) == ["2026-01-31/a.png"]


def test_other_files_are_ignored_counted_and_logged_once(root: Path, start_run: Callable[..., FolderRun]) -> None:
    before = metric_value("andon_files_ignored_total")
    for name in ("read me.txt", "Thumbs.db", "a.png.part"):
        write(root / name, b"text", 1_000)

    with capture_logs() as logs:
        frames = start_run().run_actions(*LONG_ENOUGH)

    assert frames == []
    assert metric_value("andon_files_ignored_total") - before == 3
    assert len([entry for entry in logs if "ignored" in entry["event"]]) == 1


def test_an_empty_file_is_published_once_it_is_stable(root: Path, start_run: Callable[..., FolderRun]) -> None:
    write(root / "empty.png", b"", 1_000)

    assert [frame.image for frame in start_run().run_actions(*LONG_ENOUGH)] == [b""]


def test_an_unreadable_file_is_retried(root: Path, start_run: Callable[..., FolderRun]) -> None:
    file = root / "a.png"
    file.symlink_to("/proc/self/mem")  # reading its first byte is an error, for root too

    def repair() -> None:
        file.unlink()
        write(file, png(1), 1_000)

    with capture_logs() as logs:
        frames = start_run().run_actions(*LONG_ENOUGH, repair, *[wait_only] * 8)

    assert [frame.image for frame in frames] == [png(1)]
    assert [entry["log_level"] for entry in logs] == ["warning"]


def test_a_file_above_the_size_limit_is_counted_and_skipped(root: Path, start_run: Callable[..., FolderRun]) -> None:
    before = metric_value("andon_frames_dropped_total", reason="file-too-big")
    write(root / "huge.png", bytes(101), 1_000)
    write(root / "small.png", bytes(range(100)), 1_000)

    assert part_ids(start_run(max_file_bytes=100).run_actions(*LONG_ENOUGH)) == ["small.png"]
    assert metric_value("andon_frames_dropped_total", reason="file-too-big") - before == 1


def test_a_file_deleted_before_it_is_read_is_counted_as_dropped(
    root: Path, start_run: Callable[..., FolderRun]
) -> None:
    before = metric_value("andon_frames_dropped_total", reason="file-vanished")
    write(root / "a.png", png(1), 1_000)
    write(root / "b.png", png(2), 2_000)
    run = start_run()
    run.actions = list(LONG_ENOUGH)

    with closing(run.folder.frames(run.stop)) as frames:
        next(frames)
        (root / "b.png").unlink()
        assert list(frames) == []

    assert metric_value("andon_frames_dropped_total", reason="file-vanished") - before == 1


def test_a_file_that_never_settles_is_logged_once(root: Path, start_run: Callable[..., FolderRun]) -> None:
    seconds = iter(range(1_000, 2_000))

    with capture_logs() as logs:
        frames = start_run().run_actions(*[lambda: write(root / "latest.png", png(1), next(seconds))] * 100)

    assert frames == []
    assert len([entry for entry in logs if "never settles" in entry["event"]]) == 1


def test_a_file_name_that_is_not_utf8_is_read_and_recorded(root: Path, start_run: Callable[..., FolderRun]) -> None:
    write(root / os.fsdecode(b"bild-\xe4.png"), png(1), 1_000)
    first_run = start_run()

    (frame,) = first_run.run_actions(*LONG_ENOUGH)
    first_run.folder.confirm(frame)

    assert frame.part_id == "bild-\\xe4.png"
    assert start_run().run_actions(*LONG_ENOUGH) == []


@pytest.mark.parametrize("written_at_s", [-1, 0, 2**33])
def test_a_file_with_an_unusual_modification_time_is_read(
    root: Path, start_run: Callable[..., FolderRun], written_at_s: int
) -> None:
    write(root / "a.png", png(1), written_at_s)

    assert part_ids(start_run().run_actions(*LONG_ENOUGH)) == ["a.png"]
