"""Every file, link, module, command, setting and metric that the documentation names exists."""

import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from andon.cli import app
from andon.metrics_reference import metrics_page
from andon.settings import OUTPUT_VARIABLE, environment_variable, known_settings

PROJECT = Path(__file__).parents[2]
ROOT_PAGES = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES = [*ROOT_PAGES, *sorted((PROJECT / "docs").rglob("*.md")), *sorted((PROJECT / "scorer").rglob("*.md"))]
FOLDERS = "alerts|andon|benchmarks|dashboard|deploy|docs|foundation|imaging|ingest|outputs|scorer|storage|testing|tests"
NO_METRICS = {"andon_schema"}  # a table
CODE = re.compile(r"```\w*\n.*?```|`[^`\n]+`", re.DOTALL)


def text_of(page: Path) -> str:
    """Return a page without the file names of examples, which do not exist yet."""
    return re.sub(r"^# \w+/\S+\.py$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def code_in(page: Path) -> list[str]:
    """Return the page's code blocks and code spans."""
    return CODE.findall(text_of(page))


def named_on_pages(find: Callable[[Path], Iterable[str]]) -> list[tuple[str, str]]:
    """Return (page, name) for every name that `find` returns of a page."""
    return [(str(page.relative_to(PROJECT)), name) for page in PAGES for name in find(page)]


def found_in_code(pattern: str) -> list[tuple[str, str]]:
    """Return (page, match) for every match of a pattern in the code of the pages."""
    return named_on_pages(lambda page: [name for code in code_in(page) for name in re.findall(pattern, code)])


def test_every_file_exists() -> None:
    named = found_in_code(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./-]+\.\w+")
    assert len(named) > 100
    assert [(page, path) for page, path in named if not (PROJECT / path).exists()] == []


def test_every_relative_link_leads_to_a_file() -> None:
    links = named_on_pages(lambda page: re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text_of(page)))
    assert len(links) > 100
    assert [(page, link) for page, link in links if not ((PROJECT / page).parent / link).exists()] == []


def test_every_module_exists() -> None:
    modules = found_in_code(rf"python -m ((?:{FOLDERS})[\w.]*)")
    assert len(modules) > 5
    assert [(page, name) for page, name in modules if find_spec(name) is None] == []


def test_every_command_exists() -> None:
    lines = found_in_code(r"(?:^|[`$/ ])andon ([a-z][a-z-]*(?: [a-z][a-z-]*)?)")
    assert len(lines) > 100
    assert [(page, line) for page, line in lines if not is_command(line.split())] == []


def test_every_option_exists() -> None:
    unknown = []
    for page in PAGES:
        for code in code_in(page):
            joined = code.replace("\\\n", " ")
            for line in re.findall(r"(?:^|[`$/ ])andon ([a-z][a-z-]*[^`\n]*)", joined):
                words = line.partition(" #")[0].split()
                options = options_of(words)
                unknown += [(page, word) for word in words if word.startswith("--") and word not in options]
    assert unknown == []


@cache
def root_command() -> TyperGroup:
    """Return the `andon` command."""
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    return command


def options_of(words: list[str]) -> set[str]:
    """Return the options of the command at the start of `words`, and those of all commands."""
    command: Any = root_command()
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
    child = root_command().commands.get(words[0])
    if isinstance(child, TyperGroup) and len(words) > 1:
        return words[1] in child.commands
    return child is not None


def test_every_setting_exists() -> None:
    settings = known_settings()
    sections = {key.partition(".")[0] for key in settings}
    spans = found_in_code(rf"^`((?:{'|'.join(sections)})\.[a-z_]+)`$")
    assert len(spans) > 20
    assert [(page, name) for page, name in spans if name not in settings and not is_code(name)] == []


def is_code(name: str) -> bool:
    """Return whether a dotted name is a file, a topic, a group of entry points, or part of the Python API."""
    package, _, attribute = name.partition(".")
    groups = {"andon.sources", "andon.detectors", "andon.outputs", "andon.alert_rules"}
    return name in {"andon.toml", "andon.frames", *groups} or hasattr(import_module(package), attribute)


def test_every_variable_exists() -> None:
    variables = {environment_variable(key) for key in known_settings()}
    named = named_on_pages(lambda page: re.findall(r"\bANDON_[A-Z]+__[A-Z_]+\b", text_of(page)))
    assert len(named) > 20
    unknown = [(page, name) for page, name in named if name not in variables]
    assert [(page, name) for page, name in unknown if OUTPUT_VARIABLE.fullmatch(name) is None] == []


def test_every_metric_exists() -> None:
    metrics = metrics_page()
    named = found_in_code(r"`(andon_[a-z_]+)(?:\{[a-z,]*\})?`")
    assert len(named) > 20
    assert [(page, name) for page, name in named if f"`{name}`" not in metrics and name not in NO_METRICS] == []


def test_every_screen_label_exists() -> None:
    dashboard = PROJECT / "dashboard"
    files = [*dashboard.rglob("*.py"), *(dashboard / "assets").glob("*.html")]
    code = "".join(path.read_text(encoding="utf-8") for path in files)
    labels = [
        label
        for name in ("monitor-quality", "review", "use-the-dashboard", "manage-users")
        for term in re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", text_of(PROJECT / "docs" / "how-to" / f"{name}.md"))
        for label in term.split(" → ")
    ]
    assert len(labels) > 20
    assert [label for label in labels if label not in code] == []
