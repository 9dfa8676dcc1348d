"""The examples in docs/how-to/extend.md work as they stand there."""

import re
import sys
import threading
from dataclasses import replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from alerts.errors import InvalidParameters
from alerts.rules import registry as rules
from alerts.rules.rule import Clear, Raised, Unsure
from dashboard.app import frame
from ingest.errors import SourceError
from ingest.settings import IngestSettings
from ingest.sources import registry as sources
from scorer.detectors import registry as detectors
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from storage.database.engine import Database
from testing.streamlit_app import new_app, switch_page
from tests.alerts.examples import seen, station

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "extend.md"
EXAMPLES = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))


def example(path: str) -> ModuleType:
    module = ModuleType(path.removesuffix(".py").replace("/", "."))
    exec(compile(EXAMPLES[path], path, "exec"), module.__dict__)
    return module


def picture(seed: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_the_source_yields_its_picture_when_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SOURCES", {**sources.SOURCES, "still": example("ingest/sources/still.py").open_still})
    encoded = BytesIO()
    Image.fromarray(picture(1)).save(encoded, "JPEG")
    (tmp_path / "part.jpg").write_bytes(encoded.getvalue())
    source = sources.open_source(f"still:{tmp_path / 'part.jpg'}", "s1", IngestSettings())
    frames = list(islice(source.frames(threading.Event()), 3))
    assert [(frame.station, frame.image) for frame in frames] == [("s1", encoded.getvalue())] * 3
    with pytest.raises(SourceError, match=r"There is no image .*missing\.jpg"):
        sources.open_source(f"still:{tmp_path / 'missing.jpg'}", "s1", IngestSettings())


def test_the_detector_keeps_the_promises_of_the_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    made = example("scorer/detectors/mean_patch.py").MeanPatch
    monkeypatch.setattr(detectors, "PATCH_METHODS", {**detectors.PATCH_METHODS, "mean-patch": lambda _: made()})
    settings = ScorerSettings(detector="mean-patch", backbone="filterbank", device="cpu")
    detector = detectors.load(settings, Framing("letterbox"))
    normals, queries = [picture(seed) for seed in range(4)], [picture(seed, 96) for seed in (8, 9, 10)]
    references = detector.references(normals, "part")
    batch = detector.score(queries, references).image
    singles = torch.cat([detector.score([query], references).image for query in queries])
    turned = detector.score(queries, detector.references(normals[::-1], "part")).image
    assert torch.allclose(batch, singles, atol=1e-5)
    assert torch.allclose(batch, turned, atol=1e-6)
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    assert detector.score([black], references).image.item() > batch.max().item()
    same = detector.references(normals[:1] * 2, "part")
    assert detector.score(normals[:1], same).image.item() == pytest.approx(0, abs=1e-4)


def test_the_rule_raises_clears_and_is_set_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = example("alerts/rules/without_reference.py").WithoutReference
    monkeypatch.setattr(rules, "RULES", (*rules.RULES, rule))
    judged, bare = seen(0), replace(seen(1), decision="no_reference", score=None)
    made = rules.create_rule("without_reference", {"frames": 2})
    assert isinstance(made.evaluate(station([judged, bare])), Raised)
    assert isinstance(made.evaluate(station([bare, judged, judged])), Clear)
    assert isinstance(made.evaluate(station()), Unsure)
    with pytest.raises(InvalidParameters, match="frames is a whole number from 1"):
        rules.create_rule("without_reference", {"frames": 0})


def test_the_page_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'andon.db'}"
    Database(url).upgrade()
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", url)
    monkeypatch.setattr(sys, "argv", ["dashboard"])
    newest_page = example("dashboard/newest/page.py").newest_page
    entry = frame.PageEntry("newest", "Newest", "list", newest_page)  # type: ignore[arg-type]
    monkeypatch.setattr(frame, "PAGES", (*frame.PAGES, entry))
    app = new_app()
    app.run()
    switch_page(app, "newest")  # type: ignore[arg-type]
    app.run()
    assert not app.exception
    assert app.title[0].value == "Newest"
