"""The quality people's numbers from counts: first-pass yield, flagged ppm, DPMO, false rejects and escapes.

What was flagged is looked at by people, as a rule all of it. Of what passed, a random sample is, and what people come
across. So false rejects are known well and escapes poorly, and each interval says so. It covers the frames of the
period that was asked for. Escapes are estimated from the random sample alone; what was found otherwise is what there
is at least. Reviews that say "unsure" count as not looked at.
"""

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
    """One period's frames and what people said of them; `frames` leaves out those without a reference.

    Of the flagged: `false_alarms` and `caught` (defects). Of the passed: `confirmed` (good) and `escaped` (defects),
    and among these `sampled_good` and `sampled_defects`, which were drawn at random for review.
    """

    frames: int
    flagged: int
    caught: int = 0
    false_alarms: int = 0
    confirmed: int = 0
    escaped: int = 0
    sampled_good: int = 0
    sampled_defects: int = 0

    @property
    def passed(self) -> int:
        return self.frames - self.flagged

    @property
    def drawn(self) -> int:
        return self.sampled_good + self.sampled_defects

    @property
    def is_fully_reviewed(self) -> bool:
        """Whether every passed frame was called good or a defect."""
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
        )


@dataclass(frozen=True, slots=True)
class Kpis:
    """None where the counts can't say."""

    counts: InspectionCounts
    first_pass_yield: float | None
    flagged_ppm: float | None
    dpmo: float | None
    false_alarm_share: Estimate | None
    false_reject_rate: Estimate | None
    escape_rate: Estimate | None
    escape_ppm: Estimate | None


@dataclass(frozen=True, slots=True)
class KpiRow:
    """One line of a KPI table; `station` is None where all are together."""

    group: str
    station: str | None
    since: datetime
    until: datetime
    kpis: Kpis


def compute_kpis(counts: InspectionCounts, opportunities: int = 1) -> Kpis:
    """All of them; `opportunities` is how many different defects one part can have."""
    return Kpis(
        counts=counts,
        first_pass_yield=first_pass_yield(counts.passed, counts.frames),
        flagged_ppm=per_million(counts.flagged, counts.frames),
        dpmo=estimated_dpmo(counts, opportunities),
        false_alarm_share=false_alarm_share(counts),
        false_reject_rate=false_reject_rate(counts),
        escape_rate=escape_rate(counts),
        escape_ppm=escape_ppm(counts),
    )


def first_pass_yield(passed: int, entered: int) -> float | None:
    """Share of the parts that entered and went through without being taken out."""
    return passed / entered if entered else None


def rolled_throughput_yield(yields: Sequence[float]) -> float:
    """The share that goes through every one of several stations: the product of their yields."""
    share = 1.0
    for one in yields:
        share *= one
    return share


def per_million(hits: int, trials: int) -> float | None:
    return MILLION * hits / trials if trials else None


def dpmo(defects: float, units: int, opportunities: int) -> float | None:
    """Defects per million opportunities: 10⁶ · defects / (units · opportunities per unit)."""
    if opportunities < 1:
        raise ValueError("A part has at least one opportunity for a defect.")
    return MILLION * defects / (units * opportunities) if units else None


def estimated_dpmo(counts: InspectionCounts, opportunities: int = 1) -> float | None:
    """DPMO of the parts that came in: defects thought to be among the flagged and, by the sample, among the passed.

    Without a sample the escapes that people came across are taken to be all. None while no flagged frame was looked
    at: a flag alone is no defect.
    """
    share = false_alarm_share(counts)
    if share is None:
        return 0.0 if counts.frames and not counts.flagged else None
    let_through = escaped_share(counts)
    escapes = counts.passed * let_through.value if let_through else counts.escaped
    defects = counts.flagged * (1 - share.value) + escapes
    return dpmo(defects, counts.frames, opportunities)


def false_alarm_share(counts: InspectionCounts, confidence: float = CONFIDENCE) -> Estimate | None:
    """Share of the flagged frames that were good."""
    return hypergeometric(counts.false_alarms, counts.caught + counts.false_alarms, counts.flagged, confidence)


def escaped_share(counts: InspectionCounts, confidence: float = CONFIDENCE) -> Estimate | None:
    """Share of the passed frames that were defects, from those drawn at random; None while none of them was reviewed.

    It is never less than the share of those that are known, nor more than what is not known to be good. Where every
    passed frame was reviewed there is nothing to estimate.
    """
    if not counts.passed:
        return None
    least, most = counts.escaped / counts.passed, 1 - counts.confirmed / counts.passed
    if counts.is_fully_reviewed:
        return Estimate(least, least, least)
    found = hypergeometric(counts.sampled_defects, counts.drawn, counts.passed, confidence)
    if found is None:
        return None
    return Estimate(*(min(max(share, least), most) for share in (found.value, found.low, found.high)))


def escape_estimate_basis(counts: InspectionCounts) -> str:
    """What is known of escapes, in a sentence or two for people."""
    known = _plural(counts.escaped, "escape is", "escapes are")
    if counts.is_fully_reviewed:
        return f"Every passed frame was reviewed; {known} known."
    if not counts.drawn:
        return f"No passed frame that was drawn at random has been reviewed, so escapes can't be told; {known} known."
    looked_at = f"{_plural(counts.drawn, 'passed frame', 'passed frames')} drawn at random and reviewed"
    found = _plural(counts.sampled_defects, "defect", "defects")
    return f"Escapes are estimated from {looked_at}, with {found} among them; {known} known."


def escape_ppm(counts: InspectionCounts) -> Estimate | None:
    """Defects among a million passed parts: what the customer sees."""
    share = escaped_share(counts)
    return None if share is None else Estimate(MILLION * share.value, MILLION * share.low, MILLION * share.high)


def false_reject_rate(counts: InspectionCounts) -> Estimate | None:
    """Overkill: share of the good parts that were flagged.

    Without a sample of the passed frames the escapes among them are taken to be none; they are few beside the good.
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
    """Underkill: share of the defects that passed. None without a sample, or a review of a flagged frame."""
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
    """One defect type: how many, its share, and the share of it and all more frequent ones."""

    defect: str
    count: int
    share: float
    cumulative: float


def pareto(defects: Mapping[str, int]) -> list[ParetoBar]:
    """Most frequent first; equal ones by name."""
    total = sum(defects.values())
    bars, so_far = [], 0
    for defect, count in sorted(defects.items(), key=lambda pair: (-pair[1], pair[0])):
        if count:
            so_far += count
            bars.append(ParetoBar(defect, count, count / total, so_far / total))
    return bars


def _plural(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}" if number else f"no {one}"


def _share(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest > 0 else 0.0
