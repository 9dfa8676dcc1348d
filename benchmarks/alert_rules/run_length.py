"""Run lengths of the alert rules on simulated streams, beside their values in theory.

``python -m benchmarks.alert_rules.run_length [--quick] [--json FILE]`` evaluates the rules on every frame of streams
whose shift is known, for the delay of detection and for false alarms. Log-scores are normally distributed, and flags
are drawn frame by frame. Every number follows from the seed.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.rules.consecutive import Consecutive
from alerts.rules.k_of_n import KOfN
from alerts.rules.rule import Raised
from alerts.rules.score_drift import ScoreDrift
from alerts.statistics import run_length
from alerts.statistics.control_charts import InControlProcess, in_control, western_electric
from alerts.views import StationView
from storage.alerts.rule_inputs import VerdictEvent

SEED = 20260314
BEGIN = datetime(2026, 3, 14, 6, 0, tzinfo=UTC)
MEAN, SIGMA = math.log(0.05), 0.2  # of a healthy station's log-scores; the run lengths do not depend on them
FLAGGED, FLAGGED_FAULTY = 0.08, 0.5  # fraction of flagged frames on a healthy line, and on a faulty one
EARLY = 500
TEXTBOOK_CUSUM, TEXTBOOK_EWMA = (0.5, 5.0), (0.1, 2.814)


@dataclass(frozen=True, slots=True)
class RunLengthRow:
    """The average run length of a rule under one condition.

    Attributes:
        rule: The rule, or the chart with its parameters.
        condition: The shift or the flag rate of the streams.
        streams: How many streams were simulated.
        frames_to_signal: The mean number of frames to the signal.
        standard_error: The standard error of that mean.
        never: How many streams had no signal.
        theory: The mean according to theory; None if unknown.
        early: The fraction of streams with a signal within `EARLY` frames; None if streams were shorter.
    """

    rule: str
    condition: str
    streams: int
    frames_to_signal: float
    standard_error: float
    never: int
    theory: float | None
    early: float | None

    @property
    def per_thousand(self) -> float:
        """Signals per thousand frames."""
        return 1000 / self.frames_to_signal


def run_lengths_of_charts(
    streams: int,
    longest: int,
    shift: float,
    slack: float,
    limit: float,
    weight: float,
    width: float,
    estimated_from: int | None,
    is_corrected: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the frames to the first signal of CUSUM and EWMA in each stream, or `longest` without one.

    Args:
        streams: How many streams to simulate.
        longest: The most frames per stream.
        shift: The shift of the mean, in sigmas.
        slack: CUSUM's slack, in sigmas.
        limit: CUSUM's limit, in sigmas.
        weight: EWMA's weight of the newest frame.
        width: EWMA's limits, in sigmas of the average.
        estimated_from: How many frames the centre and sigma are estimated from; None if they are known.
        is_corrected: Whether sigma is corrected for the sample size, as the rule does.
    """
    generator = np.random.default_rng([SEED, streams, round(100 * shift), round(100 * limit), estimated_from or 0])
    centre, sigma = np.zeros(streams), np.ones(streams)
    if estimated_from is not None:
        first = generator.standard_normal((streams, estimated_from))
        processes = [in_control(values) for values in first]
        processes = [process.corrected_for_sample_size() for process in processes] if is_corrected else processes
        centre, sigma = (
            np.array([process.centre for process in processes]),
            np.array([process.sigma for process in processes]),
        )
    high, low, average = np.zeros(streams), np.zeros(streams), np.zeros(streams)
    by_cusum, by_ewma = np.full(streams, float(longest)), np.full(streams, float(longest))
    for number in range(1, longest + 1):
        z = (generator.standard_normal(streams) + shift - centre) / sigma
        high, low = np.maximum(0, z - slack + high), np.maximum(0, -z - slack + low)
        average = weight * z + (1 - weight) * average
        edge = width * math.sqrt(weight / (2 - weight) * (1 - (1 - weight) ** (2 * number)))
        by_cusum[(np.maximum(high, low) > limit) & (by_cusum == longest)] = number
        by_ewma[(np.abs(average) > edge) & (by_ewma == longest)] = number
        if max(by_cusum.max(), by_ewma.max()) < longest:
            break
    return by_cusum, by_ewma


def run_length_of_western_electric(streams: int, shift: float) -> NDArray[np.float64]:
    """Return the frames to the first signal of the four Western Electric rules in each stream."""
    generator = np.random.default_rng([SEED, round(100 * shift)])
    process = InControlProcess(0.0, 1.0, 1000)
    lengths = []
    for _ in range(streams):
        values = generator.standard_normal(200) + shift
        while not any(signals := western_electric(values, process)):
            values = np.concatenate([values, generator.standard_normal(2 * len(values)) + shift])
        lengths.append(1 + next(index for index, violations in enumerate(signals) if violations))
    return np.array(lengths, dtype=np.float64)


def frame(number: int, *, flagged: bool, log_score: float) -> VerdictEvent:
    """Return the verdict of the frame of that number, one per second."""
    at = BEGIN + timedelta(seconds=number)
    return VerdictEvent(number, 1, at, at, at, "flag" if flagged else "pass", math.exp(log_score), 1, "m")


def simulate_until_alarm(
    rule: Any, stream: Callable[[int], VerdictEvent], longest: int, in_control: Sequence[VerdictEvent] = ()
) -> float:
    """Return the frames until the rule raises an alert, evaluated on the station's state after every frame."""
    newest: list[VerdictEvent] = []
    for number in range(1, longest + 1):
        newest = [*newest[-499:], stream(number)]
        now = newest[-1].captured_at
        view = StationView(now=now, station="s", frames=newest, in_control=in_control, decided_until=now)
        if isinstance(rule.evaluate(view), Raised):
            return float(number)
    return float(longest)


def row(rule: str, condition: str, lengths: NDArray[np.float64], longest: int, theory: float | None) -> RunLengthRow:
    """Summarise run lengths that were cut at `longest` frames."""
    never = int(np.count_nonzero(lengths >= longest))
    total, signals = float(lengths.sum()), len(lengths) - never
    mean = total / signals if signals else math.inf  # frames per signal, which is unbiased also for cut streams
    spread = (
        mean if never else float(lengths.std(ddof=1))
    )  # of a cut sample: the deviation of an exponential distribution
    error = spread / math.sqrt(signals) if signals else math.inf
    early = float(np.mean(lengths <= EARLY)) if longest > EARLY else None
    return RunLengthRow(rule, condition, len(lengths), mean, error, never, theory, early)


def drift_rows(quick: bool) -> list[RunLengthRow]:
    """Return rows of CUSUM and EWMA with known and with estimated limits."""
    rule = ScoreDrift()
    rows = []
    limits = [("textbook", *TEXTBOOK_CUSUM, *TEXTBOOK_EWMA)]
    limits.append(("Andon", rule.cusum_slack, rule.cusum_limit, rule.ewma_weight, rule.ewma_width))
    for name, slack, limit, weight, width in limits:
        for shift in (0.0, 0.5, 1.0, 2.0, 3.0):
            is_rare = name == "Andon" and shift == 0
            streams, longest = (400 if quick else 4000), (20_000 if is_rare and not quick else 5_000)
            by_cusum, by_ewma = run_lengths_of_charts(streams, longest, shift, slack, limit, weight, width, None)
            condition = f"shift {shift:g} σ" if shift else "no shift"
            theory = run_length.cusum(shift, slack, limit), run_length.ewma(shift, weight, width)
            rows.append(row(f"CUSUM k={slack:g} h={limit:g} ({name})", condition, by_cusum, longest, theory[0]))
            rows.append(row(f"EWMA λ={weight:g} L={width:g} ({name})", condition, by_ewma, longest, theory[1]))
    for estimated_from, is_corrected in product((40, rule.in_control_frames), (False, True)):
        for shift in (0.0, 1.0, 2.0):
            lengths = np.minimum(
                *run_lengths_of_charts(
                    400 if quick else 4000,
                    10_000,
                    shift,
                    rule.cusum_slack,
                    rule.cusum_limit,
                    rule.ewma_weight,
                    rule.ewma_width,
                    estimated_from,
                    is_corrected,
                )
            )
            condition = f"shift {shift:g} σ" if shift else "no shift"
            name = f"score_drift, limits from {estimated_from} frames" + ("" if is_corrected else ", not corrected")
            rows.append(row(name, condition, lengths, 10_000, None))
    return rows


def western_electric_rows(quick: bool) -> list[RunLengthRow]:
    """Return rows of the Western Electric rules beside the published run lengths."""
    published = {0.0: 91.75, 1.0: 9.22, 2.0: 3.13, 3.0: 1.68}  # Champ and Woodall 1987, rules 1 to 4
    streams = 200 if quick else 1000
    return [
        row("Western Electric 1 to 4", f"shift {shift:g} σ" if shift else "no shift", lengths, 10**9, theory)
        for shift, theory in published.items()
        for lengths in [run_length_of_western_electric(streams, shift)]
    ]


def flag_rows(quick: bool) -> list[RunLengthRow]:
    """Return rows of the rules that count flags."""
    rows = []
    in_a_row, several = Consecutive(), KOfN()
    rules: list[tuple[Consecutive | KOfN, Callable[[float], float]]] = [
        (in_a_row, lambda probability: run_length.consecutive(probability, in_a_row.count)),
        (several, lambda probability: run_length.k_of_n(probability, several.k, several.n)),
    ]
    for rule, theory in rules:
        for probability in (FLAGGED, 0.3, FLAGGED_FAULTY):
            generator = np.random.default_rng([SEED, round(100 * probability)])
            streams, longest = (30 if quick else 150), (300 if probability == FLAGGED else 3000)

            def stream(
                number: int, generator: np.random.Generator = generator, probability: float = probability
            ) -> VerdictEvent:
                return frame(number, flagged=bool(generator.uniform() < probability), log_score=MEAN)

            lengths = np.array([simulate_until_alarm(rule, stream, longest) for _ in range(streams)])
            rows.append(row(rule.kind, f"{probability:.0%} flagged", lengths, longest, theory(probability)))
    return rows


def whole_rule_rows(quick: bool) -> list[RunLengthRow]:
    """Return rows of the drift rule as the alert service runs it, on streams with 8 % of defects."""
    rule = ScoreDrift()
    rows = []
    for shift in (1.0, 2.0):
        generator = np.random.default_rng([SEED, 7, round(100 * shift)])
        lengths = []
        for _ in range(10 if quick else 60):
            first = [
                frame(n, flagged=False, log_score=generator.normal(MEAN, SIGMA)) for n in range(rule.in_control_frames)
            ]
            begin = len(first)

            def stream(
                number: int, generator: Any = generator, begin: int = begin, shift: float = shift
            ) -> VerdictEvent:
                flagged = bool(generator.uniform() < FLAGGED)
                return frame(begin + number, flagged=flagged, log_score=generator.normal(MEAN + shift * SIGMA, SIGMA))

            lengths.append(simulate_until_alarm(rule, stream, 2000, first))
        name = "score_drift, 8 % of the frames defects"
        rows.append(row(name, f"shift {shift:g} σ", np.array(lengths), 2000, None))
    return rows


def as_markdown(rows: Sequence[RunLengthRow]) -> str:
    """Return the rows as a pipe table."""
    lines = [
        f"| rule | line | frames to the signal | theory | signals per 1,000 frames | signal within {EARLY} |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for run in rows:
        frames = (
            f"{run.frames_to_signal:,.1f} ± {run.standard_error:,.1f}"
            if math.isfinite(run.frames_to_signal)
            else "no signal"
        )
        theory = "" if run.theory is None else f"{run.theory:,.1f}"
        early = "" if run.early is None else f"{run.early:.1%}"
        lines.append(f"| {run.rule} | {run.condition} | {frames} | {theory} | {run.per_thousand:.3g} | {early} |")
    return "\n".join(lines)


def main() -> None:
    """Simulate, print and, with --json, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the streams")
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    options = parser.parse_args()
    started_at = time.perf_counter()
    rows = [
        *drift_rows(options.quick),
        *western_electric_rows(options.quick),
        *flag_rows(options.quick),
        *whole_rule_rows(options.quick),
    ]
    print(as_markdown(rows))
    print(f"\n{len(rows)} rows in {time.perf_counter() - started_at:.0f} s, seed {SEED}")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(run) for run in rows], indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
