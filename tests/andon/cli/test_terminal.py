"""Commands write to any terminal and device, and take any name; a failure is one sentence."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

from andon.cli import app, output, terminal
from storage.database.engine import Database
from storage.line import verdicts
from testing.command_line import Andon
from tests.storage.examples import add_active_set, add_station, make_verdict


def parameters(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each parameter of a command and of its commands."""
    for inner_name, inner in getattr(command, "commands", {}).items():
        yield from parameters(inner, f"{name} {inner_name}")
    for parameter in command.params:
        yield f"{name} {parameter.name}", parameter


def is_number(parameter: Any) -> bool:
    """Return whether a parameter is an int or a float, which may be optional."""
    annotation = parameter.type_descriptor.annotation
    return bool({int, float} & set(get_args(annotation) or (annotation,)))


def test_every_number_on_the_command_line_has_a_range() -> None:
    numbers = {name: one for name, one in parameters(get_command(app), "andon") if is_number(one)}

    assert len(numbers) > 20
    unbounded = {name for name, one in numbers.items() if one.min is None or one.max is None}
    assert unbounded == set()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Söder 部品 ½", "Söder 部品 ½"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("one\ntwo\ttabbed", r"one\ntwo\ttabbed"),
        ("\u202eevil", r"\u202eevil"),  # right-to-left override
        ("\x9b31m", r"\x9b31m"),  # CSI in one character
        ("\udcff", r"\udcff"),  # a byte that was not UTF-8
    ],
)
def test_characters_that_act_on_a_terminal_are_shown(text: str, shown: str) -> None:
    assert terminal.visible(text) == shown
    assert output.cell(text) == shown


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("latin-1", b"S\xf6der: 3 -> 4 \\u90e8 x"),
        ("ascii", b"S\\xf6der: 3 -> 4 \\u90e8 x"),
        ("utf-8", "Söder: 3 → 4 部 ✗".encode()),
    ],
)
def test_a_terminal_that_is_not_utf_8_gets_what_it_can_show(
    encoding: str, written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(device, encoding=encoding))
    terminal.prepare_streams()

    sys.stdout.write("Söder: 3 → 4 部 ✗")
    sys.stdout.flush()

    assert device.getvalue() == written


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_one_sentence(workplace: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "andon", "config", "--example"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert os.strerror(28) in ended.stderr  # ENOSPC


def test_a_settings_file_may_begin_with_a_byte_order_mark(andon: Andon, workplace: Path) -> None:
    (workplace / "andon.toml").write_bytes(b'\xef\xbb\xbf[ingest]\r\ntopic = "line-7"\r\n')

    settings = {one["setting"]: one["value"] for one in json.loads(andon("config", "--json").out)}

    assert settings["ingest.topic"] == "line-7"


def test_verdicts_beyond_the_limit_are_announced_and_can_be_streamed(andon: Andon, workplace: Path) -> None:
    andon("station", "list")  # makes the database
    database = Database("sqlite:///.andon/andon.db")
    with database.begin() as session:
        stored = [make_verdict(add_active_set(session, add_station(session))) for _ in range(3)]
        verdicts.record(session, stored)
    database.close()

    two, three = andon("verdicts", "--limit", 2, "--json"), andon("verdicts", "--limit", 3, "--json")
    assert [len(json.loads(two.out)), len(json.loads(three.out))] == [2, 3]
    assert "--ndjson" in two.err
    assert three.err == ""

    lines = andon("verdicts", "--limit", 1, "--ndjson").out.splitlines()
    assert {json.loads(line)["frame_id"] for line in lines} == {str(one.frame_id) for one in stored}
    assert len(lines) == 3


def test_json_holds_no_character_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[2Jb\x9b1m\u202egnp.exe – ü"
    output.write_json({"part": name})
    output.write_json_line({"part": name})
    written = capsys.readouterr().out
    assert not set(written) & set("\x1b\x9b\u202e")
    assert "– ü" in written
    assert json.loads(written.splitlines()[-1]) == {"part": name}
