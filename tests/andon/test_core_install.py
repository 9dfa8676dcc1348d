"""The core distribution in an empty environment: the installation of a camera PC, without torch and Streamlit."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from andon.extras import EXTRA_OF_MODULE
from ingest.bus.protocol import readable
from ingest.bus.registry import open_bus
from ingest.settings import IngestSettings
from testing.availability import skip_unavailable

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("foundation", "imaging", "ingest", "storage", "scorer", "alerts", "outputs", "dashboard", "andon")
UV = Path(sys.executable).with_name("uv")

pytestmark = pytest.mark.timeout(600)


def run(*command: object, cwd: Path, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if not name.startswith("ANDON_")} | (environment or {}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy of the sources, so that nothing is written beside them."""
    source = folder / "source"
    for name in SHIPPED:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    result = run(
        *(UV, "build", "--wheel", "--offline", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder),
        cwd=source,
    )
    assert result.returncode == 0, result.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The bin folder of a virtual environment with the locked core dependencies and the wheel."""
    folder = tmp_path_factory.mktemp("core")
    environment = folder / "venv"
    python = environment / "bin" / "python"
    assert run(UV, "venv", "--python", sys.executable, environment, cwd=folder).returncode == 0
    install = (UV, "pip", "install", "--python", python)
    locked = (*install, "--require-hashes", "-r", ROOT / "requirements-core.lock")
    if run(*locked, "--offline", cwd=folder).returncode != 0:  # not all of it is cached
        result = run(*locked, cwd=folder)
        if result.returncode != 0:
            skip_unavailable(f"the package index can't be reached: {result.stderr.strip().splitlines()[-1]}")
    installed = run(*install, "--offline", "--no-deps", build_wheel(folder), cwd=folder)
    assert installed.returncode == 0, installed.stderr
    yield environment / "bin"
    shutil.rmtree(folder)


def test_no_library_of_an_extra_is_installed(core: Path, tmp_path: Path) -> None:
    probe = f"import importlib.util as u; print(*(m for m in {sorted(EXTRA_OF_MODULE)!r} if u.find_spec(m)))"
    assert run(core / "python", "-c", probe, cwd=tmp_path).stdout.split() == []


def test_the_packages_are_typed_and_complete(core: Path, tmp_path: Path) -> None:
    probe = (
        "from importlib.resources import files\n"
        f"print(*(f'{{name}}/py.typed' for name in {SHIPPED!r} if files(name).joinpath('py.typed').is_file()))"
    )
    assert run(core / "python", "-c", probe, cwd=tmp_path).stdout.split() == [f"{name}/py.typed" for name in SHIPPED]


def test_produce_publishes_an_image_to_the_embedded_bus(core: Path, tmp_path: Path) -> None:
    images = tmp_path / "camera"
    images.mkdir()
    Image.new("RGB", (64, 48), "grey").save(images / "part.png")
    added = run(core / "andon", "station", "add", "s1", cwd=tmp_path)
    assert added.returncode == 0, added.stderr
    produced = run(core / "andon", "produce", "s1", "--source", f"folder:{images}", "--limit", "1", cwd=tmp_path)
    assert produced.returncode == 0, produced.stderr
    settings = IngestSettings(embedded_path=tmp_path / ".andon" / "bus.sqlite")
    with closing(open_bus(settings)) as bus, closing(bus.consumer(settings.topic, "test")) as consumer:
        (record,) = readable(consumer.poll(max_records=10, timeout_s=5.0))
    assert record.value == (images / "part.png").read_bytes()


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("score", "scorer"),
        ("weights list", "scorer"),
        ("dashboard", "dashboard"),
        ("alerts watch", "alerts"),
        ("kpi", "alerts"),
        ("demo", "dashboard"),
        ("produce s1 --unchecked --source simulated:brick", "simulated"),
    ],
)
def test_a_command_without_its_extra_names_the_extra(core: Path, tmp_path: Path, command: str, extra: str) -> None:
    finished = run(core / "andon", *command.split(), cwd=tmp_path)
    assert finished.returncode == 1
    assert len(finished.stderr.splitlines()) == 1
    assert f"pip install 'andon-inspection[{extra}]'" in finished.stderr


def test_help_and_settings_need_no_extra(core: Path, tmp_path: Path) -> None:
    for command in ("--help", "score --help", "config", "extensions", "verdicts", "alerts list", "outputs list"):
        assert run(core / "andon", *command.split(), cwd=tmp_path).returncode == 0, command
