"""The results as JSON, for other programs and for choosing a method later."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

from scorer.engines.devices import processor_name, torch_threads
from scorer.evaluation.results_log import EvaluationMetrics, ResultKey
from scorer.evaluation.summary import (
    MethodOnBackbone,
    SummaryRow,
    auroc_by_dataset,
    choose_leaving_one_out,
    summarise_by_dataset,
    summarise_over_datasets,
)


def write_json_report(path: Path, metrics: Mapping[ResultKey, EvaluationMetrics], missing: Mapping[str, str]) -> None:
    """Write every row of the tables, the choices, the runs that failed, and the machine of the times."""
    rows = summarise_by_dataset(metrics)
    has_means = len({row.dataset for row in rows}) > 1
    report = {
        "rows": [_to_json(row) for row in rows],
        "means": [_to_json(row) for row in summarise_over_datasets(metrics)] if has_means else [],
        "choices": [asdict(choice) for choice in choose_leaving_one_out(auroc_by_dataset(rows))] if has_means else [],
        "missing": dict(missing),
        "machine": {"processor": processor_name(), "threads": torch_threads(), "torch": version("torch")},
    }
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def read_auroc(path: Path) -> dict[MethodOnBackbone, dict[str, float]]:
    """Return the mean AUROC over all numbers of shots, by method and dataset, for `choose_leaving_one_out`."""
    found: dict[MethodOnBackbone, dict[str, list[float]]] = {}
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
        by_dataset = found.setdefault(MethodOnBackbone(row["method"], row["backbone"]), {})
        by_dataset.setdefault(row["dataset"], []).append(row["auroc"]["mean"])
    return {entry: {name: fmean(values) for name, values in by_dataset.items()} for entry, by_dataset in found.items()}


def _to_json(row: SummaryRow) -> dict[str, object]:
    values = asdict(row)
    return {**values.pop("entry"), **values}
