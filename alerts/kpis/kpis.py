"""Quality KPIs from counts: first-pass yield, flagged ppm, DPMO, false rejects and escapes.

People usually review every flagged frame, but of the passed frames only a random sample and those they come across. So
false rejects are known well and escapes poorly, and each confidence interval shows it. An interval is for the frames of
the period itself. Escapes are estimated from the random sample alone; the others that were found are a lower bound.
Frames that were labelled "unsure" count as not reviewed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts.statistics.confidence_intervals import CONFIDENCE, Estimate, hypergeometric

MILLION = 1_000_000
BONFERRONI_CONFIDENCE = (
    1 - (1 - CONFIDENCE) / 2
)  # two intervals of this confidence hold together at least with CONFIDENCE


@dataclass(frozen=True, slots=True)
class InspectionCounts:
    """The frames of a period and how people labelled them.

    Attributes:
        frames: Frames that passed or were flagged; a part that was not seen was not inspected.
        flagged: Those that were flagged.
        caught: Flagged frames labelled as defects.
        false_alarms: Flagged frames labelled as good.
        confirmed: Passed frames labelled as good.
        escaped: Passed frames labelled as defects: review caught what inspection let pass.
        sampled_good: Those of `confirmed` that were drawn at random for review.
        sampled_defects: Those of `escaped` that were drawn at random for review.
        bad_pictures: Frames beside `frames` that do not show their part properly.
        borderline: Passed frames that went to review for their score, in (review limit, threshold].
    """

    frames: int
    flagged: int
    caught: int = 0
    false_alarms: int = 0
    confirmed: int = 0
    escaped: int = 0
    sampled_good: int = 0
    sampled_defects: int = 0
    bad_pictures: int = 0
    borderline: int = 0

    @property
    def passed(self) -> int:
        """The frames that were not flagged."""
        return self.frames - self.flagged

    @property
    def drawn(self) -> int:
        """The passed frames that were drawn at random and labelled."""
        return self.sampled_good + self.sampled_defects

    @property
    def is_fully_reviewed(self) -> bool:
        """Whether every passed frame was labelled as good or as a defect."""
        return 0 < self.passed == self.confirmed + self.escaped

    def __add__(self, other: "InspectionCounts") -> "InspectionCounts":
        return InspectionCounts(
            self.frames + other.frames,
            self.flagged + other.flagged,
            self.caught + other.caught,
            self.false_alarms + other.false_alarms,
            self.confirmed + other.confirmed,
            self.escaped + other.escaped,
            self.sampled_good + other.sampled_good,
            self.sampled_defects + other.sampled_defects,
            self.bad_pictures + other.bad_pictures,
            self.borderline + other.borderline,
        )


@dataclass(frozen=True, slots=True)
class Kpis:
    """The KPIs of some counts; None where the counts do not determine one. Shares lie between 0 and 1."""

    counts: InspectionCounts
    first_pass_yield: float | None
    flagged_ppm: float | None
    dpmo: float | None
    false_alarm_share: Estimate | None
    false_reject_rate: Estimate | None
    escape_rate: Estimate | None
    escape_ppm: Estimate | None
    bad_picture_share: float | None = None
    borderline_share: float | None = None


@dataclass(frozen=True, slots=True)
class KpiRow:
    """One row of a KPI table; `station` is None for several stations together."""

    group: str
    station: str | None
    since: datetime
    until: datetime
    kpis: Kpis


def compute_kpis(counts: InspectionCounts, opportunities: int = 1) -> Kpis:
    """Return all KPIs; `opportunities` is the number of different defects that one part can have."""
    return Kpis(
        counts=counts,
        first_pass_yield=first_pass_yield(counts.passed, counts.frames),
        flagged_ppm=per_million(counts.flagged, counts.frames),
        dpmo=estimated_dpmo(counts, opportunities),
        false_alarm_share=false_alarm_share(counts),
        false_reject_rate=false_reject_rate(counts),
        escape_rate=escape_rate(counts),
        escape_ppm=escape_ppm(counts),
        bad_picture_share=bad_picture_share(counts),
        borderline_share=borderline_share(counts),
    )


def first_pass_yield(passed: int, entered: int) -> float | None:
    """Return the share of the parts that passed, 0 to 1, or None if none entered."""
    return passed / entered if entered else None


def bad_picture_share(counts: InspectionCounts) -> float | None:
    """Return the share of the captured pictures that are bad, 0 to 1, or None without any."""
    captured = counts.frames + counts.bad_pictures
    return counts.bad_pictures / captured if captured else None


def borderline_share(counts: InspectionCounts) -> float | None:
    """Return the share of the inspected frames that are borderline, 0 to 1, or None without any."""
    return counts.borderline / counts.frames if counts.frames else None


def rolled_throughput_yield(yields: Sequence[float]) -> float:
    """Return the share of parts that pass every one of several stations: the product of their yields."""
    return math.prod(yields, start=1.0)


def per_million(hits: int, trials: int) -> float | None:
    """Return the hits per million trials, or None without trials."""
    return MILLION * hits / trials if trials else None


def dpmo(defects: float, units: int, opportunities: int) -> float | None:
    """Return the defects per million opportunities: 10⁶ · defects / (units · opportunities per unit)."""
    if opportunities < 1:
        raise ValueError("A part has at least one opportunity for a defect.")
    return MILLION * defects / (units * opportunities) if units else None


def estimated_dpmo(counts: InspectionCounts, opportunities: int = 1) -> float | None:
    """Return the DPMO of the parts that entered: estimated defects among the flagged and the passed frames.

    Without a sample the escapes that were found by chance are taken to be all. None while no flagged frame was
    reviewed: a flag alone is no defect.
    """
    share = false_alarm_share(counts)
    if share is None:
        return 0.0 if counts.frames and not counts.flagged else None
    escaped = escaped_share(counts)
    escapes = counts.passed * escaped.value if escaped else counts.escaped
    defects = counts.flagged * (1 - share.value) + escapes
    return dpmo(defects, counts.frames, opportunities)


def dpmo_interval(counts: InspectionCounts, opportunities: int = 1) -> tuple[float, float] | None:
    """Return the ends of the interval of the DPMO; None where `estimated_dpmo` is, or nothing was drawn at random."""
    flagged_good = false_alarm_share(counts, BONFERRONI_CONFIDENCE)
    escaped = escaped_share(counts, BONFERRONI_CONFIDENCE)
    if flagged_good is None or escaped is None:
        return None
    fewest = counts.flagged * (1 - flagged_good.high) + counts.passed * escaped.low
    most = counts.flagged * (1 - flagged_good.low) + counts.passed * escaped.high
    low, high = (dpmo(defects, counts.frames, opportunities) for defects in (fewest, most))
    return None if low is None or high is None else (low, high)


def false_alarm_share(counts: InspectionCounts, confidence: float = CONFIDENCE) -> Estimate | None:
    """Return the share of the flagged frames that were good, or None if none of them was labelled."""
    return hypergeometric(counts.false_alarms, counts.caught + counts.false_alarms, counts.flagged, confidence)


def escaped_share(counts: InspectionCounts, confidence: float = CONFIDENCE) -> Estimate | None:
    """Return the share of the passed frames that were defects, or None if none was drawn at random and labelled.

    It is never less than the share of known escapes, nor more than the share not known to be good. Where every
    passed frame was reviewed there is nothing to estimate.
    """
    if not counts.passed:
        return None
    lower, upper = counts.escaped / counts.passed, 1 - counts.confirmed / counts.passed
    if counts.is_fully_reviewed:
        return Estimate(lower, lower, lower)
    found = hypergeometric(counts.sampled_defects, counts.drawn, counts.passed, confidence)
    if found is None:
        return None
    return Estimate(*(min(max(share, lower), upper) for share in (found.value, found.low, found.high)))


def escape_estimate_basis(counts: InspectionCounts) -> str:
    """Return one or two sentences for people about the basis of the estimate of escapes."""
    known = _plural(counts.escaped, "escape is", "escapes are")
    if counts.is_fully_reviewed:
        return f"Every passed frame was reviewed; {known} known."
    if not counts.drawn:
        return (
            f"No passed frame that was drawn at random has been reviewed, so escapes can't be estimated; {known} known."
        )
    sample = f"{_plural(counts.drawn, 'passed frame', 'passed frames')} drawn at random and reviewed"
    found = _plural(counts.sampled_defects, "defect", "defects")
    return f"Escapes are estimated from {sample}, with {found} among them; {known} known."


def escape_ppm(counts: InspectionCounts) -> Estimate | None:
    """Return the defects per million passed parts, which is what a customer sees."""
    share = escaped_share(counts)
    return None if share is None else Estimate(MILLION * share.value, MILLION * share.low, MILLION * share.high)


def false_reject_rate(counts: InspectionCounts) -> Estimate | None:
    """Return the share of the good parts that were flagged (overkill).

    Without a sample of the passed frames the escapes among them are taken to be none, as they
    are few compared with the good ones.
    """
    flagged_good = false_alarm_share(counts, BONFERRONI_CONFIDENCE)
    if flagged_good is None:
        return None
    escaped = escaped_share(counts, BONFERRONI_CONFIDENCE) or Estimate(0.0, 0.0, 0.0)
    return Estimate(
        _share(counts.flagged * flagged_good.value, counts.passed * (1 - escaped.value)),
        _share(counts.flagged * flagged_good.low, counts.passed * (1 - escaped.low)),
        _share(counts.flagged * flagged_good.high, counts.passed * (1 - escaped.high)),
    )


def escape_rate(counts: InspectionCounts) -> Estimate | None:
    """Return the share of the defects that passed (underkill); None without a sample or a labelled flagged frame."""
    flagged_good, escaped = (
        false_alarm_share(counts, BONFERRONI_CONFIDENCE),
        escaped_share(counts, BONFERRONI_CONFIDENCE),
    )
    if flagged_good is None or escaped is None:
        return None
    return Estimate(
        _share(counts.passed * escaped.value, counts.flagged * (1 - flagged_good.value)),
        _share(counts.passed * escaped.low, counts.flagged * (1 - flagged_good.low)),
        _share(counts.passed * escaped.high, counts.flagged * (1 - flagged_good.high)),
    )


@dataclass(frozen=True, slots=True)
class ParetoBar:
    """One defect type: its count, its share, and the cumulative share of it and the more frequent ones."""

    defect: str
    count: int
    share: float
    cumulative: float


def pareto(defects: Mapping[str, int]) -> list[ParetoBar]:
    """Return the bars of a Pareto chart, most frequent first, equal ones by name."""
    total = sum(defects.values())
    bars, cumulative = [], 0
    for defect, count in sorted(defects.items(), key=lambda pair: (-pair[1], pair[0])):
        if count:
            cumulative += count
            bars.append(ParetoBar(defect, count, count / total, cumulative / total))
    return bars


def _plural(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}" if number else f"no {one}"


def _share(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest > 0 else 0.0
