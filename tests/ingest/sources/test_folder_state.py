"""A folder source remembers processed files over restarts, and waits for a folder that disappears."""

import queue
import shutil
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ingest.errors import SourceError
from ingest.frame import Frame, mint_frame_id
from ingest.settings import IngestSettings
from ingest.sources.folder import folder as folder_source
from ingest.sources.folder.folder import open_folder
from ingest.sources.folder.processed_files import FileVersion, ProcessedFiles
from testing.images import png
from testing.waiting import wait_until
from tests.ingest.sources.folder_run import LONG_ENOUGH, STATION, FolderRun, part_ids, wait_only, write


def test_a_confirmed_file_is_not_read_again_after_a_restart(root: Path, start_run: Callable[..., FolderRun]) -> None:
    write(root / "a.png", png(1), 1_000)
    first_run = start_run()
    for frame in first_run.run_actions(*LONG_ENOUGH):
        first_run.folder.confirm(frame)

    assert start_run().run_actions(*LONG_ENOUGH) == []


def test_an_unconfirmed_file_is_read_again_with_the_same_frame_id(
    root: Path, start_run: Callable[..., FolderRun]
) -> None:
    write(root / "a.png", png(1), 1_000)

    (first,) = start_run().run_actions(*LONG_ENOUGH)
    (again,) = start_run().run_actions(*LONG_ENOUGH)

    assert mint_frame_id(again) == mint_frame_id(first)


def test_a_file_is_read_once_even_if_its_confirmation_is_late(root: Path, start_run: Callable[..., FolderRun]) -> None:
    write(root / "a.png", png(1), 1_000)

    assert part_ids(start_run().run_actions(*LONG_ENOUGH, *LONG_ENOUGH)) == ["a.png"]


def test_the_source_waits_for_a_folder_that_disappears(
    root: Path, start_run: Callable[..., FolderRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_source, "RESCAN_INTERVAL_S", 0.01)
    received: queue.Queue[Frame] = queue.Queue()
    run = start_run()
    run.actions = [wait_only] * 1_000_000
    write(root / "a.png", png(1), 1_000)

    with capture_logs() as logs:
        reader = threading.Thread(target=put_frames, args=(received, run.folder.frames(run.stop)))
        reader.start()
        assert received.get(timeout=60).part_id == "a.png"
        shutil.rmtree(root)
        wait_until(lambda: any("waiting" in entry["event"] for entry in logs))
        write(root / "b.png", png(2), 2_000)
        assert received.get(timeout=60).part_id == "b.png"
        run.stop.set()
        reader.join(10)

    assert [entry["log_level"] for entry in logs] == ["warning", "info"]


def put_frames(received: queue.Queue[Frame], frames: Iterable[Frame]) -> None:
    for frame in frames:
        received.put(frame)


def test_a_renamed_file_is_read_on_its_event_without_a_rescan(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_source, "RESCAN_INTERVAL_S", 3_600.0)
    received: queue.Queue[Frame] = queue.Queue()
    stop = threading.Event()
    source = open_folder(str(root), STATION, IngestSettings(state_path=tmp_path / "state", settle_time_s=0.1))
    write(root / "first.png", png(0), 1_000)
    reader = threading.Thread(target=put_frames, args=(received, source.frames(stop)))
    reader.start()
    assert received.get(timeout=60).part_id == "first.png"  # from here on the folder is watched

    (tmp_path / "outside.png").write_bytes(png(1))
    (tmp_path / "outside.png").rename(root / "inside.png")
    assert received.get(timeout=60).image == png(1)

    (tmp_path / "subfolder").mkdir()
    (tmp_path / "subfolder" / "deep.png").write_bytes(png(2))
    (tmp_path / "subfolder").rename(root / "subfolder")
    assert received.get(timeout=60).part_id == "subfolder/deep.png"

    stop.set()
    reader.join(10)
    assert not reader.is_alive()
    source.close()
    source.close()


def test_a_folder_that_never_existed_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="typo"):
        open_folder(str(tmp_path / "typo"), STATION, IngestSettings(state_path=tmp_path / "state"))


def test_a_known_folder_may_be_missing_at_the_start(root: Path, tmp_path: Path) -> None:
    settings = IngestSettings(state_path=tmp_path / "state")
    open_folder(str(root), STATION, settings).close()
    root.rmdir()

    open_folder(str(root), STATION, settings).close()


def test_an_unusable_state_folder_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(SourceError, match="file"):
        open_folder(str(root), STATION, IngestSettings(state_path=tmp_path / "file"))


def test_a_confirmation_that_cannot_be_stored_is_logged(root: Path, start_run: Callable[..., FolderRun]) -> None:
    write(root / "a.png", png(1), 1_000)
    run = start_run()
    (frame,) = run.run_actions(*LONG_ENOUGH)
    run.folder.close()

    with capture_logs() as logs:
        run.folder.confirm(frame)

    assert [entry["log_level"] for entry in logs] == ["warning"]


def test_old_records_of_missing_files_are_removed(tmp_path: Path) -> None:
    processed_files = ProcessedFiles(tmp_path / "memory.sqlite")
    kept = FileVersion(Path("kept.png"), 1, 1)
    gone = FileVersion(Path("gone.png"), 1, 1)
    processed_files.add(kept)
    processed_files.add(gone)

    assert processed_files.remove_missing(datetime(2000, 1, 1, tzinfo=UTC), lambda path: True) == 0
    assert processed_files.remove_missing(datetime(9000, 1, 1, tzinfo=UTC), lambda path: path.name == "gone.png") == 1
    assert (processed_files.contains(kept), processed_files.contains(gone)) == (True, False)
    processed_files.close()
