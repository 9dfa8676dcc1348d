"""The alert rules on recorded pictures: `python -m benchmarks.alert_rules.recorded_images FOLDER [FOLDER …] [--json
FILE]`.

FOLDER is in MVTec AD layout. Its good pictures are scored by nearest patch on `andon-tiny` against 16 of
`train/good`, as they are, with the lamp at 50 %, and the defects as well. Streams are drawn from these scores: 300 good
frames from which limits are learnt, a thousand good ones on which every alarm is false, then good ones under the faded
lamp, or one defect after another. Told are false alarms a thousand frames, and frames until the alarm.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alerts.rules.consecutive import Consecutive
from alerts.rules.k_of_n import KOfN
from alerts.rules.score_drift import ScoreDrift
from benchmarks.alert_rules.run_length import SEED, frame, simulate_until_alarm
from benchmarks.machine import describe_machine
from benchmarks.reporting import report_results
from scorer.detectors import registry
from scorer.imaging.decode import decode
from scorer.imaging.framing import Framing
from scorer.imaging.rgb import RgbImage
from scorer.recipes.calibration import calibrate
from scorer.settings import ScorerSettings
from storage.alerts.rule_inputs import VerdictEvent

NORMALS, MOST_PICTURES = 16, 120
FADED = 0.5
FALSE_REJECT_RATE = 0.02
HEALTHY, LONGEST = 1000, 500


@dataclass(frozen=True, slots=True)
class RecordedScores:
    """Scores of a set's pictures, and the threshold that its normals gave."""

    good: Sequence[float]
    faded: Sequence[float]
    defects: Sequence[float]
    threshold: float


@dataclass(frozen=True, slots=True)
class FaultRow:
    """False alarms in so many healthy frames, and frames from the fault to the alarm, the mean of the streams."""

    recorded: str
    rule: str
    fault: str
    false_alarms_per_1000: float
    frames_to_alarm: float
    never: int
    streams: int


def main() -> None:
    """Score, draw, judge and tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alert_rules.recorded_images", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args()
    rows = [
        asdict(row)
        for folder in asked.folders
        for row in simulate_streams(folder.name, score_dataset(folder), asked.streams)
    ]
    report_results({"rows": rows, "machine": describe_machine()}, asked.json)


def score_dataset(folder: Path) -> RecordedScores:
    """Score a set's pictures."""
    settings = ScorerSettings(detector="nearest-patch", device="cpu")
    detector = registry.load(settings, Framing("stretch"))

    def pictures(files: Sequence[Path]) -> list[RgbImage]:
        return [decode(file.read_bytes(), settings).picture for file in files]

    dice = np.random.default_rng(SEED)
    normals = dice.permutation(np.array(sorted((folder / "train" / "good").iterdir()), dtype=object))[:NORMALS]
    references = detector.references(pictures(list(normals)), "part")

    def scores(some: Sequence[RgbImage]) -> list[float]:
        return [float(detector.score([picture], references).image_scores[0]) for picture in some]

    tested = sorted((folder / "test").iterdir())
    good = pictures(sorted((folder / "test" / "good").iterdir())[:MOST_PICTURES])
    bad = [file for kind in tested if kind.name != "good" for file in sorted(kind.iterdir())]
    return RecordedScores(
        scores(good),
        scores([(picture * FADED).astype(np.uint8) for picture in good]),
        scores(pictures(bad[:MOST_PICTURES])),
        calibrate(references.normal_scores, FALSE_REJECT_RATE).value,
    )


def simulate_streams(name: str, recorded: RecordedScores, streams: int) -> Iterator[FaultRow]:
    """A row for each rule and the fault it is there for."""
    judged: list[tuple[Any, str, Sequence[float]]] = [
        (ScoreDrift(), f"lamp at {FADED:.0%}", recorded.faded),
        (Consecutive(), "only defects", recorded.defects),
        (KOfN(), "only defects", recorded.defects),
    ]
    for rule, fault, ill in judged:
        false, delays = 0, []
        for number in range(streams):
            dice = np.random.default_rng([SEED, number])
            learnt = [
                to_seen_verdict(place, dice.choice(recorded.good), recorded)
                for place in range(ScoreDrift().in_control_frames)
            ]
            false += _false_alarms(rule, dice, recorded, learnt)
            delays.append(_until_alarm(rule, dice, ill, recorded, learnt))
        yield FaultRow(
            name,
            rule.kind,
            fault,
            round(1000 * false / (HEALTHY * streams), 2),
            round(float(np.mean(delays)), 1),
            sum(delay >= LONGEST for delay in delays),
            streams,
        )


def _false_alarms(
    rule: Any, dice: np.random.Generator, recorded: RecordedScores, learnt: Sequence[VerdictEvent]
) -> int:
    """How often a healthy stream raises; after an alarm it begins anew."""
    left, alarms = HEALTHY, 0
    while left > 0:
        took = _until_alarm(rule, dice, recorded.good, recorded, learnt, left)
        alarms += took < left
        left -= int(took)
    return alarms


def _until_alarm(
    rule: Any,
    dice: np.random.Generator,
    scores: Sequence[float],
    recorded: RecordedScores,
    learnt: Sequence[VerdictEvent],
    longest: int = LONGEST,
) -> float:
    begin = len(learnt)

    def stream(number: int) -> VerdictEvent:
        return to_seen_verdict(begin + number, dice.choice(scores), recorded)

    return simulate_until_alarm(rule, stream, longest, learnt)


def to_seen_verdict(number: int, score: float, recorded: RecordedScores) -> VerdictEvent:
    """A verdict as the watch sees it."""
    return frame(number, flagged=score > recorded.threshold, log_score=math.log(max(score, 1e-6)))


if __name__ == "__main__":
    main()
