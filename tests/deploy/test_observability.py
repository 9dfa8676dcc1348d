"""Prometheus and Grafana query only metrics that our processes serve."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

import alerts.metrics
import andon.services.metrics_server
import ingest.metrics
import outputs.metrics
import scorer.metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ROOMS_WITH_METRICS = (
    alerts.metrics,
    andon.services.metrics_server,
    ingest.metrics,
    outputs.metrics,
    scorer.metrics,
)


def served_metrics() -> set[str]:
    """The names that /metrics would show, such as ``andon_score_bucket``."""
    names: set[str] = set()
    for family in REGISTRY.collect():
        names |= {family.name, f"{family.name}_total"}
        if family.type == "histogram":
            names |= {f"{family.name}{part}" for part in ("_bucket", "_sum", "_count")}
    return names


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in json.loads((DEPLOY / "grafana" / "boards" / "andon.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_queried_metric_is_served(where: str, expression: str) -> None:
    queried = set(re.findall(r"\bandon_[a-z_]+", expression))
    assert queried - served_metrics() == set(), where


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_has_a_summary_and_a_severity(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"].endswith(".")
