"""Every file, link, module, command, setting and metric that the documentation names exists."""

import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from andon.cli import app
from andon.metrics_reference import metrics_page
from andon.settings import environment_variable, known_settings

PROJECT = Path(__file__).parents[2]
ROOT_PAGES = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES = [*ROOT_PAGES, *sorted((PROJECT / "docs").rglob("*.md")), *sorted((PROJECT / "scorer").rglob("*.md"))]
FOLDERS = "alerts|andon|benchmarks|dashboard|deploy|docs|foundation|ingest|scorer|storage|testing|tests"
NO_METRICS = {"andon_schema"}  # a table
CODE = re.compile(r"```\w*\n.*?```|`[^`\n]+`", re.DOTALL)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))


def text_of(page: Path) -> str:
    """Return a page without the file names of examples, which do not exist yet."""
    return re.sub(r"^# \w+/\S+\.py$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def code_in(page: Path) -> Iterator[str]:
    """Yield the page's code blocks and code spans."""
    yield from CODE.findall(text_of(page))


@every_page
def test_every_file_exists(page: Path) -> None:
    paths = [path for code in code_in(page) for path in re.findall(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./-]+\.\w+", code)]
    assert [path for path in paths if not (PROJECT / path).exists()] == []


@every_page
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text_of(page))
    assert [link for link in links if not (page.parent / link).exists()] == []


@every_page
def test_every_module_exists(page: Path) -> None:
    modules = [name for code in code_in(page) for name in re.findall(rf"python -m ((?:{FOLDERS})[\w.]*)", code)]
    assert [name for name in modules if find_spec(name) is None] == []


@every_page
def test_every_command_exists(page: Path) -> None:
    lines = [
        line
        for code in code_in(page)
        for line in re.findall(r"(?:^|[`$/ ])andon ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", code)
    ]
    assert [line for line in lines if not is_command(line.split())] == []


@every_page
def test_every_option_exists(page: Path) -> None:
    unknown = []
    for code in code_in(page):
        joined = code.replace("\\\n", " ")
        for line in re.findall(r"(?:^|[`$/ ])andon ([a-z][a-z-]*[^`\n]*)", joined):
            words = line.partition(" #")[0].split()
            unknown += [word for word in words if word.startswith("--") and word not in options_of(words)]
    assert unknown == []


def options_of(words: list[str]) -> set[str]:
    """Return the options of the command at the start of `words`, and those of all commands."""
    command: Any = get_command(app)
    options = {
        "--help",
        *(option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)),
    }
    for word in words:
        if not isinstance(command, TyperGroup) or word not in command.commands:
            break
        command = command.commands[word]
        options |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return options


def is_command(words: list[str]) -> bool:
    """Return whether `words` begin with a command; a group needs one of its commands, or nothing, after it."""
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    child = command.commands.get(words[0])
    if isinstance(child, TyperGroup) and len(words) > 1:
        return words[1] in child.commands
    return child is not None


@every_page
def test_every_setting_exists(page: Path) -> None:
    sections = {key.partition(".")[0] for key in known_settings()}
    spans = [span for span in code_in(page) if re.fullmatch(rf"`({'|'.join(sections)})\.[a-z_]+`", span)]
    assert [span for span in spans if span.strip("`") not in known_settings() and not is_code(span.strip("`"))] == []


def is_code(name: str) -> bool:
    """Return whether a dotted name is a file, a topic, a group of entry points, or part of the Python API."""
    package, _, attribute = name.partition(".")
    groups = {"andon.sources", "andon.detectors", "andon.alert_rules"}
    return name in {"andon.toml", "andon.frames", *groups} or hasattr(import_module(package), attribute)


@every_page
def test_every_variable_exists(page: Path) -> None:
    variables = {environment_variable(key) for key in known_settings()}
    named = set(re.findall(r"\bANDON_[A-Z]+__[A-Z_]+\b", text_of(page)))
    assert named - variables == set()


@every_page
def test_every_metric_exists(page: Path) -> None:
    named = {name for code in code_in(page) for name in re.findall(r"`(andon_[a-z_]+)(?:\{[a-z,]*\})?`", code)}
    assert {name for name in named if f"`{name}`" not in metrics_page() and name not in NO_METRICS} == set()


def test_every_screen_label_exists() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "dashboard").rglob("*.py"))
    labels = [
        label
        for name in ("monitor-quality", "review", "use-the-dashboard", "manage-users")
        for term in re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", text_of(PROJECT / "docs" / "how-to" / f"{name}.md"))
        for label in term.split(" → ")
    ]
    assert len(labels) > 20
    assert [label for label in labels if label not in code] == []
