"""Pages and commands change data through `storage.actions` alone.

The functions that write are found from the source: those that execute an insert, update or delete, and those that call
one of these.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WRITE_CALLS = {"insert", "update", "delete", "insert_into", "insert_for", "insert_new", "_inserting_new"}
PACKAGES = ("alerts", "auth", "line", "outputs", "review", "rollups")
OPEN_TO_PAGES = {
    ("auth.identity", "actor_of_command"),  # logging in counts attempts and creates a token
    ("auth.identity", "log_in"),
    ("auth.logins", "create"),
    ("auth.logins", "revoke"),
    ("auth.logins", "touch"),
    ("alerts.channels", "encrypt_all"),  # with an upgrade of the schema; it changes no address
    ("line.drops", "record"),  # counted by a camera process, not by a person
}

Function = tuple[str, str]  # module below `storage`, name


def imported_names(scope: ast.AST) -> dict[str, str]:
    """Local name → full name below `storage`, of every import in this scope."""
    return {
        alias.asname or alias.name: f"{(node.module or '').removeprefix('storage.')}.{alias.name}"
        for node in ast.walk(scope)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("storage.")
        for alias in node.names
    }


def used_functions(scope: ast.AST, names: dict[str, str]) -> Iterator[tuple[int, Function]]:
    """Line, module and name of every function of `storage` that this scope mentions."""
    for node in ast.walk(scope):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            yield node.lineno, (names[node.value.id], node.attr)
        elif isinstance(node, ast.Name) and node.id in names:
            module, _, name = names[node.id].rpartition(".")
            yield node.lineno, (module, name)


def executes_a_write(function: ast.FunctionDef) -> bool:
    """Whether the function itself builds a statement that changes rows, or adds a row to the session."""
    return any(
        (isinstance(node, ast.Name) and node.id in WRITE_CALLS)
        or (isinstance(node, ast.Attribute) and ast.unparse(node) == "session.add")
        for node in ast.walk(function)
    )


@pytest.fixture(scope="module")
def writers() -> set[Function]:
    """Every function of `storage` that writes, directly or through another one."""
    calls: dict[Function, set[Function]] = {}
    found: set[Function] = set()
    for package in PACKAGES:
        for path in sorted((ROOT / "storage" / package).glob("*.py")):
            module = f"{package}.{path.stem}"
            tree = ast.parse(path.read_text(encoding="utf-8"))
            functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
            names = imported_names(tree) | {node.name: f"{module}.{node.name}" for node in functions}
            for node in functions:
                calls[module, node.name] = {used for _, used in used_functions(node, names)}
                if executes_a_write(node):
                    found.add((module, node.name))
    while more := {caller for caller, used in calls.items() if caller not in found and used & found}:
        found |= more
    return found


def test_the_functions_that_write_are_found(writers: set[Function]) -> None:
    assert {
        ("line.verdicts", "record"),
        ("line.normal_sets", "rollback"),
        ("review.reviews", "submit"),
        ("auth.users", "set_password"),
        ("rollups.verdict_rollups", "add"),
    } <= writers
    assert ("line.verdicts", "recent") not in writers


@pytest.mark.parametrize("room", ["dashboard", "andon/cli", "andon"])
def test_pages_and_commands_change_data_through_actions_alone(room: str, writers: set[Function]) -> None:
    files = (ROOT / room).glob("*.py") if room == "andon" else (ROOT / room).rglob("*.py")
    wrong = []
    for path in sorted(files):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        rest = ast.Module([node for node in tree.body if node not in functions], [])
        for scope in (rest, *functions):
            names = imported_names(rest) | imported_names(scope)
            wrong += [
                f"{path.relative_to(ROOT)}:{line} uses {'.'.join(function)}"
                for line, function in used_functions(scope, names)
                if function in writers - OPEN_TO_PAGES
            ]
    assert wrong == []
