"""The public Python API: the README's example runs as it is written there, and importing it is cheap."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import andon
from foundation.errors import AndonError, Retriable
from scorer.errors import ModelUnavailable

README = Path(__file__).resolve().parents[2] / "README.md"
HEAVY = {"torch", "torchvision", "timm", "open_clip", "streamlit", "kafka", "sqlalchemy", "numpy", "av", "skimage"}


def test_the_readme_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"<!-- public-api -->\n```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    rng = np.random.default_rng(0)
    for name in ("good-1.jpg", "good-2.jpg", "good-3.jpg", "part.jpg"):
        Image.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    exec(compile(example, str(README), "exec"), namespace)
    scores = namespace["scores"]
    assert isinstance(scores, andon.Scores)
    assert scores.image_scores.shape == (1,)


def test_importing_andon_loads_no_heavy_library() -> None:
    probe = f"import sys, andon; print(*({sorted(HEAVY)!r} & sys.modules.keys()))".replace("[", "{").replace("]", "}")
    finished = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert finished.stdout.split() == []


def test_every_public_name_exists() -> None:
    for name in andon.__all__:
        assert getattr(andon, name) is not None
    with pytest.raises(AttributeError):
        _ = andon.load_detectr


def test_there_is_one_tree_of_exceptions() -> None:
    for error in (andon.AlertsError, andon.IngestError, andon.ScorerError, andon.StorageError, andon.Retriable):
        assert issubclass(error, AndonError)
    assert issubclass(ModelUnavailable, Retriable)
