"""Without a terminal, progress is a line on stderr every few seconds."""

from collections.abc import Iterator

import pytest

from andon.cli.progress import progress_counter


def readings(*seconds: float) -> Iterator[float]:
    yield from seconds


def test_progress_is_printed_at_most_every_five_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    times = readings(
        0.0, 1.0, 5.0, 5.0, 9.0, 10.0, 10.0
    )  # the start, then each check, and once more where a line is written
    with progress_counter("frames published", 500, now=lambda: next(times)) as advance:
        for count in (10, 60, 100, 130):
            advance(count)
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err == "60 of 500 frames published\n130 of 500 frames published\n"


def test_progress_without_a_total_shows_the_count_alone(capsys: pytest.CaptureFixture[str]) -> None:
    times = readings(0.0, 6.0, 6.0)
    with progress_counter("frames done", now=lambda: next(times)) as advance:
        advance(7)
    assert capsys.readouterr().err == "7 frames done\n"
