"""What `andon normals add` says of good images: blank ones, twins, the odd one out, the depth, and what it skipped."""

import json
from pathlib import Path

import numpy as np
import pytest

from testing.command_line import Andon
from testing.datasets import shared_path
from testing.line import encoded, part
from tests.imaging.encoders import png


@pytest.fixture
def s1(andon: Andon) -> Andon:
    andon("db", "upgrade")
    assert andon("station", "add", "s1").code == 0
    return andon


def fill(folder: Path, images: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in images.items():
        (folder / name).write_bytes(data)
    return folder


def good(count: int = 5) -> dict[str, bytes]:
    return {f"good{number}.png": encoded(part(number)) for number in range(count)}


def test_good_images_raise_no_question(s1: Andon, tmp_path: Path) -> None:
    added = s1("normals", "add", "s1", fill(tmp_path / "n", good()))
    assert (added.code, added.err) == (0, "")


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_is_refused(s1: Andon, tmp_path: Path, level: int) -> None:
    noise = np.random.default_rng(0).normal(level, 1, (64, 64, 1)).clip(0, 255).astype(np.uint8)
    folder = fill(tmp_path / "n", good() | {"cap.png": encoded(np.repeat(noise, 3, axis=2))})
    refused = s1("normals", "add", "s1", folder)
    assert refused.code == 1
    assert "cap.png" in refused.err
    assert s1("normals", "list", "s1", "--json").out == "[]\n"


def test_a_defective_one_is_named_and_so_is_a_twin(s1: Andon, tmp_path: Path) -> None:
    twin = np.clip(part(3).astype(int) + np.random.default_rng(0).integers(-1, 2, (64, 64, 1)), 0, 255)
    others = {"broken.png": encoded(part(9, defect=True)), "twin.png": encoded(twin.astype(np.uint8))}
    added = s1("normals", "add", "s1", fill(tmp_path / "n", good() | others))
    assert added.code == 0
    assert [line.split()[0] for line in added.err.splitlines()] == ["broken.png", "twin.png"]
    assert "good3.png" in added.err


def test_the_depth_of_a_camera_is_learnt_and_kept_with_the_set(s1: Andon, tmp_path: Path) -> None:
    deep = {f"{number}.png": png(part(number)[..., :1].astype(np.uint16)) for number in range(4)}
    added = s1("normals", "add", "s1", fill(tmp_path / "n", deep))
    assert " 8 bits of 16" in added.err
    assert json.loads(s1("normals", "show", "s1", "1", "--json").out)["bit_depth"] == 8
    s1("station", "edit", "s1", "--bit-depth", "10")
    again = s1("normals", "add", "s1", tmp_path / "n")
    assert (again.code, again.err) == (0, "")
    assert json.loads(s1("normals", "show", "s1", "2", "--json").out)["bit_depth"] is None


def test_names_with_a_dot_are_left_alone_and_subfolders_are_named(s1: Andon, tmp_path: Path) -> None:
    folder = fill(tmp_path / "n", good() | {"._good0.png": b"\0\5\x16\7"})
    fill(folder / "more", good(1))
    fill(tmp_path / "elsewhere", good(2))
    (folder / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    added = s1("normals", "add", "s1", folder)
    assert "5 images" in added.out
    assert [line.split()[0] for line in added.err.splitlines()] == [str(folder / "linked"), str(folder / "more")]


def test_linked_images_are_read_and_links_that_lead_nowhere_or_back_are_no_images(s1: Andon, tmp_path: Path) -> None:
    folder = fill(tmp_path / "n", good(4))
    fill(tmp_path / "elsewhere", {"far.png": encoded(part(7))})
    for name, target in {
        "far.png": tmp_path / "elsewhere" / "far.png",
        "gone.png": tmp_path / "gone",
        "self.png": folder / "self.png",
        "back": folder,
    }.items():
        (folder / name).symlink_to(target)
    added = s1("normals", "add", "s1", folder)
    assert "5 images" in added.out
    assert [Path(line.split()[0]).name for line in added.err.splitlines()] == ["gone.png", "self.png"]


def test_a_folder_with_subfolders_alone_names_them(s1: Andon, tmp_path: Path) -> None:
    (tmp_path / "n").mkdir()
    fill(tmp_path / "n" / "lot1", good())
    refused = s1("normals", "add", "s1", tmp_path / "n")
    assert refused.code == 1
    assert str(tmp_path / "n" / "lot1") in refused.err


def test_the_odd_one_of_a_contaminated_set_is_named(s1: Andon, tmp_path: Path) -> None:
    cases = shared_path("cases")
    images = {path.name: path.read_bytes() for path in sorted((cases / "plain/normals").iterdir())[:7]}
    images["x.png"] = (cases / "contaminated/x.png").read_bytes()
    added = s1("normals", "add", "s1", fill(tmp_path / "n", images))
    assert [line.split()[0] for line in added.err.splitlines()] == ["x.png"]
