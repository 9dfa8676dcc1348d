"""The package of docs/how-to/extend.md works when it is installed, and its page draws."""

import re
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from alerts.errors import InvalidParameters
from alerts.installed_rules import installed_rules
from alerts.rules.registry import create_rule
from alerts.rules.rule import Clear, Raised, Unsure
from dashboard.app import frame
from ingest.errors import SourceError
from ingest.settings import IngestSettings
from ingest.sources.registry import open_source
from outputs.errors import OutputMisconfigured, OutputUnavailable
from outputs.registry import create_output
from scorer.detectors import registry as detectors
from scorer.imaging.framing import Framing
from scorer.settings import ScorerSettings
from storage.database.engine import Database
from testing.streamlit_app import new_app, switch_page
from tests.alerts.examples import station_view, verdict_event
from tests.outputs.examples import MESSAGE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "extend.md"
TEXT = PAGE.read_text(encoding="utf-8")
MODULES = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))
pytestmark = pytest.mark.slow
PYPROJECT = re.search(r"```toml\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the page's package: its modules, and metadata with its entry points."""
    assert PYPROJECT is not None
    project = tomllib.loads(PYPROJECT[1])["project"]
    metadata = tmp_path / f"my_package-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    (metadata / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
            for group, points in project["entry-points"].items()
        )
    )
    for path, code in MODULES.items():
        if path.startswith("my_package/"):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    installed_rules.cache_clear()
    yield
    installed_rules.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


def random_image(seed: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.mark.usefixtures("installed")
def test_the_source_yields_its_image(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.fromarray(random_image(1)).save(buffer, "JPEG")
    (tmp_path / "part.jpg").write_bytes(buffer.getvalue())
    source = open_source(f"still:{tmp_path / 'part.jpg'}", "s1", IngestSettings())
    frames = list(islice(source.frames(threading.Event()), 3))
    assert [(frame.station, frame.image) for frame in frames] == [("s1", buffer.getvalue())] * 3
    with pytest.raises(SourceError):
        open_source(f"still:{tmp_path / 'missing.jpg'}", "s1", IngestSettings())


@pytest.mark.usefixtures("installed")
def test_the_detector_meets_the_requirements_of_every_method() -> None:
    settings = ScorerSettings(detector="mean-patch", backbone="filterbank", device="cpu")
    detector = detectors.load(settings, Framing("letterbox"))
    normals, queries = [random_image(seed) for seed in range(4)], [random_image(seed, 96) for seed in (8, 9, 10)]
    references = detector.references(normals, "part")
    batch = detector.score(queries, references).image_scores
    singles = np.concatenate([detector.score([query], references).image_scores for query in queries])
    reordered = detector.score(queries, detector.references(normals[::-1], "part")).image_scores
    np.testing.assert_allclose(batch, singles, atol=1e-5)
    np.testing.assert_allclose(batch, reordered, atol=1e-6)
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    assert detector.score([black], references).image_scores[0] > batch.max()
    same = detector.references(normals[:1] * 2, "part")
    assert detector.score(normals[:1], same).image_scores[0] == pytest.approx(0, abs=1e-4)


@pytest.mark.usefixtures("installed")
def test_the_output_sets_the_lamp_of_each_station(tmp_path: Path) -> None:
    output = create_output("lamps", {"kind": "stack-light", "folder": str(tmp_path / "lamps")})
    messages = [replace(MESSAGE, station="s2", decision="flag"), MESSAGE, replace(MESSAGE, decision="pass")]
    with pytest.raises(OutputUnavailable):
        output.send(messages)
    (tmp_path / "lamps").mkdir()
    output.send(messages)
    output.close()
    assert {lamp.name: lamp.read_text() for lamp in (tmp_path / "lamps").iterdir()} == {"s1": "green", "s2": "red"}
    with pytest.raises(OutputMisconfigured, match=r"outputs\.lamps\.fodler"):
        create_output("lamps", {"kind": "stack-light", "folder": "a", "fodler": "b"})


@pytest.mark.usefixtures("installed")
def test_the_rule_raises_clears_and_takes_parameters() -> None:
    scored, unscored = verdict_event(0), replace(verdict_event(1), decision="no_reference", score=None)
    rule = create_rule("without_reference", {"frames": 2})
    assert isinstance(rule.evaluate(station_view([scored, unscored])), Raised)
    assert isinstance(rule.evaluate(station_view([unscored, scored, scored])), Clear)
    assert isinstance(rule.evaluate(station_view()), Unsure)
    with pytest.raises(InvalidParameters):
        create_rule("without_reference", {"frames": 0})


def test_the_page_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'andon.db'}"
    Database(url).upgrade()
    monkeypatch.setenv("ANDON_STORAGE__DATABASE_URL", url)
    monkeypatch.setattr(sys, "argv", ["dashboard"])
    module = ModuleType("dashboard.newest.page")
    exec(compile(MODULES["dashboard/newest/page.py"], "page.py", "exec"), module.__dict__)
    newest_page = module.newest_page
    entry = frame.PageEntry("newest", "Newest", "list", newest_page)  # type: ignore[arg-type]
    monkeypatch.setattr(frame, "PAGES", (*frame.PAGES, entry))
    app = new_app()
    app.run()
    switch_page(app, "newest")  # type: ignore[arg-type]
    app.run()
    assert not app.exception
    assert app.title[0].value == "Newest"
