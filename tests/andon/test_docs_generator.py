"""The generated pages under docs/ and the example file agree with the code."""

import tomllib
from pathlib import Path

import pytest

from andon.docs_generator import commands_page
from andon.metrics_reference import metrics_page
from andon.settings import Settings, load_settings
from andon.settings_reference import example_file, settings_page

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference"
HOW = "write it again with: python -m andon.docs_generator docs/reference"


def test_the_settings_page_is_up_to_date() -> None:
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == settings_page(), HOW


def test_the_commands_page_is_up_to_date() -> None:
    assert (DOCS / "commands.md").read_text(encoding="utf-8") == commands_page(), HOW


def test_the_metrics_page_is_up_to_date() -> None:
    assert (DOCS / "metrics.md").read_text(encoding="utf-8") == metrics_page(), HOW


def test_the_example_file_sets_nothing_until_a_line_is_uncommented(workplace: Path) -> None:
    Path("andon.toml").write_text(example_file(), encoding="utf-8")
    assert load_settings().origins == {}


def test_the_example_file_uncommented_sets_every_default(workplace: Path) -> None:
    lines = [
        line.removeprefix("# ") if " = " in line and not line.endswith('= ""') else line
        for line in example_file().splitlines()
        if line.startswith("[") or (line.startswith("# ") and line.split(" ")[2:3] == ["="])
    ]
    Path("andon.toml").write_text("\n".join(lines), encoding="utf-8")
    assert len([key for table in tomllib.loads("\n".join(lines)).values() for key in table]) > 20
    assert load_settings().settings == Settings()


def test_every_setting_has_a_description() -> None:
    assert "|  |\n" not in settings_page().replace("| ` | |", "")


@pytest.mark.parametrize(
    "command", ["station add", "normals rollback", "produce", "score", "dead-letters replay", "db upgrade"]
)
def test_every_command_has_a_section(command: str) -> None:
    assert f"## `andon {command}`" in commands_page()
