"""The alert rules on recorded images: ``python -m benchmarks.alert_rules.recorded_images FOLDER… [--json FILE]``.

FOLDER is in MVTec AD layout. Its good images are scored by nearest patch on `andon-tiny` against 16 of ``train/good``:
as they are, and with the lamp at 50 %; its defects are scored as well. Streams are drawn from these scores: 300 good
frames that limits are estimated from, a thousand good ones on which every alarm is false, then good ones under the dim
lamp, or only defects. The results are false alarms per thousand frames, and frames from the fault to the alarm.
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
from imaging.decode import decode
from imaging.rgb import RgbImage
from scorer.detectors import registry
from scorer.imaging.framing import Framing
from scorer.recipes.calibration import calibrate
from scorer.settings import ScorerSettings
from storage.alerts.rule_inputs import VerdictEvent
from storage.line.decision import decide

NORMALS, MAX_IMAGES = 16, 120
FADED = 0.5
FALSE_REJECT_RATE = 0.02
HEALTHY, LONGEST = 1000, 500


@dataclass(frozen=True, slots=True)
class RecordedScores:
    """The scores of a dataset's images, and the threshold calibrated on its normals."""

    good: Sequence[float]
    faded: Sequence[float]
    defects: Sequence[float]
    threshold: float


@dataclass(frozen=True, slots=True)
class FaultRow:
    """False alarms per thousand healthy frames, and the mean number of frames from the fault to the alarm."""

    recorded: str
    rule: str
    fault: str
    false_alarms_per_1000: float
    frames_to_alarm: float
    never: int
    streams: int


def main() -> None:
    """Score the images, simulate streams, and report the rules' alarms."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alert_rules.recorded_images", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    rows = [
        asdict(row)
        for folder in options.folders
        for row in simulate_streams(folder.name, score_dataset(folder), options.streams)
    ]
    report_results({"rows": rows, "machine": describe_machine()}, options.json)


def score_dataset(folder: Path) -> RecordedScores:
    """Score a dataset's images as they are, dimmed, and with defects."""
    settings = ScorerSettings(detector="nearest-patch", device="cpu")
    detector = registry.load(settings, Framing("stretch"))

    def read(files: Sequence[Path]) -> list[RgbImage]:
        return [decode(file.read_bytes(), settings.image_limits).pixels for file in files]

    generator = np.random.default_rng(SEED)
    normals = generator.permutation(np.array(sorted((folder / "train" / "good").iterdir()), dtype=object))[:NORMALS]
    references = detector.references(read(list(normals)), "part")

    def score(images: Sequence[RgbImage]) -> list[float]:
        return [float(detector.score([image], references).image_scores[0]) for image in images]

    tested = sorted((folder / "test").iterdir())
    good = read(sorted((folder / "test" / "good").iterdir())[:MAX_IMAGES])
    bad = [file for kind in tested if kind.name != "good" for file in sorted(kind.iterdir())]
    return RecordedScores(
        score(good),
        score([(image * FADED).astype(np.uint8) for image in good]),
        score(read(bad[:MAX_IMAGES])),
        calibrate(references.normal_scores, FALSE_REJECT_RATE).value,
    )


def simulate_streams(name: str, recorded: RecordedScores, streams: int) -> Iterator[FaultRow]:
    """Yield a row for each rule and the fault that it is meant to detect."""
    rules: list[tuple[Any, str, Sequence[float]]] = [
        (ScoreDrift(), f"lamp at {FADED:.0%}", recorded.faded),
        (Consecutive(), "only defects", recorded.defects),
        (KOfN(), "only defects", recorded.defects),
    ]
    for rule, fault, faulty_scores in rules:
        false, delays = 0, []
        for number in range(streams):
            generator = np.random.default_rng([SEED, number])
            in_control = [
                to_seen_verdict(index, generator.choice(recorded.good), recorded)
                for index in range(ScoreDrift().in_control_frames)
            ]
            false += _false_alarms(rule, generator, recorded, in_control)
            delays.append(_frames_to_alarm(rule, generator, faulty_scores, recorded, in_control))
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
    rule: Any, generator: np.random.Generator, recorded: RecordedScores, in_control: Sequence[VerdictEvent]
) -> int:
    """Return the number of alarms in a healthy stream; after an alarm the rule starts again."""
    left, alarms = HEALTHY, 0
    while left > 0:
        took = _frames_to_alarm(rule, generator, recorded.good, recorded, in_control, left)
        alarms += took < left
        left -= int(took)
    return alarms


def _frames_to_alarm(
    rule: Any,
    generator: np.random.Generator,
    scores: Sequence[float],
    recorded: RecordedScores,
    in_control: Sequence[VerdictEvent],
    longest: int = LONGEST,
) -> float:
    begin = len(in_control)

    def stream(number: int) -> VerdictEvent:
        return to_seen_verdict(begin + number, generator.choice(scores), recorded)

    return simulate_until_alarm(rule, stream, longest, in_control)


def to_seen_verdict(number: int, score: float, recorded: RecordedScores) -> VerdictEvent:
    """Return the verdict of a score as the rules see it."""
    return frame(number, flagged=decide(score, recorded.threshold) == "flag", log_score=math.log(max(score, 1e-6)))


if __name__ == "__main__":
    main()
