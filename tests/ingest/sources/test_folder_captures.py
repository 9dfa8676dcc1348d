"""Each capture of a folder is one frame, whatever its name, size and time, and it is read whole."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ingest.frame import mint_frame_id
from ingest.schema import EARLIEST, END
from ingest.sources.folder.settling import UNWRITTEN_PATIENCE_S
from testing.images import png
from tests.ingest.sources.folder_run import LONG_ENOUGH, FolderRun, wait_only, write


def test_two_cameras_with_the_same_names_sizes_and_times_are_two_frames(tmp_path: Path) -> None:
    frames = []
    for camera, image in (("left", b"good part"), ("right", b"bad part.")):
        write(tmp_path / camera / "0001.bmp", image, 1_000)
        frames += FolderRun(tmp_path / camera, tmp_path / f"{camera}.sqlite").run_actions(*LONG_ENOUGH)

    assert [frame.image for frame in frames] == [b"good part", b"bad part."]
    assert len({mint_frame_id(frame) for frame in frames}) == 2


def test_two_cameras_that_see_the_same_are_two_frames(tmp_path: Path) -> None:
    frames = []
    for camera in ("left", "right"):
        write(tmp_path / camera / "0001.bmp", b"the same part", 1_000)
        frames += FolderRun(tmp_path / camera, tmp_path / f"{camera}.sqlite").run_actions(*LONG_ENOUGH)

    assert len({mint_frame_id(frame) for frame in frames}) == 2


def test_a_folder_named_in_two_ways_gives_its_files_the_same_ids(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / "a.png", png(1), 1_000)
    monkeypatch.chdir(root.parent)

    (named,) = FolderRun(Path(root.name), tmp_path / "1.sqlite").run_actions(*LONG_ENOUGH)
    (absolute,) = FolderRun(root, tmp_path / "2.sqlite").run_actions(*LONG_ENOUGH)

    assert mint_frame_id(named) == mint_frame_id(absolute)


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_a_file_written_again_with_its_old_size_and_time_is_a_new_frame(
    root: Path, start_run: Callable[..., FolderRun], is_confirmed: bool
) -> None:
    file = root / "latest.bmp"
    write(file, b"the first part", 1_000)
    run = start_run()
    run.actions = list(LONG_ENOUGH)

    with closing(run.folder.frames(run.stop)) as frames:
        first = next(frames)
        if is_confirmed:
            run.folder.confirm(first)
        write(file, b"the other part", 1_000)
        (second,) = frames

    assert (first.image, second.image) == (b"the first part", b"the other part")
    assert mint_frame_id(first) != mint_frame_id(second)


def test_a_confirmation_of_an_overwritten_version_does_not_confirm_the_new_one(
    root: Path, start_run: Callable[..., FolderRun]
) -> None:
    file = root / "latest.bmp"
    write(file, b"the first part", 1_000)
    run = start_run()
    first, _ = run.run_actions(*LONG_ENOUGH, lambda: write(file, b"the other part", 1_000), *LONG_ENOUGH)
    run.folder.confirm(first)

    assert [frame.image for frame in start_run().run_actions(*LONG_ENOUGH)] == [b"the other part"]


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_a_file_whose_attributes_alone_change_is_not_taken_again(
    root: Path, start_run: Callable[..., FolderRun], is_confirmed: bool
) -> None:
    file = root / "a.png"
    write(file, png(1), 1_000)
    run = start_run()
    run.actions = list(LONG_ENOUGH)

    with closing(run.folder.frames(run.stop)) as frames:
        first = next(frames)
        if is_confirmed:
            run.folder.confirm(first)
        file.chmod(0o600)
        assert list(frames) == []


def test_a_record_of_an_earlier_version_is_still_used(
    root: Path, start_run: Callable[..., FolderRun], tmp_path: Path
) -> None:
    write(root / "a.png", png(1), 1_000)
    with closing(sqlite3.connect(tmp_path / "memory.sqlite")) as old:
        old.execute(
            "CREATE TABLE taken (path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
            " taken_at TEXT NOT NULL) WITHOUT ROWID"
        )
        old.execute("INSERT INTO taken VALUES (?, ?, ?, ?)", (b"a.png", len(png(1)), 1_000 * 10**9, "2026-01-01"))
        old.commit()

    assert start_run().run_actions(*LONG_ENOUGH) == []


PREALLOCATED = [b"\x89PNG and then some", b"BM" + b"\x10\x20" * 3000, b"II*\0" + b"x" * 9000]


@pytest.mark.parametrize("whole", PREALLOCATED)
@pytest.mark.parametrize("written", [0, 0.2, 0.9])
@pytest.mark.parametrize("moves_time", [True, False])
def test_a_file_whose_size_is_reserved_before_it_is_written_is_taken_once_and_whole(
    root: Path, start_run: Callable[..., FolderRun], whole: bytes, written: float, moves_time: bool
) -> None:
    """The writer pauses for longer than the settle time; a mapped file's time may not even change."""
    file = root / "slow.bmp"
    count = int(written * len(whole))
    reserved = whole[:count] + bytes(100 + len(whole) - count)
    write(file, reserved, 1_000)

    def finish() -> None:
        write(file, whole + b"e" * 100, 1_001 if moves_time else 1_000)

    frames = start_run().run_actions(*LONG_ENOUGH, finish, *[wait_only] * 20)

    assert [frame.image for frame in frames] == [whole + b"e" * 100]


def test_a_black_image_is_taken_after_a_while_and_soon_once_such_images_turned_out_to_be_whole(
    root: Path, start_run: Callable[..., FolderRun]
) -> None:
    for number in range(4):
        write(root / f"{number}.bmp", b"BM" + bytes(9000 + number), 1_000 + number)
    taken_at_s = []
    run = start_run()
    run.actions = [wait_only] * 40

    with closing(run.folder.frames(run.stop)) as frames:
        for _ in frames:
            taken_at_s.append(run.now_s)
            if len(taken_at_s) == 3:
                write(root / "later.bmp", b"BM" + bytes(9100), 2_000)

    assert len(taken_at_s) == 5
    assert taken_at_s[0] >= UNWRITTEN_PATIENCE_S
    assert taken_at_s[4] - taken_at_s[3] < UNWRITTEN_PATIENCE_S / 2


@pytest.mark.parametrize("written_at_s", [-(2**31), -1, 0, 2**33])
def test_a_file_with_an_unusual_modification_time_has_a_time_that_a_frame_can_have(
    root: Path, start_run: Callable[..., FolderRun], written_at_s: int
) -> None:
    write(root / "a.png", png(1), written_at_s)

    (frame,) = start_run().run_actions(*LONG_ENOUGH)

    assert EARLIEST <= frame.captured_at < END
    assert frame.captured_at.timestamp() == max(written_at_s, 0)
