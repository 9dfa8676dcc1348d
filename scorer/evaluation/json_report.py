"""The figures as JSON, for other programs and for a choice made later."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from scorer.evaluation.results_log import EvaluationMetrics, ResultKey
from scorer.evaluation.summary import (
    MethodOnBackbone,
    SummaryRow,
    auroc_by_dataset,
    choose_leaving_one_out,
    summarise_by_dataset,
    summarise_over_datasets,
)


def write_json_report(path: Path, cells: Mapping[ResultKey, EvaluationMetrics], missing: Mapping[str, str]) -> None:
    """Write every line of the tables, the choices, what could not be measured, and the machine that times are of."""
    lines = summarise_by_dataset(cells)
    auroc = auroc_by_dataset(lines)
    several = len({line.dataset for line in lines}) > 1
    result = {
        "lines": [_plain(line) for line in lines],
        "means": [_plain(line) for line in summarise_over_datasets(cells)] if several else [],
        "choices": [asdict(choice) for choice in choose_leaving_one_out(auroc)] if several else [],
        "missing": dict(missing),
        "machine": {
            "processor": torch.cpu.get_capabilities().get("cpu_name", "unknown"),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def read_auroc(path: Path) -> dict[MethodOnBackbone, dict[str, float]]:
    """Mean AUROC over all numbers of shots of each entry on each dataset, for `choose_leaving_one_out`."""
    found: dict[MethodOnBackbone, dict[str, list[float]]] = {}
    for line in json.loads(path.read_text(encoding="utf-8"))["lines"]:
        entry = MethodOnBackbone(line["method"], line["backbone"])
        found.setdefault(entry, {}).setdefault(line["dataset"], []).append(line["auroc"]["mean"])
    return {entry: {name: sum(some) / len(some) for name, some in by.items()} for entry, by in found.items()}


def _plain(line: SummaryRow) -> dict[str, object]:
    return {**asdict(line.entry), **{name: value for name, value in asdict(line).items() if name != "entry"}}
