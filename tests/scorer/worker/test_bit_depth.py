"""A camera of 10 or 12 bits in words of 16 is seen with its contrast, at the depth that its normals teach."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storage.line import normal_sets, stations
from storage.line.normal_sets import NormalImage
from storage.line.stations import StationSettings
from testing.line import START, Line, encoded, part
from tests.imaging.encoders import Samples, png, tiff

pytestmark = pytest.mark.usefixtures("one_thread")


def deep(number: int, factor: int, *, defect: bool = False) -> Samples:
    return part(number, defect)[..., :1].astype(np.uint16) * np.uint16(factor)


def add_normals(line: Line, images: list[bytes]) -> int:
    """Activate a set of these images, as a page makes it: without a bit depth."""
    kept = [NormalImage(line.images.put(image), f"{index}.png") for index, image in enumerate(images)]
    with line.database.begin() as session:
        station = stations.get(session, "s1")
        made = normal_sets.add(session, station.id, kept, "", START)
        normal_sets.activate(session, station.id, made.version, START)
    return station.id


def decisions(line: Line) -> list[str]:
    return [verdict.decision for verdict in line.verdicts("s1")]


@pytest.mark.parametrize(("factor", "depth"), [(1, 8), (4, 10), (16, 12), (64, 14), (257, 16)])
def test_defects_are_flagged_whatever_part_of_the_word_the_camera_fills(
    tmp_path: Path, factor: int, depth: int
) -> None:
    line = Line(tmp_path)
    line.add_station("s1")
    station_id = add_normals(line, [png(deep(1000 + index, factor)) for index in range(6)])
    line.publish("s1", [png(deep(1, factor)), png(deep(2, factor, defect=True))])
    line.drain()
    assert decisions(line) == ["pass", "flag"]
    with line.database.read() as session:
        assert normal_sets.bit_depths(session)[station_id] == depth


CONTAINERS: list[Callable[[Samples], bytes]] = [
    lambda values: encoded(np.repeat((values // 16).astype(np.uint8), 3, axis=2)),
    lambda values: png((values // 4).astype(np.uint16)),
    lambda values: tiff(values, 12),
    lambda values: tiff(values, 16, order=">", tags={281: [4095]}),
]


def test_scores_do_not_depend_on_the_container(tmp_path: Path) -> None:
    """Eight bits, and the same pixels in 10 of 16 bits, in 12 packed bits, and in 12 bits of a big-endian TIFF."""
    scores = []
    for number, encode in enumerate(CONTAINERS):
        folder = tmp_path / str(number)
        folder.mkdir()
        line = Line(folder)
        line.add_station("s1")
        add_normals(line, [encode(deep(1000 + index, 16)) for index in range(4)])
        line.publish("s1", [encode(deep(1, 16)), encode(deep(2, 16, defect=True))])
        line.drain()
        scores.append([verdict.score for verdict in line.verdicts("s1")])
    assert scores[1:] == [scores[0]] * 3


def test_a_frame_above_the_depth_of_its_normals_is_a_bad_picture(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.add_station("s1")
    add_normals(line, [png(deep(1000 + index, 1)) for index in range(4)])
    glare = deep(1, 1)
    glare[0, 0] = 256
    line.publish("s1", [png(glare), png(deep(2, 1))])
    line.drain()
    assert decisions(line) == ["bad_picture", "pass"]
    assert [verdict.picture_problem for verdict in line.verdicts("s1")] == ["exceeds-bit-depth", None]


def test_a_station_s_own_depth_goes_before_the_learnt_one_and_makes_new_references(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.add_station("s1")
    add_normals(line, [png(deep(1000 + index, 1)) for index in range(4)])
    frame = png(deep(1, 1))
    line.publish("s1", [frame])
    line.drain()
    with line.database.begin() as session:
        stations.edit(session, "s1", StationSettings(bit_depth="10", sample_one_in=0))
    line.publish("s1", [frame])
    line.drain()
    first, second = line.verdicts("s1")
    assert first.score != second.score


def test_frames_of_sixteen_bits_are_bad_pictures_where_the_normals_have_eight(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.add_station("s1")
    line.add_normal_set("s1")
    line.publish("s1", [png(deep(1, 257))])
    line.drain()
    assert [verdict.picture_problem for verdict in line.verdicts("s1")] == ["exceeds-bit-depth"]
