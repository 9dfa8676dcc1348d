"""A package that is installed beside Andon extends it by entry points, without a change to Andon."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from storage.database.engine import Database
from tests.outputs.examples import add_ready_station, decide

PACKAGE = Path(__file__).with_name("example_extension")
ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that finds the package, which is built and installed without a network."""
    folder = tmp_path_factory.mktemp("extension")
    source = shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [
            *(UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"),
            *("--python", sys.executable, "--target", folder / "site-packages", source),
        ],
        check=True,
        timeout=300,
    )
    return {**os.environ, "PYTHONPATH": f"{folder / 'site-packages'}{os.pathsep}{ROOT}"}


def run(environment: dict[str, str], *arguments: object) -> str:
    """Run one of our modules or Python code in a process of its own, and return what it wrote to stdout."""
    finished = subprocess.run(
        [sys.executable, *(str(word) for word in arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_every_extension_is_listed(environment: dict[str, str], workplace: Path) -> None:
    listed = json.loads(run(environment, "-m", "andon", "extensions", "--json"))
    assert {(row["kind"], row["name"]) for row in listed if row["package"] == "andon-example-extension"} == {
        ("alert rule", "unscored_frames"),
        ("detector", "example-detector"),
        ("output", "example"),
        ("source", "example"),
    }


def test_an_installed_alert_rule_is_one_of_the_rules(environment: dict[str, str], workplace: Path) -> None:
    rules = {row["rule"]: row for row in json.loads(run(environment, "-m", "andon", "alerts", "rules", "--json"))}
    assert rules["unscored_frames"]["parameters"] == {"frames": 10}
    assert rules["silent_camera"]["on"]


def test_an_installed_source_is_opened_by_its_kind(environment: dict[str, str], workplace: Path) -> None:
    Image.new("RGB", (64, 48)).save(workplace / "part.png")
    arguments = ("produce", "s1", "--unchecked", "--source", "example:part.png", "--limit", 2)
    assert "2 frames" in run(environment, "-m", "andon", *arguments)


def test_an_installed_output_delivers_verdicts(environment: dict[str, str], workplace: Path) -> None:
    (workplace / "andon.toml").write_text('[outputs.lamp]\nkind = "example"\npath = "lamp.txt"\n')
    drain = ("-m", "andon", "outputs", "run", "--drain")
    run(environment, *drain)
    with closing(Database(f"sqlite:///{workplace / '.andon' / 'andon.db'}")) as database:
        sent = decide(database, add_ready_station(database, "s1"), range(3))
    run(environment, *drain)
    assert (workplace / "lamp.txt").read_text().split() == [str(frame_id) for frame_id in sent]


def test_an_installed_detector_is_loaded_by_its_name(environment: dict[str, str], workplace: Path) -> None:
    code = "import andon; print(andon.load_detector('example-detector').name)"
    assert run(environment, "-c", code).strip() == "example-detector"
