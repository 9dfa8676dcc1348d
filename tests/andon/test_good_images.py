"""Good images are collected by name, checked one by one, and added all or not at all."""

from pathlib import Path

import pytest

from andon.errors import CommandFailed
from andon.good_images import CollectedImages, collect_images, find_image_files
from imaging.errors import BadImage


def fill(folder: Path, **contents: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.png").write_bytes(content)
    return folder


def check(data: bytes) -> None:
    if data.startswith(b"bad"):
        raise BadImage("not-an-image", "it is no picture in a format that is read here.")


def collect(folder: Path, limit: int | None = None, max_bytes: int = 100) -> CollectedImages:
    return collect_images(
        find_image_files([folder]), limit=limit, max_bytes=max_bytes, check=check, progress=lambda count: None
    )


def test_a_folder_yields_its_images_sorted_by_name(tmp_path: Path) -> None:
    folder = fill(tmp_path / "good", b=b"2", a=b"1", c=b"3")
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "deeper").mkdir()
    assert [file.name for file in find_image_files([folder])] == ["a.png", "b.png", "c.png"]


def test_named_files_are_accepted_whatever_their_extension(tmp_path: Path) -> None:
    folder = fill(tmp_path / "good", a=b"1")
    (tmp_path / "snapshot").write_bytes(b"2")
    assert find_image_files([tmp_path / "snapshot", folder]) == [tmp_path / "snapshot", folder / "a.png"]


def test_a_duplicate_image_counts_once_and_is_reported(tmp_path: Path) -> None:
    folder = fill(tmp_path / "good", a=b"1", b=b"1", c=b"2", d=b"3")
    collected = collect(folder, limit=2)
    assert [image.name for image in collected.images] == ["a.png", "c.png"]
    assert collected.duplicates == ((folder / "b.png", folder / "a.png"),)


@pytest.mark.parametrize(
    ("contents", "named"),
    [
        ({"a": b"1", "b": b"bad"}, r"b\.png"),
        ({"a": b"1", "b": b"1"}, "2 to 64"),
        ({"a": b"1", "b": b"x" * 101}, r"b\.png.*100"),
        ({}, r"\.bmp, \.jpeg"),
    ],
)
def test_invalid_normal_images_are_refused_by_name(contents: dict[str, bytes], named: str, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=named):
        collect(fill(tmp_path / "good", **contents))


def test_65_images_are_refused_unless_limited_to_64(tmp_path: Path) -> None:
    folder = fill(tmp_path / "good", **{f"p{number:02}": bytes([number]) for number in range(65)})
    with pytest.raises(CommandFailed, match=r"65.*64"):
        collect(folder)
    assert len(collect(folder, limit=64).images) == 64


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="gone"):
        find_image_files([tmp_path / "gone"])
