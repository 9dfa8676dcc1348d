"""A file of JSON lines has each verdict exactly once, in order, whatever happened to it and to its writer."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from outputs.errors import OutputUnavailable
from outputs.json_lines import JsonLines
from outputs.message import VerdictMessage
from outputs.protocol import MAX_BATCH
from testing.tiny_disk import fill
from tests.outputs.examples import MESSAGE


def message(number: int) -> VerdictMessage:
    return replace(MESSAGE, verdict_id=number, frame_id=UUID(int=number))


def numbers_in(path: Path) -> list[int]:
    return [json.loads(line)["verdict_id"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a file in a folder that does not exist yet."""
    return tmp_path / "new" / "verdicts.jsonl"


@pytest.fixture
def output(path: Path) -> Iterator[JsonLines]:
    with closing(JsonLines(path)) as opened:
        yield opened


def send_and_close(path: Path, *numbers: int) -> None:
    """Send messages as a process of its own would."""
    with closing(JsonLines(path)) as opened:
        opened.send([message(number) for number in numbers])


def test_lines_are_appended_in_order(path: Path) -> None:
    send_and_close(path, 1, 2)
    send_and_close(path, 3)
    assert path.read_text(encoding="utf-8") == "".join(f"{message(number).to_json()}\n" for number in (1, 2, 3))


def test_a_batch_that_comes_again_is_not_written_again(path: Path, output: JsonLines) -> None:
    batch = [message(number) for number in range(1, MAX_BATCH + 1)]
    output.send([message(0)])
    output.send(batch)
    output.send(batch)
    output.close()
    send_and_close(path, *range(1, MAX_BATCH + 1))
    assert numbers_in(path) == list(range(MAX_BATCH + 1))


@pytest.mark.parametrize("length", [1, 9, 40, -1])
@pytest.mark.parametrize("lines_before", [0, 1, 2])
def test_a_line_that_was_written_in_part_is_replaced(path: Path, length: int, lines_before: int) -> None:
    path.parent.mkdir()
    before = [message(number).to_json() for number in range(lines_before)]
    path.write_text("\n".join([*before, message(lines_before).to_json()[:length]]), encoding="utf-8")
    send_and_close(path, *range(lines_before + 2))
    assert numbers_in(path) == list(range(lines_before + 2))


def test_a_long_file_is_read_from_its_end(path: Path) -> None:
    send_and_close(path, *range(1000))
    send_and_close(path, *range(1000 - MAX_BATCH, 1001))
    assert numbers_in(path) == list(range(1001))


def test_a_line_that_a_power_cut_damaged_is_written_again(path: Path) -> None:
    send_and_close(path, 1, 2)
    with path.open("ab") as file:
        file.write(b"\0" * 100 + b"\n")
    send_and_close(path, 2, 3)
    assert [line.startswith("{") for line in path.read_text(encoding="utf-8").splitlines()] == [True, True, False, True]


def test_a_file_of_something_else_stays_as_it_is(path: Path, output: JsonLines) -> None:
    path.parent.mkdir()
    path.write_text("a diary without a line break", encoding="utf-8")
    with pytest.raises(OutputUnavailable, match=str(path)):
        output.send([MESSAGE])
    assert path.read_text(encoding="utf-8") == "a diary without a line break"


def test_a_second_writer_waits_until_the_first_is_gone(path: Path, output: JsonLines) -> None:
    with closing(JsonLines(path)) as first:
        first.send([message(1)])
        with pytest.raises(OutputUnavailable, match=str(path)):
            output.send([message(2)])
    output.send([message(2)])
    assert numbers_in(path) == [1, 2]


def test_after_a_rotation_the_next_line_begins_a_new_file(path: Path, output: JsonLines) -> None:
    output.send([message(1)])
    rotated = path.rename(path.with_suffix(".1"))
    output.send([message(1), message(2)])
    assert (numbers_in(rotated), numbers_in(path)) == ([1], [2])


def test_a_batch_that_a_full_disk_cuts_is_completed_when_there_is_space(tiny_disk: Path) -> None:
    path, ballast = tiny_disk / "verdicts.jsonl", tiny_disk / "ballast"
    batch = [message(number) for number in range(1, MAX_BATCH)]
    with closing(JsonLines(path)) as output:
        output.send([message(0)])
        fill(ballast)
        os.truncate(ballast, ballast.stat().st_size - 3 * os.sysconf("SC_PAGE_SIZE"))
        with pytest.raises(OutputUnavailable, match=str(path)):
            output.send(batch)
        assert not path.read_text(encoding="utf-8").endswith("\n")
        ballast.unlink()
        output.send(batch)
    assert numbers_in(path) == list(range(MAX_BATCH))


def test_a_folder_that_can_not_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputUnavailable, match="taken"):
        JsonLines(tmp_path / "taken" / "verdicts.jsonl").send([MESSAGE])
