"""Log lines have one shape, ours and the libraries', and go to stderr."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from andon import logging_setup


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logging_setup.LIBRARY_LEVELS}
    yield
    for name, library_level in levels.items():
        logging.getLogger(name).setLevel(library_level)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_lines_carry_event_level_and_a_utc_time(capsys: pytest.CaptureFixture[str]) -> None:
    logging_setup.configure("info", "json")
    structlog.get_logger("scorer.worker.loop").warning("frames were dropped", station="s1", frames=3)
    captured = capsys.readouterr()
    line = json.loads(captured.err)
    assert captured.out == ""
    assert (line["event"], line["level"], line["station"], line["frames"]) == (
        "frames were dropped",
        "warning",
        "s1",
        3,
    )
    assert line["timestamp"].endswith("Z")


def test_a_warning_of_a_library_is_one_json_line_and_its_info_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    logging_setup.configure("info", "json")
    logging.getLogger("alembic.runtime").info("Context impl SQLiteImpl.")
    logging.getLogger("alembic.runtime").warning("slow migration")
    assert json.loads(capsys.readouterr().err)["event"] == "slow migration"


def test_an_exception_is_one_json_line_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logging_setup.configure("info", "json")
    try:
        raise OSError("the disk is full")
    except OSError:
        structlog.get_logger().exception("write failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["exception"][0]["exc_value"] == "the disk is full"


def test_messages_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    logging_setup.configure("warning", "text")
    structlog.get_logger().info("beat")
    structlog.get_logger().warning("late", seconds=3)
    text = capsys.readouterr().err
    assert "beat" not in text
    assert "late" in text
    assert "seconds=3" in text


@pytest.mark.parametrize("shape", ["json", "text"])
def test_no_line_shows_a_password_not_even_in_a_traceback(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    logging_setup.configure("info", shape)
    url = "s3://AKIA123:hunter2@bucket"
    try:
        raise OSError(f"{url} is away")
    except OSError as error:
        structlog.get_logger().exception(f"no image in {url}", store=url, error=error, tries=[url])
    logging.getLogger("fsspec").warning("can't open %s", url)
    text = capsys.readouterr().err
    assert "AKIA123" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("shape", ["json", "text"])
def test_no_line_moves_the_cursor_of_a_terminal(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    logging_setup.configure("info", shape)
    name = "a\x1b[2Jb\x9b1mc\rd.png"
    structlog.get_logger().warning(f"no image in {name}", file=name)
    try:
        raise OSError(name)
    except OSError:
        structlog.get_logger().exception("not read")
    logging.getLogger("fsspec").warning("can't open %s", name)
    assert not set(capsys.readouterr().err) & set("\x1b\x9b\r")
