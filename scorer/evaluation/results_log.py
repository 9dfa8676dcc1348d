"""The results log: one line of JSON per evaluated draw, so that an interrupted evaluation can resume."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from scorer.evaluation.errors import EvaluationError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True)
class ResultKey:
    """Everything that determines a result: equal keys have equal scores.

    Attributes:
        method: The method's spec, such as ``patchcore`` or ``inctrl:coreset_patches=1024``.
        backbone: The backbone's name, or ``its own`` for a detector that brings one.
        model_id: The detector's hash of weights and configuration.
        framing: The framing's name.
        dataset: The name of the dataset's folder.
        contents: A hash of the dataset's file names and sizes.
        limit: The most normals and the most anomalies tested; None where all are.
        shots: How many normals the references were computed from.
        seed: The seed of the draw of the shots.
    """

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
    """The metrics of one draw of the shots; areas and rates are in [0, 1].

    Attributes:
        auroc: Area under the ROC curve of image scores.
        auprc: Average precision of image scores.
        pixel_auroc: Area under the ROC curve of pixels; None for a dataset without masks.
        aupro: Area under the per-region overlap up to 30 % false positives; None for a dataset without masks.
        false_reject_rate: The share of good images above the threshold calibrated on the shots' own scores.
        detection_rate: The share of anomalies above that threshold.
        log_score_std: Standard deviation of the logarithm of good images' scores; None if one is not positive.
        encode_ms: Milliseconds per image for framing and network.
        score_ms: Milliseconds per image for everything after the network.
        fit_ms: Milliseconds for the references of all shots; encoding is not counted where tokens are cached.
        good: How many good images were tested.
        bad: How many anomalies were tested.
    """

    auroc: float
    auprc: float
    pixel_auroc: float | None
    aupro: float | None
    false_reject_rate: float
    detection_rate: float
    log_score_std: float | None
    encode_ms: float
    score_ms: float
    fit_ms: float
    good: int
    bad: int


Key = TypeVar("Key", bound="DataclassInstance")
Result = TypeVar("Result", bound="DataclassInstance")


class JsonLinesLog(Generic[Key, Result]):
    """Results by key, appended to a JSON-lines file as soon as they are known.

    Several processes may append to one file. An incomplete last line, as a killed process leaves it, is dropped.
    """

    def __init__(self, path: Path, key_type: type[Key], result_type: type[Result]) -> None:
        """Read the file, if it exists; both types are dataclasses of plain JSON values without a field in common.

        Raises:
            EvaluationError: A complete line is not a result.
        """
        self.path = path
        self._key_type = key_type
        self._result_type = result_type
        self._results = dict(self._read()) if path.exists() else {}

    def __contains__(self, key: Key) -> bool:
        return key in self._results

    def __getitem__(self, key: Key) -> Result:
        return self._results[key]

    def add(self, key: Key, result: Result) -> None:
        """Append a result; it is on disk when this returns."""
        line = json.dumps({**asdict(key), **asdict(result)}) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._results[key] = result

    def _read(self) -> Iterator[tuple[Key, Result]]:
        content = self.path.read_bytes()
        complete = content[: content.rfind(b"\n") + 1]
        if len(complete) < len(content):
            os.truncate(self.path, len(complete))
        for number, line in enumerate(complete.splitlines(), 1):
            try:
                values = json.loads(line)
                key = self._key_type(**{field.name: values[field.name] for field in fields(self._key_type)})
                result = self._result_type(**{field.name: values[field.name] for field in fields(self._result_type)})
            except (ValueError, KeyError, TypeError) as error:
                raise EvaluationError(
                    f"Line {number} of {self.path} is not a result of this evaluation; remove the line, or name "
                    "another file with --results-log."
                ) from error
            yield key, result


class ResultsLog(JsonLinesLog[ResultKey, EvaluationMetrics]):
    """The results of `andon bench accuracy`."""

    def __init__(self, path: Path) -> None:
        """Read the file, if it exists; raises `EvaluationError`."""
        super().__init__(path, ResultKey, EvaluationMetrics)
