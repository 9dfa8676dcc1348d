"""A replay yields a dataset once, in an order that is the same on every machine."""

import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ingest.errors import SourceError
from ingest.frame import Frame
from ingest.settings import IngestSettings
from ingest.sources.replay import Replay, open_replay
from testing.images import png

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def write_dataset(root: Path, goods: int = 8, cracks: int = 4) -> Path:
    """A dataset in MVTec layout, with files in it that are not test images."""
    for folder, count in (("test/good", goods), ("test/crack", cracks), ("train/good", 3), ("ground_truth/crack", 2)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            (root / folder / f"{number:03d}.png").write_bytes(png(number))
    (root / "test" / "good" / "notes.txt").write_text("no picture")
    (root / "test" / "good" / ".hidden.png").write_bytes(png(0))
    (root / "test" / "stray.png").write_bytes(png(0))
    return root


def replay_frames(root: Path, seed: int = 0) -> list[Frame]:
    return list(Replay(root, "s1", seed, lambda: NOW).frames(threading.Event()))


def test_every_test_image_is_yielded_once_with_its_ground_truth(tmp_path: Path) -> None:
    root = write_dataset(tmp_path)
    frames = replay_frames(root)

    assert len(frames) == 12
    assert {frame.part_id for frame in frames if frame.truth == "crack"} == {f"test/crack/00{i}.png" for i in range(4)}
    assert {frame.part_id for frame in frames if frame.truth == "good"} == {f"test/good/00{i}.png" for i in range(8)}
    for frame in frames:
        assert frame.image == (root / str(frame.part_id)).read_bytes()
        assert (frame.captured_at, frame.content_type, frame.station) == (NOW, "image/png", "s1")


def test_good_and_defective_images_are_mixed_in_a_fixed_order(tmp_path: Path) -> None:
    """The order is part of the contract: two installations that replay the same dataset are compared part by part."""
    order = [
        str(frame.part_id).removeprefix("test/").removesuffix(".png")
        for frame in replay_frames(write_dataset(tmp_path))
    ]

    assert order == ORDER


# sorted by coreutils' b2sum of "0", a NUL and the relative path
ORDER = [
    "good/007",
    "good/006",
    "good/000",
    "good/005",
    "crack/003",
    "crack/000",
    "good/002",
    "good/003",
    "good/001",
    "good/004",
    "crack/002",
    "crack/001",
]


def test_the_order_does_not_depend_on_the_dataset_folder(tmp_path: Path) -> None:
    here, there = write_dataset(tmp_path / "here"), write_dataset(tmp_path / "a" / "place" / "elsewhere")

    assert [frame.part_id for frame in replay_frames(here)] == [frame.part_id for frame in replay_frames(there)]


def test_another_seed_gives_another_order_of_the_same_images(tmp_path: Path) -> None:
    root = write_dataset(tmp_path)
    one, other = ([frame.part_id for frame in replay_frames(root, seed)] for seed in (1, 2))

    assert one != other
    assert sorted(one, key=str) == sorted(other, key=str)


def test_a_replay_stops_when_the_stop_event_is_set(tmp_path: Path) -> None:
    stop = threading.Event()
    frames = Replay(write_dataset(tmp_path), "s1", 0, lambda: NOW).frames(stop)
    next(frames)
    stop.set()

    assert list(frames) == []


def test_an_unreadable_image_ends_the_replay_and_is_named(tmp_path: Path) -> None:
    replay = Replay(write_dataset(tmp_path), "s1", 0, lambda: NOW)
    (tmp_path / "test" / "crack" / "002.png").unlink()

    with pytest.raises(SourceError, match=r"crack/002\.png"):
        list(replay.frames(threading.Event()))


def test_linked_folders_are_read_once_and_links_in_a_circle_end(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data", goods=2, cracks=2)
    for name, target in {
        "dent": root / "train" / "good",
        "again": root / "test",
        "crack2": root / "test" / "crack",
    }.items():
        (root / "test" / name).symlink_to(target)

    with capture_logs() as logs:
        frames = replay_frames(root)

    assert Counter(frame.truth for frame in frames) == {"good": 2, "crack": 2, "dent": 3}
    assert sorted(Path(entry["path"]).name for entry in logs) == ["again", "crack2"]


def test_a_linked_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    (root / "test" / "dent").symlink_to(tmp_path / "not-mounted")

    with capture_logs() as logs:
        assert len(replay_frames(root)) == 12

    assert [Path(entry["path"]).name for entry in logs] == ["dent"]


@pytest.mark.parametrize("folders", [[], ["train/good"]])
def test_a_folder_without_a_dataset_is_refused(tmp_path: Path, folders: list[str]) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)

    with pytest.raises(SourceError, match=str(tmp_path)):
        open_replay(str(tmp_path), "s1", IngestSettings())


def test_a_dataset_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test" / "good").mkdir(parents=True)

    with pytest.raises(SourceError, match=str(tmp_path)):
        open_replay(str(tmp_path), "s1", IngestSettings())


@pytest.mark.data
def test_the_order_of_a_real_dataset_is_mixed(elpv: Path) -> None:
    replay = open_replay(str(elpv), "s1", IngestSettings())
    frames = [frame for frame, _ in zip(replay.frames(threading.Event()), range(500), strict=False)]

    assert len(replay) == 1092
    assert len({frame.part_id for frame in frames}) == 500
    assert {frame.truth for frame in frames[:20]} == {"good", "mono", "poly"}
