"""The numbers in the demo's closing table are right."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from rich.console import Console

from andon.demo.report import DemoFrame, alert_lines, as_table, quantile, report
from storage.line.decision import Decision
from storage.line.verdicts import Verdict
from tests.alerts.examples import make_alert

CAPTURED = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def verdict(number: int, decision: Decision, latency_ms: float) -> Verdict:
    return Verdict(
        frame_id=UUID(int=number),
        station_id=1,
        captured_at=CAPTURED,
        published_at=CAPTURED,
        decided_at=CAPTURED + timedelta(milliseconds=latency_ms),
        decision=decision,
        score=0.1,
        threshold=0.2,
        components={},
        normal_set_id=1,
        detector="nearest-patch",
        model_id="m",
        weights_sha256=None,
        image_reference="sha256:" + "0" * 64,
        content_type="image/jpeg",
        map_reference=None,
        part_id=None,
        truth=None,
        worker="w",
        topic="t",
        partition=0,
        offset=number,
    )


def frame(number: int, truth: str, station: str = "coins") -> DemoFrame:
    return DemoFrame(UUID(int=number), station, truth)


def test_defects_and_good_parts_are_counted_by_their_ground_truth() -> None:
    frames = [frame(1, "good"), frame(2, "good"), frame(3, "scratch"), frame(4, "dent"), frame(5, "stain")]
    verdicts = [
        verdict(1, "pass", 10),
        verdict(2, "flag", 20),
        verdict(3, "flag", 30),
        verdict(4, "pass", 40),
        verdict(5, "flag", 50),
    ]
    (row,) = report(["coins"], frames, verdicts)
    assert (row.frames_in, row.verdicts, row.flagged) == (5, 5, 3)
    assert (row.defects, row.defects_caught, row.escapes, row.false_rejects) == (3, 2, 1, 1)
    assert (row.latency_p50_ms, row.latency_p95_ms) == (30.0, 50.0)


def test_a_surplus_verdict_does_not_hide_a_frame_without_one() -> None:
    (row,) = report(["coins"], [frame(1, "good"), frame(2, "good")], [verdict(1, "pass", 10), verdict(9, "pass", 10)])
    assert (row.frames_in, row.verdicts, row.without_verdict) == (2, 1, 1)


def test_a_station_without_frames_has_a_row() -> None:
    (coins, brick) = report(["coins", "brick"], [frame(1, "good")], [verdict(1, "pass", 10)])
    assert coins.frames_in == 1
    assert (brick.frames_in, brick.verdicts, brick.latency_p50_ms) == (0, 0, None)


def test_a_quantile_is_an_observed_value() -> None:
    assert quantile([], 0.5) is None
    assert quantile([7.0], 0.95) == 7.0
    assert quantile([float(n) for n in range(1, 101)], 0.95) == 95.0


def test_the_table_has_every_column() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(as_table(report(["coins"], [frame(1, "dent")], [verdict(1, "flag", 12)])))
    text = captured.get()
    for word in ("coins", "frames", "verdicts", "flagged", "caught", "1 of 1", "escapes", "rejects", "p95", "12"):
        assert word in text


def test_each_alert_of_the_demo_is_one_sentence() -> None:
    silent = replace(make_alert(rule="silent_camera"), message="No frame for 6 s.")
    assert alert_lines([]) == ["No alert was opened."]
    assert alert_lines([("gravel", replace(silent, resolved_at=CAPTURED)), ("brick", silent)]) == [
        "Alert at gravel, resolved (silent_camera): No frame for 6 s.",
        "Alert at brick, open (silent_camera): No frame for 6 s.",
    ]
