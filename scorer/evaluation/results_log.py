"""What is measured once and never again: a cell of the accuracy table, and the file that remembers all of them."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from scorer.evaluation.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class ResultKey:
    """All that decides a cell: equal keys score equally. `limit` is None where every image is tested."""

    method: str
    backbone: str
    model_id: str
    framing: str
    dataset: str
    contents: str
    limit: int | None
    shots: int
    seed: int


@dataclass(frozen=True, slots=True)
class EvaluationMetrics:
    """What one draw of the shots came to; areas and shares in [0, 1], times in milliseconds.

    pixel_auroc and aupro: None where there are no masks. flagged and caught: shares of good images and of anomalies
    above the threshold that the shots' own scores calibrate. log_spread: standard deviation of the logarithm of good
    images' scores, None where one isn't positive. encode_ms: framing and network, an image. judge_ms: the rest, an
    image. fit_ms: references of all shots, without encoding them where tokens were there already.
    """

    auroc: float
    auprc: float
    pixel_auroc: float | None
    aupro: float | None
    flagged: float
    caught: float
    log_score_std: float | None
    encode_ms: float
    score_ms: float
    fit_ms: float
    good: int
    bad: int


class ResultsLog:
    """Cells by key, in a file with one JSON object a line; a cell is written when it is done, so any stop is harmless.

    Several processes may write to one file. A last line that was cut short is dropped; another that can't be read
    raises `EvaluationError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cells = dict(self._read()) if path.exists() else {}

    def __contains__(self, key: ResultKey) -> bool:
        return key in self._cells

    def __getitem__(self, key: ResultKey) -> EvaluationMetrics:
        return self._cells[key]

    def add(self, key: ResultKey, figures: EvaluationMetrics) -> None:
        """Remember a cell, on disk before this returns."""
        line = json.dumps({**asdict(key), **asdict(figures)}) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._cells[key] = figures

    def _read(self) -> Iterator[tuple[ResultKey, EvaluationMetrics]]:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                read = json.loads(line)
                key = ResultKey(**{field.name: read[field.name] for field in fields(ResultKey)})
                yield key, EvaluationMetrics(**{field.name: read[field.name] for field in fields(EvaluationMetrics)})
            except (ValueError, KeyError, TypeError) as error:
                raise EvaluationError(
                    f"Line {number} of {self.path} is no cell of an accuracy table; take the line away, or name "
                    "another file with --cells."
                ) from error
