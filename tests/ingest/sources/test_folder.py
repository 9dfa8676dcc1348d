"""A folder source yields every image once, and only when it is complete."""

import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from ingest.errors import SourceError
from ingest.frame import Frame, mint_frame_id
from ingest.settings import IngestSettings
from ingest.sources.folder import folder as folder_source
from ingest.sources.folder.events import FolderEvents
from ingest.sources.folder.folder import Folder, open_folder
from ingest.sources.folder.processed_files import FileVersion, ProcessedFiles
from testing.images import png

SETTLE_S = 1.0
STATION = "folder-station"


class Day:
    """A run of a folder source without file events: time passes only in its waits, each of which ends in an action."""

    def __init__(self, root: Path, state: Path, max_file_bytes: int = 1_000_000) -> None:
        self.now_s = 0.0
        self.stop = threading.Event()
        self.happenings: list[Callable[[], object]] = []
        self.folder = Folder(
            root,
            STATION,
            ProcessedFiles(state),
            settle_time_s=SETTLE_S,
            max_file_bytes=max_file_bytes,
            now_s=lambda: self.now_s,
            events=self._events,
        )

    def _events(self, root: Path, stop: threading.Event) -> FolderEvents:
        day = self

        class NoEvents(FolderEvents):
            def __exit__(self, *error: object) -> None:
                pass

            def wait(self, seconds: float) -> set[Path]:
                day.now_s += seconds
                if day.happenings:
                    day.happenings.pop(0)()
                else:
                    stop.set()
                return set()

        return NoEvents()

    def spend(self, *happenings: Callable[[], object]) -> list[Frame]:
        """Run these actions one after the other, then stop; return the frames, without confirming them."""
        self.happenings = list(happenings)
        with closing(self.folder.frames(self.stop)) as frames:
            return list(frames)


def nothing() -> None:
    """Do nothing but let time pass."""


LONG_ENOUGH = [nothing] * 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "camera"
    root.mkdir()
    return root


@pytest.fixture
def days(root: Path, tmp_path: Path) -> Iterator[Callable[..., Day]]:
    """A function that starts a run on the same folder and record of processed files; each is a restart."""
    made: list[Day] = []

    def day(**options: int) -> Day:
        made.append(Day(root, tmp_path / "memory.sqlite", **options))
        return made[-1]

    yield day
    for one in made:
        one.folder.close()


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"station": STATION, **labels}) or 0.0


def names(frames: list[Frame]) -> list[str | None]:
    return [frame.part_id for frame in frames]


def write(path: Path, content: bytes, written_at_s: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (written_at_s, written_at_s))


def test_what_lies_there_at_the_start_is_taken_oldest_first(root: Path, days: Callable[..., Day]) -> None:
    write(root / "a.png", png(1), 3_000)
    write(root / "b.jpg", png(2), 1_000)
    write(root / "c.tiff", png(3), 2_000)

    frames = days().spend(*LONG_ENOUGH)

    assert names(frames) == ["b.jpg", "c.tiff", "a.png"]
    assert [frame.content_type for frame in frames] == ["image/jpeg", "image/tiff", "image/png"]
    assert [frame.image for frame in frames] == [png(2), png(3), png(1)]
    assert frames[0].captured_at == datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC)
    assert {frame.station for frame in frames} == {STATION}


def test_a_file_that_grows_is_taken_once_and_whole(root: Path, days: Callable[..., Day]) -> None:
    whole = png(1)
    file = root / "growing.png"

    def grow(size: int) -> Callable[[], None]:
        return lambda: write(file, whole[:size], 1_000 + size)

    frames = days().spend(grow(100), grow(500), grow(900), grow(len(whole)), *LONG_ENOUGH)

    assert [frame.image for frame in frames] == [whole]


def test_a_confirmed_file_is_not_taken_again_after_a_restart(root: Path, days: Callable[..., Day]) -> None:
    write(root / "a.png", png(1), 1_000)
    before = days()
    for frame in before.spend(*LONG_ENOUGH):
        before.folder.confirm(frame)

    assert days().spend(*LONG_ENOUGH) == []


def test_a_file_that_was_never_confirmed_is_taken_again_with_the_same_frame_id(
    root: Path, days: Callable[..., Day]
) -> None:
    write(root / "a.png", png(1), 1_000)

    (published,) = days().spend(*LONG_ENOUGH)
    (again,) = days().spend(*LONG_ENOUGH)

    assert mint_frame_id(again) == mint_frame_id(published)


def test_a_file_is_taken_once_though_its_confirmation_is_late(root: Path, days: Callable[..., Day]) -> None:
    write(root / "a.png", png(1), 1_000)

    assert names(days().spend(*LONG_ENOUGH, *LONG_ENOUGH)) == ["a.png"]


def test_a_file_written_anew_under_its_old_name_is_a_new_frame(root: Path, days: Callable[..., Day]) -> None:
    file = root / "a.png"
    write(file, png(1), 1_000)
    day = days()

    first, second = day.spend(*LONG_ENOUGH, lambda: write(file, png(2), 2_000), *LONG_ENOUGH)

    assert (first.image, second.image) == (png(1), png(2))
    assert mint_frame_id(first) != mint_frame_id(second)


def test_subfolders_are_read_and_hidden_files_and_folders_are_not(root: Path, days: Callable[..., Day]) -> None:
    write(root / "2026-01-31" / "a.png", png(1), 1_000)
    write(root / ".trash" / "b.png", png(2), 1_000)
    write(root / ".c.png", png(3), 1_000)

    assert names(days().spend(*LONG_ENOUGH)) == ["2026-01-31/a.png"]


def test_files_that_are_no_images_are_ignored_and_counted_and_named_once(root: Path, days: Callable[..., Day]) -> None:
    before = counted("andon_files_ignored_total")
    for name in ("read me.txt", "Thumbs.db", "a.png.part"):
        write(root / name, b"text", 1_000)

    with capture_logs() as logs:
        frames = days().spend(*LONG_ENOUGH)

    assert frames == []
    assert counted("andon_files_ignored_total") - before == 3
    assert len([entry for entry in logs if "ignored" in entry["event"]]) == 1


def test_an_empty_file_is_published_once_it_stands_still(root: Path, days: Callable[..., Day]) -> None:
    write(root / "empty.png", b"", 1_000)

    assert [frame.image for frame in days().spend(*LONG_ENOUGH)] == [b""]


def test_a_file_that_cannot_be_read_is_tried_again(root: Path, days: Callable[..., Day]) -> None:
    file = root / "a.png"
    file.symlink_to("/proc/self/mem")  # reading its first byte is an error, for root too

    def repair() -> None:
        file.unlink()
        write(file, png(1), 1_000)

    with capture_logs() as logs:
        frames = days().spend(*LONG_ENOUGH, repair, *[nothing] * 8)

    assert [frame.image for frame in frames] == [png(1)]
    assert [entry["log_level"] for entry in logs] == ["warning"]


def test_a_file_too_big_for_memory_is_counted_and_left(root: Path, days: Callable[..., Day]) -> None:
    before = counted("andon_frames_dropped_total", reason="file-too-big")
    write(root / "huge.png", bytes(101), 1_000)
    write(root / "small.png", bytes(100), 1_000)

    assert names(days(max_file_bytes=100).spend(*LONG_ENOUGH)) == ["small.png"]
    assert counted("andon_frames_dropped_total", reason="file-too-big") - before == 1


def test_a_file_deleted_before_its_turn_is_counted_as_lost(root: Path, days: Callable[..., Day]) -> None:
    before = counted("andon_frames_dropped_total", reason="file-vanished")
    write(root / "a.png", png(1), 1_000)
    write(root / "b.png", png(2), 2_000)
    day = days()
    day.happenings = list(LONG_ENOUGH)

    with closing(day.folder.frames(day.stop)) as frames:
        next(frames)
        (root / "b.png").unlink()
        assert list(frames) == []

    assert counted("andon_frames_dropped_total", reason="file-vanished") - before == 1


def test_a_file_written_all_the_time_is_named_as_one_that_never_settles(root: Path, days: Callable[..., Day]) -> None:
    ticks = iter(range(1_000, 2_000))

    with capture_logs() as logs:
        frames = days().spend(*[lambda: write(root / "latest.png", png(1), next(ticks))] * 100)

    assert frames == []
    assert len([entry for entry in logs if "never settles" in entry["event"]]) == 1


def test_a_name_that_is_no_utf8_is_taken_and_remembered(root: Path, days: Callable[..., Day]) -> None:
    write(root / os.fsdecode(b"bild-\xe4.png"), png(1), 1_000)
    before = days()

    (frame,) = before.spend(*LONG_ENOUGH)
    before.folder.confirm(frame)

    assert frame.part_id == "bild-\\xe4.png"
    assert days().spend(*LONG_ENOUGH) == []


@pytest.mark.parametrize("written_at_s", [-1, 0, 2**33])
def test_a_file_with_a_strange_time_is_taken(root: Path, days: Callable[..., Day], written_at_s: int) -> None:
    write(root / "a.png", png(1), written_at_s)

    assert names(days().spend(*LONG_ENOUGH)) == ["a.png"]


def test_a_folder_that_vanishes_is_waited_for(
    root: Path, days: Callable[..., Day], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_source, "RESCAN_INTERVAL_S", 0.01)
    taken: queue.Queue[Frame] = queue.Queue()
    day = days()
    day.happenings = [nothing] * 1_000_000
    write(root / "a.png", png(1), 1_000)

    with capture_logs() as logs:
        reader = threading.Thread(target=put_all, args=(taken, day.folder.frames(day.stop)))
        reader.start()
        assert taken.get(timeout=10).part_id == "a.png"
        shutil.rmtree(root)
        wait_until(lambda: any("waiting" in entry["event"] for entry in logs))
        write(root / "b.png", png(2), 2_000)
        assert taken.get(timeout=10).part_id == "b.png"
        day.stop.set()
        reader.join(10)

    assert [entry["log_level"] for entry in logs] == ["warning", "info"]


def put_all(taken: queue.Queue[Frame], frames: Iterable[Frame]) -> None:
    for frame in frames:
        taken.put(frame)


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1_000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen in 10 seconds")


def test_a_renamed_file_is_taken_by_the_file_systems_event_long_before_a_rescan(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_source, "RESCAN_INTERVAL_S", 3_600.0)
    taken: queue.Queue[Frame] = queue.Queue()
    stop = threading.Event()
    source = open_folder(str(root), STATION, IngestSettings(state_path=tmp_path / "state", settle_time_s=0.1))
    write(root / "first.png", png(0), 1_000)
    reader = threading.Thread(target=put_all, args=(taken, source.frames(stop)))
    reader.start()
    assert taken.get(timeout=10).part_id == "first.png"  # from here on the folder is watched

    (tmp_path / "outside.png").write_bytes(png(1))
    (tmp_path / "outside.png").rename(root / "inside.png")
    assert taken.get(timeout=10).image == png(1)

    (tmp_path / "subfolder").mkdir()
    (tmp_path / "subfolder" / "deep.png").write_bytes(png(2))
    (tmp_path / "subfolder").rename(root / "subfolder")
    assert taken.get(timeout=10).part_id == "subfolder/deep.png"

    stop.set()
    reader.join(10)
    assert not reader.is_alive()
    source.close()
    source.close()


def test_a_folder_that_never_was_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"The folder .*typo can't be read \(No such file or directory\)"):
        open_folder(str(tmp_path / "typo"), STATION, IngestSettings(state_path=tmp_path / "state"))


def test_a_folder_that_was_read_before_is_waited_for_at_the_start(root: Path, tmp_path: Path) -> None:
    settings = IngestSettings(state_path=tmp_path / "state")
    open_folder(str(root), STATION, settings).close()
    root.rmdir()

    open_folder(str(root), STATION, settings).close()


def test_a_memory_that_cannot_be_kept_is_an_error_that_names_it(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(SourceError, match="file"):
        open_folder(str(root), STATION, IngestSettings(state_path=tmp_path / "file"))


def test_a_confirmation_that_cannot_be_kept_is_logged_and_harms_nothing(root: Path, days: Callable[..., Day]) -> None:
    write(root / "a.png", png(1), 1_000)
    day = days()
    (frame,) = day.spend(*LONG_ENOUGH)
    day.folder.close()

    with capture_logs() as logs:
        day.folder.confirm(frame)

    assert [entry["log_level"] for entry in logs] == ["warning"]


def test_old_memories_of_files_that_are_gone_are_dropped(tmp_path: Path) -> None:
    memory = ProcessedFiles(tmp_path / "memory.sqlite")
    kept = FileVersion(Path("kept.png"), 1, 1)
    gone = FileVersion(Path("gone.png"), 1, 1)
    memory.add(kept)
    memory.add(gone)

    assert memory.remove_missing(datetime(2000, 1, 1, tzinfo=UTC), lambda path: True) == 0
    assert memory.remove_missing(datetime(9000, 1, 1, tzinfo=UTC), lambda path: path.name == "gone.png") == 1
    assert (memory.contains(kept), memory.contains(gone)) == (True, False)
    memory.close()
