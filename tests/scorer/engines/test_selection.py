"""The engine is the fastest of a short measurement, or the one in the settings."""

import json
import time
from pathlib import Path

import pytest
import torch
from structlog.testing import capture_logs

from scorer.engines.measurements import FILE, EngineConfig, EngineMeasurement, read_measurements
from scorer.engines.selection import MIN_SPEEDUP, Tokens, measure_engines, select_engine
from scorer.errors import UnsupportedEngine
from scorer.settings import ScorerSettings

CPU = torch.device("cpu")
IMAGES = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
TORCH, OPENVINO, ONNX = (EngineConfig(engine, "fp32") for engine in ("torch", "openvino", "onnxruntime"))


class FakeBackbones:
    """Builds backbones of given durations, on a clock that only they advance."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, takes_s: dict[EngineConfig, float]) -> None:
        self.takes_s = takes_s
        self.built: list[EngineConfig] = []
        self.now_s = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now_s)

    def build(self, config: EngineConfig) -> Tokens:
        self.built.append(config)

        def tokens(images: torch.Tensor) -> torch.Tensor:
            self.now_s += self.takes_s[config]
            return torch.ones(len(images), 2)

        return tokens

    def measure(self, *candidates: EngineConfig) -> EngineMeasurement:
        return measure_engines("tiny", "here", candidates, self.build, IMAGES, 1)


def test_the_fastest_engine_is_chosen_and_rates_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    measurement = FakeBackbones(monkeypatch, {TORCH: 0.5, OPENVINO: 0.4, ONNX: 0.25}).measure(TORCH, OPENVINO, ONNX)
    assert measurement.chosen == ONNX
    assert measurement.images_per_s == {"torch fp32": 4, "openvino fp32": 5, "onnxruntime fp32": 8}


def test_torch_is_kept_without_a_significant_speedup(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FakeBackbones(monkeypatch, {TORCH: 0.5, ONNX: 0.5 / MIN_SPEEDUP}).measure(TORCH, ONNX).chosen == TORCH


def test_the_faster_precision_of_torch_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    bf16 = EngineConfig("torch", "bf16")
    assert FakeBackbones(monkeypatch, {bf16: 0.49, TORCH: 0.5}).measure(bf16, TORCH).chosen == bf16


def test_failing_and_inaccurate_engines_are_rejected_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    backbones = FakeBackbones(monkeypatch, {TORCH: 0.5, OPENVINO: 0.1})

    def build(config: EngineConfig) -> Tokens:
        if config == ONNX:
            raise RuntimeError("no such operator")
        tokens = backbones.build(config)
        return tokens if config == TORCH else lambda images: tokens(images) * 1.01

    measurement = measure_engines("tiny", "here", (TORCH, OPENVINO, ONNX), build, IMAGES, 1)
    assert measurement.chosen == TORCH
    assert measurement.rejected == {
        "openvino fp32": "its tokens differ from torch's by 0.01 of the largest",
        "onnxruntime fp32": "RuntimeError: no such operator",
    }


def select(settings: ScorerSettings, backbones: FakeBackbones) -> EngineConfig:
    return select_engine(settings, CPU, "tiny", "abc", (4, 4), backbones.build)


@pytest.fixture
def settings(tmp_path: Path) -> ScorerSettings:
    return ScorerSettings(device="cpu", precision="fp32", engines_path=tmp_path / "engines", score_threads=1)


def test_engines_are_measured_once_per_machine(monkeypatch: pytest.MonkeyPatch, settings: ScorerSettings) -> None:
    backbones = FakeBackbones(monkeypatch, {TORCH: 0.5, OPENVINO: 0.4, ONNX: 0.25})
    assert select(settings, backbones) == ONNX
    built = len(backbones.built)
    assert select(settings, backbones) == ONNX
    assert len(backbones.built) == built
    assert (
        select(settings.model_copy(update={"score_threads": 2}), backbones) == ONNX
    )  # other options of a call: measured again
    assert len(backbones.built) > built
    assert len(read_measurements(settings.engines_path / FILE)) == 2


def test_a_corrupt_measurement_file_is_logged_and_replaced(
    monkeypatch: pytest.MonkeyPatch, settings: ScorerSettings
) -> None:
    file = settings.engines_path / FILE
    file.parent.mkdir()
    file.write_text('{"key": {"engine": 7')
    with capture_logs() as logs:
        assert select(settings, FakeBackbones(monkeypatch, {TORCH: 0.5, OPENVINO: 0.4, ONNX: 0.25})) == ONNX
    assert logs[0]["event"] == "measurements of engines can't be read, all are repeated"
    assert len(json.loads(file.read_text())) == 1


def test_a_configured_engine_is_not_measured(monkeypatch: pytest.MonkeyPatch, settings: ScorerSettings) -> None:
    backbones = FakeBackbones(monkeypatch, {})
    assert select(settings.model_copy(update={"engine": "openvino"}), backbones) == OPENVINO
    assert select(settings.model_copy(update={"engine": "torch", "precision": "bf16"}), backbones).precision == "bf16"
    assert backbones.built == []


def test_an_engine_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch, settings: ScorerSettings) -> None:
    monkeypatch.setattr("scorer.engines.onnx_graph.find_spec", lambda package: None)
    with pytest.raises(UnsupportedEngine, match=r"openvino.*andon-inspection\[engines\]"):
        select(settings.model_copy(update={"engine": "openvino"}), FakeBackbones(monkeypatch, {}))
    backbones = FakeBackbones(monkeypatch, {TORCH: 0.5})
    assert select(settings, backbones) == TORCH  # a single candidate is not measured
    assert backbones.built == []


def test_an_fp32_engine_refuses_bf16(settings: ScorerSettings) -> None:
    unsupported = settings.model_copy(update={"engine": "onnxruntime", "precision": "bf16"})
    with pytest.raises(UnsupportedEngine, match=r"onnxruntime.*scorer\.precision bf16"):
        select_engine(unsupported, CPU, "tiny", "abc", (4, 4), lambda config: torch.Tensor)


def test_an_engine_that_returns_nan_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    backbones = FakeBackbones(monkeypatch, {TORCH: 0.5, ONNX: 0.1})

    def build(config: EngineConfig) -> Tokens:
        tokens = backbones.build(config)
        return tokens if config == TORCH else lambda images: tokens(images) * float("nan")

    measurement = measure_engines("tiny", "here", (TORCH, ONNX), build, IMAGES, 1)
    assert measurement.chosen == TORCH
    assert list(measurement.rejected) == ["onnxruntime fp32"]


def test_the_error_names_why_no_engine_is_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    backbones, bf16 = FakeBackbones(monkeypatch, {TORCH: 0.5}), EngineConfig("torch", "bf16")
    with pytest.raises(UnsupportedEngine, match="torch bf16"):
        backbones.measure(bf16)


def test_an_unwritable_engines_folder_is_logged_and_does_not_stop_the_scorer(
    monkeypatch: pytest.MonkeyPatch, settings: ScorerSettings
) -> None:
    settings.engines_path.write_text("a file where the folder should be")
    with capture_logs() as logs:
        assert select(settings, FakeBackbones(monkeypatch, {TORCH: 0.5, OPENVINO: 0.4, ONNX: 0.25})) == ONNX
    assert "what was compiled of a network can't be stored" in [line["event"] for line in logs]
