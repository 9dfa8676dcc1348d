"""The worker on pictures that show no part: each becomes one verdict, a bad picture with its reason, never a pass."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from prometheus_client import REGISTRY

from imaging.rgb import RgbImage
from ingest import schema
from ingest.frame import Frame, mint_frame_id
from scorer.worker.progress import Progress
from storage.line import normal_sets, parked_frames, stations
from storage.line.normal_sets import NormalImage
from testing.line import START, Line, encoded, part

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """A line with the ready station s1."""
    made = Line(tmp_path)
    made.add_station("s1")
    made.add_normal_set("s1")
    return made


def problems(line: Line, station: str = "s1") -> list[str | None]:
    """The problem of each frame, in the order of capture."""
    return [verdict.picture_problem for verdict in line.verdicts(station)]


def uniform(level: int) -> RgbImage:
    return np.full((64, 64, 3), level, np.uint8)


def without_alpha(kind: str) -> bytes:
    """A black image, all of it transparent."""
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


BLANK = {
    **{
        f"{kind} {level}": encoded(uniform(level), kind)
        for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
        for level in (0, 128, 255)
    },
    **{f"{kind} alpha 0": without_alpha(kind) for kind in ("PNG", "TIFF", "WEBP")},
}


def test_blank_frames_of_every_format_are_bad_pictures_among_frames_that_are_judged(line: Line) -> None:
    good = encoded(part(1))
    line.publish("s1", [image for blank in BLANK.values() for image in (good, blank)])
    found = line.drain()
    assert found == Progress(frames=2 * len(BLANK), verdicts=2 * len(BLANK), bad_pictures=len(BLANK))
    assert dict(zip(BLANK, problems(line)[1::2], strict=True)) == dict.fromkeys(BLANK, "blank")
    assert {verdict.decision for verdict in line.verdicts()[0::2]} == {"pass"}


def shifted(change: Callable[[RgbImage], RgbImage]) -> bytes:
    return encoded(change(part(3)))


def half_missing(image: RgbImage) -> RgbImage:
    return np.concatenate([image[:32], uniform(128)[32:]])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda image: image // 4, "dark"),
        (lambda image: np.clip(image * 2.2, 0, 255).astype(np.uint8), "overexposed"),
        (lambda image: (128 + (image.astype(int) - 128) // 8).astype(np.uint8), "low-contrast"),
        (half_missing, "incomplete"),
    ],
    ids=["dark", "overexposed", "low-contrast", "incomplete"],
)
def test_a_spoilt_picture_of_a_good_part_is_bad_for_its_reason(
    line: Line, spoil: Callable[[RgbImage], RgbImage], reason: str
) -> None:
    line.publish("s1", [shifted(spoil)])
    line.drain()
    (verdict,) = line.verdicts()
    assert (verdict.decision, verdict.picture_problem) == ("bad_picture", reason)
    assert (verdict.score, verdict.threshold, verdict.model_id, verdict.map_reference) == (None, None, None, None)
    assert verdict.normal_set_id is not None
    assert line.images.get(verdict.image_reference) == shifted(spoil)


def box(number: int) -> Image.Image:
    """A part with sharp edges, unlike the stripes: a bright box on a dark ground under a noisy camera."""
    grey = 60 + np.random.default_rng(number).normal(0, 2, (256, 256, 1))
    grey[60:180, 80:200] += 120
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8).repeat(3, axis=2))


def test_a_picture_out_of_focus_is_a_bad_picture(line: Line) -> None:
    line.add_station("s2")
    sharp = [encoded(np.asarray(box(number))) for number in range(4)]
    images = [NormalImage(line.images.put(image), f"{number}.png") for number, image in enumerate(sharp)]
    with line.database.begin() as session:
        station_id = stations.get(session, "s2").id
        added = normal_sets.add(session, station_id, images, "", START)
        normal_sets.activate(session, station_id, added.version, START)
    out_of_focus = box(5).filter(ImageFilter.GaussianBlur(0.04 * 256))
    line.publish("s2", [encoded(np.asarray(box(4))), encoded(np.asarray(out_of_focus))])
    line.drain()
    assert problems(line, "s2") == [None, "blurred"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.sampled_from(["good", "defect", "blank", "dark", "broken"]), min_size=1, max_size=12))
def test_frames_in_any_mixture_become_what_each_becomes_alone(line: Line, kinds: list[str]) -> None:
    images = {
        "good": encoded(part(1)),
        "defect": encoded(part(2, defect=True)),
        "blank": encoded(uniform(0)),
        "dark": encoded(part(3) // 4),
        "broken": encoded(part(1))[:100],
    }
    expected = {"good": "pass", "defect": "flag", "blank": "bad_picture", "dark": "bad_picture"}
    before = len(line.dead_letters())
    ids = line.publish("s1", [images[kind] for kind in kinds])
    done = line.drain()
    assert (done.frames, done.verdicts + done.dead_letters) == (len(kinds), len(kinds))
    assert len(line.dead_letters()) - before == kinds.count("broken")
    made = {verdict.frame_id: verdict.decision for verdict in line.verdicts()}
    for frame_id, kind in zip(ids, kinds, strict=True):
        assert made.get(frame_id) == expected.get(kind)


def test_a_normal_frame_scores_the_same_beside_bad_pictures(line: Line) -> None:
    line.publish("s1", [encoded(part(1))])
    line.drain()
    line.publish("s1", [encoded(uniform(0)), encoded(part(1)), encoded(uniform(255))])
    line.drain()
    alone, _, beside, _ = line.verdicts()
    assert (alone.score, alone.components) == (beside.score, beside.components)


def test_a_frame_that_its_source_marks_is_a_bad_picture_whatever_it_shows(line: Line) -> None:
    line.add_station("s2")
    for number, (station, mark) in enumerate([("s1", "damaged"), ("s1", "of a later version"), ("s2", "damaged")]):
        frame = Frame(station, START, encoded(part(number)), "image/png", picture_problem=mark)
        line.publish_messages([schema.encode(frame, mint_frame_id(frame), START, None)])
    assert line.drain() == Progress(frames=3, verdicts=3, bad_pictures=3)
    assert sorted(problems(line), key=str) == ["damaged", "reported"]
    assert problems(line, "s2") == ["damaged"]  # it waits for no normal set: nothing could make it a good picture
    assert line.parked_count() == 0


def test_a_blank_frame_of_a_station_without_normals_waits_and_is_a_bad_picture_then(line: Line) -> None:
    line.add_station("s2")
    line.publish("s2", [encoded(uniform(0))])
    assert line.drain().parked == 1
    line.add_normal_set("s2")
    line.drain()
    assert problems(line, "s2") == ["blank"]
    with line.database.read() as session:
        assert parked_frames.count(session) == 0


def test_limits_stay_the_same_when_a_worker_starts_again(line: Line) -> None:
    dark = encoded(part(3) // 4)
    for _ in range(2):  # each drain is a worker of its own: the second reads what the first stored
        line.publish("s1", [dark])
        line.drain()
    assert problems(line) == ["dark", "dark"]


def test_bad_pictures_are_counted_by_reason(line: Line) -> None:
    labels = {"station": "s1", "reason": "blank"}
    before = REGISTRY.get_sample_value("andon_bad_pictures_total", labels) or 0.0
    line.publish("s1", [encoded(uniform(0)), encoded(part(1))])
    line.drain()
    assert REGISTRY.get_sample_value("andon_bad_pictures_total", labels) == before + 1
