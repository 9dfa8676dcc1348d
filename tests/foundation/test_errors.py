"""The tree of exceptions drawn in the docstring of `foundation.errors` is the tree of the classes."""

import re

import alerts.errors
import andon.errors
import foundation.errors
import imaging.errors
import ingest.errors
import outputs.errors
import scorer.errors
import scorer.evaluation.errors
import storage.errors
from foundation.errors import AndonError, Retriable

MODULES = (
    *(foundation.errors, imaging.errors, ingest.errors, storage.errors, scorer.errors, scorer.evaluation.errors),
    *(alerts.errors, outputs.errors, andon.errors),
)
LINE = re.compile(r'^(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: +Retriable, cause "(?P<cause>\w+)")?$', re.MULTILINE)


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """Name → the name of its parent and its cause, from the drawing."""
    found: dict[str, tuple[str | None, str | None]] = {}
    path: list[str] = []
    for line in LINE.finditer(foundation.errors.__doc__ or ""):
        del path[len(line["branch"]) // 4 :]
        found[line["name"]] = (path[-1] if path else None, line["cause"])
        path.append(line["name"])
    return found


def defined() -> dict[str, tuple[str | None, str | None]]:
    """The same from the classes; the first base is the parent, and a second one can only be `Retriable`."""
    classes = [
        found
        for module in MODULES
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, AndonError) and found.__module__ == module.__name__
    ]
    return {
        found.__name__: (
            None if found is AndonError else found.__bases__[0].__name__,
            found.cause if Retriable in found.__bases__ else None,  # type: ignore[attr-defined]
        )
        for found in classes
    }


def test_the_documented_tree_has_every_class_with_its_parent_and_cause() -> None:
    assert drawn() == defined()


def test_every_retriable_error_names_a_cause() -> None:
    assert {found.cause for found in Retriable.__subclasses__()} == {"bus", "database", "images", "model", "output"}
