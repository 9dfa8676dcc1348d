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


def refuses_bad(data: bytes) -> None:
    if data.startswith(b"bad"):
        raise BadImage("not-an-image", "it is no picture in a format that is read here.")


def taken(folder: Path, limit: int | None = None, max_bytes: int = 100) -> CollectedImages:
    return collect_images(
        find_image_files([folder]), limit=limit, max_bytes=max_bytes, check=refuses_bad, progress=lambda count: None
    )


def test_a_folder_gives_its_pictures_in_order_of_name_and_nothing_else(tmp_path: Path) -> None:
    folder = fill(tmp_path / "good", b=b"2", a=b"1", c=b"3")
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "deeper").mkdir()
    assert [file.name for file in find_image_files([folder])] == ["a.png", "b.png", "c.png"]


def test_files_named_by_hand_are_taken_whatever_they_are_called(tmp_path: Path) -> None:
    folder = fill(tmp_path / "good", a=b"1")
    (tmp_path / "snapshot").write_bytes(b"2")
    assert find_image_files([tmp_path / "snapshot", folder]) == [tmp_path / "snapshot", folder / "a.png"]


def test_the_same_picture_twice_counts_once_and_is_pointed_out(tmp_path: Path) -> None:
    folder = fill(tmp_path / "good", a=b"1", b=b"1", c=b"2", d=b"3")
    gathered = taken(folder, limit=2)
    assert [image.name for image in gathered.images] == ["a.png", "c.png"]
    assert gathered.duplicates == ((folder / "b.png", folder / "a.png"),)


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        ({"a": b"1", "b": b"bad"}, r"b\.png can't be a good image: it is no picture"),
        ({"a": b"1", "b": b"1"}, "takes 2 to 64 different images, and there is only 1 here"),
        ({"a": b"1", "b": b"x" * 101}, r"b\.png has more than 100 bytes"),
        ({}, r"\.bmp, \.jpeg"),
    ],
)
def test_what_can_not_be_a_normal_set_is_refused_with_the_reason(
    contents: dict[str, bytes], told: str, tmp_path: Path
) -> None:
    with pytest.raises(CommandFailed, match=told):
        taken(fill(tmp_path / "good", **contents))


def test_65_images_are_too_many_unless_the_first_64_are_asked_for(tmp_path: Path) -> None:
    folder = fill(tmp_path / "good", **{f"p{number:02}": bytes([number]) for number in range(65)})
    with pytest.raises(CommandFailed, match="65 files are more than the 64 images"):
        taken(folder)
    assert len(taken(folder, limit=64).images) == 64


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"There is no file or folder .*gone"):
        find_image_files([tmp_path / "gone"])
