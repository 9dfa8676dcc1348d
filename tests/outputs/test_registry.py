"""An output is created from its table, and what is wrong with a table is reported by its key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import PluginError
from outputs import registry
from outputs.errors import OutputMisconfigured, OutputsError, UnknownOutput
from outputs.json_lines import JsonLines
from outputs.registry import create_output
from tests.outputs.examples import RecordingOutput


def test_an_output_is_created_without_touching_its_file(tmp_path: Path) -> None:
    output = create_output("file", {"kind": "json_lines", "path": str(tmp_path / "verdicts.jsonl")})
    assert isinstance(output, JsonLines)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("table", "error", "named"),
    [
        ({"path": "verdicts.jsonl"}, OutputMisconfigured, "outputs.file.kind"),
        ({"kind": 7}, OutputMisconfigured, "outputs.file.kind"),
        ({"kind": "pigeon"}, UnknownOutput, "outputs.file.kind"),
        ({"kind": "json_lines"}, OutputMisconfigured, "outputs.file.path"),
        ({"kind": "json_lines", "path": "a", "pth": "b"}, OutputMisconfigured, "outputs.file.pth"),
    ],
)
def test_a_table_that_can_not_be_meant_is_reported_by_its_key(
    table: Mapping[str, Any], error: type[OutputsError], named: str
) -> None:
    with pytest.raises(error, match=named):
        create_output("file", table)


def fail(settings: Mapping[str, Any]) -> RecordingOutput:
    raise RuntimeError("no driver")


def return_nothing(settings: Mapping[str, Any]) -> None:
    """Return no output."""


def need_a_host(settings: Mapping[str, Any]) -> RecordingOutput:
    raise OutputMisconfigured("outputs.lamp.host is missing.")


@pytest.mark.parametrize(
    ("plugin", "error"),
    [(fail, PluginError), (return_nothing, PluginError), (7, PluginError), (need_a_host, OutputMisconfigured)],
)
def test_an_installed_output_that_does_not_work_is_reported(
    plugin: object, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "load_plugin", lambda group, name: plugin)
    with pytest.raises(error, match="lamp"):
        create_output("lamp", {"kind": "lamp"})


def test_an_installed_output_gets_its_keys_and_no_built_in_one_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[Mapping[str, Any]] = []

    def create(settings: Mapping[str, Any]) -> RecordingOutput:
        created.append(settings)
        return RecordingOutput()

    monkeypatch.setattr(registry, "load_plugin", lambda group, name: create)
    assert isinstance(create_output("lamp", {"kind": "lamp", "pin": 4}), RecordingOutput)
    assert isinstance(create_output("file", {"kind": "json_lines", "path": "verdicts.jsonl"}), JsonLines)
    assert created == [{"pin": 4}]
