"""The simulated line: reproducible, realistic, and labelled with the ground truth."""

import io
import threading
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from ingest.errors import SourceError
from ingest.settings import IngestSettings
from ingest.sources.simulated.imaging import blur, photograph
from ingest.sources.simulated.line import SimulatedLine, SimulationOptions, line_options, normals, open_simulated, scene
from ingest.sources.simulated.scenes import SCENES

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
EVERY_DEFECT = [(name, defect) for name, kind in SCENES.items() for defect in kind.defects]


def simulated_line(name: str, **options: float) -> SimulatedLine:
    return SimulatedLine(name, "s1", SimulationOptions(**options), now=lambda: NOW)  # type: ignore[arg-type]


def pixels(image: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(image)))


@pytest.mark.parametrize("name", SCENES)
def test_an_image_is_reproducible_and_differs_from_its_neighbours(name: str) -> None:
    first, again = simulated_line(name, seed=7).image(3), simulated_line(name, seed=7).image(3)

    assert first.image == again.image
    assert first.truth == again.truth
    assert first.image != simulated_line(name, seed=7).image(4).image
    assert first.image != simulated_line(name, seed=8).image(3).image


@pytest.mark.parametrize("name", SCENES)
def test_an_image_is_a_jpeg_of_camera_size(name: str) -> None:
    sample = simulated_line(name, defect_rate=0).image(0)
    image = Image.open(io.BytesIO(sample.image))

    assert image.format == "JPEG"
    assert image.width == 512
    assert 30_000 < len(sample.image) < 120_000


@pytest.mark.parametrize(("name", "defect"), EVERY_DEFECT)
def test_a_defect_changes_the_image_only_inside_its_mask(name: str, defect: str) -> None:
    """The same random numbers draw the good part and the defective one, so that they can be subtracted."""
    good, empty = scene(name).draw(np.random.default_rng(5), None)
    defective, mask = scene(name).draw(np.random.default_rng(5), defect)

    difference = np.abs(defective - good) if defective.ndim == 2 else np.abs(defective - good).max(axis=2)
    near = blur(mask.astype(np.float32), 6) > 0.002  # shadows and soft edges reach a little over the mask
    assert not empty.any()
    assert 0.0003 < mask.mean() < 0.1
    assert difference[mask].mean() > 0.03
    assert difference[~near].mean() < 0.002


def test_every_defect_occurs_at_the_defect_rate() -> None:
    samples = [simulated_line("gravel", defect_rate=0.5).image(number).truth for number in range(40)]
    defective = [truth for truth in samples if truth != "good"]

    assert 11 <= len(defective) <= 29  # 20 expected, deviation 3.2
    assert set(defective) == set(SCENES["gravel"].defects)


def test_good_images_have_the_truth_good_and_an_empty_mask() -> None:
    samples = [simulated_line("brick", defect_rate=0).image(number) for number in range(3)]

    assert [(sample.truth, bool(sample.mask.any())) for sample in samples] == [("good", False)] * 3


def test_a_fading_lamp_keeps_the_truth_good() -> None:
    fading = simulated_line("gravel", defect_rate=0, lamp_fades_after=10, lamp_fades_over=20)

    assert [fading.lamp(number) for number in (0, 10, 20, 30, 500)] == pytest.approx([1, 1, 0.675, 0.35, 0.35])
    new, faded = fading.image(10), fading.image(30)
    assert pixels(faded.image).mean() / pixels(new.image).mean() == pytest.approx(0.35, abs=0.05)
    assert faded.truth == "good"


def test_a_silent_camera_waits_once_before_the_configured_frame() -> None:
    waited: list[float] = []

    def wait(stop: threading.Event, seconds: float) -> bool:
        waited.append(seconds)
        return False

    silent = SimulatedLine("brick", "s1", SimulationOptions(silent_from=2, silent_for_s=20), now=lambda: NOW, wait=wait)
    frames = silent.frames(threading.Event())
    before = [next(frames).part_id, next(frames).part_id, *waited]
    after = [next(frames).part_id, next(frames).part_id, *waited]

    assert before == ["brick-0-000000", "brick-0-000001"]
    assert after == ["brick-0-000002", "brick-0-000003", 20]


def test_a_silent_camera_can_be_stopped() -> None:
    stop = threading.Event()
    stop_in_silence = SimulatedLine("brick", "s1", SimulationOptions(silent_from=0), wait=lambda stop, _: True)

    assert list(stop_in_silence.frames(stop)) == []


def test_frames_have_station_time_content_type_and_truth() -> None:
    (frame,) = (frame for frame, _ in zip(simulated_line("coins").frames(threading.Event()), range(1), strict=False))

    assert (frame.station, frame.captured_at, frame.content_type, frame.identity) == ("s1", NOW, "image/jpeg", None)
    assert frame.truth == simulated_line("coins").image(0).truth
    assert frame.image == simulated_line("coins").image(0).image


def test_normals_are_good_parts_that_the_line_never_shows() -> None:
    images = normals("brick", 4)

    assert len(set(images)) == 4
    assert list(images) == list(normals("brick", 4))
    assert not set(images) & {simulated_line("brick", defect_rate=0).image(number).image for number in range(4)}


def test_options_are_parsed_from_the_address() -> None:
    assert line_options(
        "seed=3&defect_rate=0.25&lamp_fades_after=60&silent_from=40&silent_for_s=2.5"
    ) == SimulationOptions(seed=3, defect_rate=0.25, lamp_fades_after=60, silent_from=40, silent_for_s=2.5)
    assert line_options("seed=3.0&silent_for_s=2") == SimulationOptions(seed=3, silent_for_s=2.0)
    assert line_options("") == SimulationOptions()


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("tin", "coins, brick"),
        ("brick?speed=3", "seed, defect_rate"),
        ("brick?seed=many", "seed=many"),
        ("brick?seed=1.5", r"seed=1\.5"),
        ("brick?silent_for_s=long", "silent_for_s=long"),
        ("brick?defect_rate=2", "defect rate"),
        ("brick?defect_rate=nan", "defect rate"),
        ("brick?lamp_fades_over=0", "lamp_fades_over"),
        ("brick?silent_for_s=-1", "silent_for_s"),
    ],
)
def test_an_invalid_address_is_a_source_error_that_names_the_option(address: str, named: str) -> None:
    with pytest.raises(SourceError, match=named):
        open_simulated(address, "s1", IngestSettings())


def test_every_line_names_its_object() -> None:
    assert {name: kind.object_name for name, kind in SCENES.items()} == {
        "coins": "coin tray",
        "brick": "brick wall",
        "gravel": "gravel bed",
        "coffee": "cup of coffee",
    }


def test_noise_grows_with_light_as_on_an_image_sensor() -> None:
    def noise(level: float) -> float:
        flat = np.full((256, 256), level, dtype=np.float32)
        image = pixels(photograph(flat, np.random.default_rng(0))).astype(np.float32)
        return float((image - blur(image, 8))[32:-32, 32:-32].std())

    assert 1 < noise(0.1) < noise(0.8) < 5


def test_blur_preserves_the_sum_and_spreads_a_point_as_a_gaussian() -> None:
    point = np.zeros((41, 41), dtype=np.float32)
    point[20, 20] = 1
    spread = blur(point, 2)

    assert spread.sum() == pytest.approx(1, abs=1e-5)
    assert spread[20, 20] == pytest.approx(1 / (2 * np.pi * 4), rel=0.01)
    assert spread[20, 22] / spread[20, 20] == pytest.approx(np.exp(-0.5), rel=0.001)
