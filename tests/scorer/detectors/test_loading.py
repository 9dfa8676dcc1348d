"""The public way to load and use a detector."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imaging.rgb import RgbImage
from scorer.detectors.loading import LoadedDetector, load_detector
from scorer.errors import InvalidImage, InvalidNormalSet, UnknownDetector
from testing.line import part

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def detector() -> LoadedDetector:
    return load_detector("nearest-patch", device="cpu")


def normals(count: int = 4) -> list[RgbImage]:
    return [part(number, size=(64, 64 + 8 * number)) for number in range(count)]


def test_batch_scores_equal_single_scores(detector: LoadedDetector) -> None:
    references = detector.references(normals())
    images = [part(10), part(11, defect=True, size=(96, 64)), part(12, size=(20, 200))]
    batch = detector.score(images, references)
    assert batch.image_scores.shape == (3,)
    assert batch.anomaly_maps.shape == (3, 16, 16)
    assert batch.image_scores.dtype == batch.anomaly_maps.dtype == np.float32
    for position, image in enumerate(images):
        single = detector.score([image], references)
        np.testing.assert_allclose(batch.image_scores[position], single.image_scores[0], atol=1e-6)
        np.testing.assert_allclose(batch.anomaly_maps[position], single.anomaly_maps[0], atol=1e-6)
        for name, values in batch.components.items():
            np.testing.assert_allclose(values[position], single.components[name][0], atol=1e-6)


def test_the_order_of_the_normals_does_not_matter(detector: LoadedDetector) -> None:
    images, order = normals(5), random.Random(3).sample(range(5), 5)
    first, second = detector.references(images), detector.references([images[position] for position in order])
    assert second.normal_scores == tuple(first.normal_scores[position] for position in order)
    queries = [part(20), part(21, defect=True)]
    scores = detector.score(queries, first), detector.score(queries, second)
    np.testing.assert_array_equal(scores[0].image_scores, scores[1].image_scores)


def test_arrays_pillow_images_and_files_score_alike(detector: LoadedDetector, tmp_path: Path) -> None:
    image = part(9, defect=True)
    path = tmp_path / "part.png"
    Image.fromarray(image).save(path)
    scores = detector.score([image, Image.fromarray(image), path, str(path)], detector.references(normals()))
    assert len(set(scores.image_scores.tolist())) == 1


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), [[1, 2], [3, 4]]],
)
def test_an_array_that_is_not_an_rgb_image_is_refused(detector: LoadedDetector, wrong: RgbImage) -> None:
    with pytest.raises(InvalidImage):
        detector.references([*normals(), wrong])


def test_a_file_that_is_not_an_image_is_refused(detector: LoadedDetector, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not an image")
    with pytest.raises(InvalidImage):
        detector.score([path], detector.references(normals()))
    with pytest.raises(FileNotFoundError):
        detector.score([tmp_path / "missing.png"], detector.references(normals()))


def test_references_of_another_model_are_refused(detector: LoadedDetector) -> None:
    other = load_detector("nearest-patch", framing="stretch", device="cpu")
    assert other.model_id != detector.model_id
    with pytest.raises(ValueError):
        detector.score([part(1)], other.references(normals()))


def test_too_few_normals_and_unknown_names_are_refused(detector: LoadedDetector) -> None:
    with pytest.raises(InvalidNormalSet):
        detector.references(normals(1))
    with pytest.raises(UnknownDetector):
        load_detector("crystal-ball")


def test_torch_is_imported_only_when_a_detector_is_loaded() -> None:
    probe = "import sys; import scorer.detectors.loading; print('torch' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"
