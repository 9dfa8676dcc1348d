"""A package that is installed beside Andon adds to it by entry points, without a change here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).with_name("example_extension")
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that finds the package, which is built and installed without a network."""
    folder = tmp_path_factory.mktemp("extension")
    source, site_packages = folder / "source", folder / "site-packages"
    source.mkdir()
    for file in PACKAGE.iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    subprocess.run(
        [
            *(UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"),
            *("--python", sys.executable, "--target", site_packages, source),
        ],
        check=True,
        timeout=120,
    )
    return {**os.environ, "PYTHONPATH": f"{site_packages}{os.pathsep}{Path(__file__).parents[2]}"}


def andon_json(environment: dict[str, str], folder: Path, *words: str) -> Any:
    ended = subprocess.run(
        [sys.executable, "-m", "andon", *words, "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_every_extension_is_listed(environment: dict[str, str], workplace: Path) -> None:
    listed = andon_json(environment, workplace, "extensions")
    assert {(row["kind"], row["name"]) for row in listed if row["package"] == "andon-example-extension"} == {
        ("alert rule", "unscored_frames")
    }


def test_an_installed_alert_rule_is_one_of_the_rules(environment: dict[str, str], workplace: Path) -> None:
    rules = {row["rule"]: row for row in andon_json(environment, workplace, "alerts", "rules")}
    assert rules["unscored_frames"]["parameters"] == {"frames": 10}
    assert rules["silent_camera"]["on"]
