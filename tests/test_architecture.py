"""The architecture: which package may import which, and what the dashboard and the `andon` command must not load."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    *("foundation", "imaging", "ingest", "storage", "scorer", "alerts", "outputs", "dashboard", "andon"),
    *("testing", "benchmarks", "tests"),
)
MAY_IMPORT: dict[str, set[str]] = {
    "foundation": set(),
    "imaging": {"foundation"},
    "ingest": {"foundation"},
    "storage": {"foundation"},
    "scorer": {"foundation", "imaging", "ingest", "storage"},
    "alerts": {"foundation", "storage"},
    "outputs": {"foundation", "ingest", "storage"},
    "dashboard": {"foundation", "imaging", "storage", "alerts"},
    "andon": {"foundation", "imaging", "ingest", "storage", "scorer", "alerts", "outputs", "dashboard"},
    "testing": {"foundation", "imaging", "ingest", "storage", "scorer", "alerts", "outputs", "dashboard", "andon"},
    "benchmarks": {
        "foundation",
        "imaging",
        "ingest",
        "storage",
        "scorer",
        "alerts",
        "outputs",
        "dashboard",
        "andon",
        "testing",
    },
}
TORCH_MODULES = {"torch", "open_clip", "torchvision", "timm"}
TORCH_FOLDERS = {"backbones", "detectors", "distances", "engines", "training"}
"""The folders of the scorer that import torch; its worker, jobs, recipes and evaluation see numpy."""

MAX_FILES_PER_FOLDER = 16


def modules(package: str) -> Iterator[Path]:
    yield from sorted((ROOT / package).rglob("*.py"))


def imported_roots(path: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every import in the file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively; say the whole name"
            yield node.lineno, (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_allowed_packages(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for line, name in imported_roots(path)
        if name in PACKAGES and name != package and name not in MAY_IMPORT[package]
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "package", [package for package in sorted(MAY_IMPORT) if package not in {"scorer", "testing", "benchmarks"}]
)
def test_only_the_scorer_imports_torch(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for line, name in imported_roots(path)
        if name in TORCH_MODULES
    ]
    assert wrong == []


def test_in_the_scorer_only_models_and_training_import_torch() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules("scorer")
        if path.relative_to(ROOT / "scorer").parts[0] not in TORCH_FOLDERS
        for line, name in imported_roots(path)
        if name in TORCH_MODULES
    ]
    assert wrong == []


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_no_folder_holds_too_many_files(package: str) -> None:
    files = Counter(path.relative_to(ROOT).parent for path in modules(package) if "versions" not in path.parts)
    too_many = {str(folder): count for folder, count in files.items() if count > MAX_FILES_PER_FOLDER}
    assert too_many == {}


def imported_modules(path: Path, known: set[str]) -> set[str]:
    """The modules of ours that a file imports, inside functions too, but not those imported for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {
                child if (child := f"{node.module}.{alias.name}") in known else node.module for alias in node.names
            }
    return found & known


def test_there_are_no_import_cycles() -> None:
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in PACKAGES
        for path in modules(package)
    }
    imports = {name: imported_modules(path, set(files)) - {name} for name, path in files.items()}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"These modules import each other: {' -> '.join(error.args[1])}", pytrace=False)


def test_the_required_folders_exist_at_the_top() -> None:
    wanted = ("ingest", "scorer", "dashboard", "storage", "tests", "docker-compose.yml")
    assert [name for name in wanted if not (ROOT / name).exists()] == []


def is_threshold(node: ast.expr) -> bool:
    """Return whether an expression is a threshold by its name: ``threshold``, ``x.threshold`` or its ``.value``."""
    if isinstance(node, ast.Attribute) and node.attr == "value":
        node = node.value
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name == "threshold" or name.endswith("_threshold")


def threshold_comparisons(path: Path) -> Iterator[int]:
    """Lines on which a threshold is compared by order with something else than a number."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE):
            operands = [node.left, *node.comparators]
            if any(map(is_threshold, operands)) and not any(isinstance(each, ast.Constant) for each in operands):
                yield node.lineno


def test_a_score_meets_a_threshold_in_one_file_only() -> None:
    decision = ROOT / "storage" / "line" / "decision.py"
    wrong = [
        f"{path.relative_to(ROOT)}:{line} compares with a threshold; call decide or decide_bin"
        for room in MAY_IMPORT
        for path in modules(room)
        if path != decision
        for line in threshold_comparisons(path)
    ]
    assert wrong == []
    assert len(list(threshold_comparisons(decision))) == 2


def test_foundation_imports_the_standard_library_alone() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules("foundation")
        for line, name in imported_roots(path)
        if name not in sys.stdlib_module_names
    ]
    assert [found for found in wrong if not found.endswith(" imports foundation")] == []


def heavy_modules_loaded_by(statement: str) -> set[str]:
    probe = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    finished = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(finished.stdout.split()) & {"torch", "streamlit", "kafka", "skimage", "av"}


def test_the_command_imports_no_torch_streamlit_kafka_skimage_or_av() -> None:
    assert heavy_modules_loaded_by("import andon.cli") == set()


def test_dashboard_modules_import_no_torch() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in modules("dashboard")
        if path.stem not in {"main", "__init__"}  # the script that Streamlit runs, which draws at once
    ]
    assert "torch" not in heavy_modules_loaded_by("\n".join(f"import {name}" for name in names))
