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


def test_the_fastest_is_chosen_and_the_rates_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = FakeBackbones(monkeypatch, {TORCH: 0.5, OPENVINO: 0.4, ONNX: 0.25}).measure(TORCH, OPENVINO, ONNX)
    assert found.chosen == ONNX
    assert found.images_per_s == {"torch fp32": 4, "openvino fp32": 5, "onnxruntime fp32": 8}


def test_torch_stays_where_the_gain_is_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FakeBackbones(monkeypatch, {TORCH: 0.5, ONNX: 0.5 / MIN_SPEEDUP}).measure(TORCH, ONNX).chosen == TORCH


def test_of_torchs_precisions_the_faster_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    bf16 = EngineConfig("torch", "bf16")
    assert FakeBackbones(monkeypatch, {bf16: 0.49, TORCH: 0.5}).measure(bf16, TORCH).chosen == bf16


def test_what_fails_or_computes_something_else_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = FakeBackbones(monkeypatch, {TORCH: 0.5, OPENVINO: 0.1})

    def build(config: EngineConfig) -> Tokens:
        if config == ONNX:
            raise RuntimeError("no such operator")
        tokens = bench.build(config)
        return tokens if config == TORCH else lambda images: tokens(images) * 1.01

    found = measure_engines("tiny", "here", (TORCH, OPENVINO, ONNX), build, IMAGES, 1)
    assert found.chosen == TORCH
    assert found.rejected == {
        "openvino fp32": "its tokens differ from torch's by 0.01 of the largest",
        "onnxruntime fp32": "RuntimeError: no such operator",
    }


def select(settings: ScorerSettings, bench: FakeBackbones) -> EngineConfig:
    return select_engine(settings, CPU, "tiny", "abc", (4, 4), bench.build)


@pytest.fixture
def settings(tmp_path: Path) -> ScorerSettings:
    return ScorerSettings(device="cpu", precision="fp32", engines_path=tmp_path / "engines", score_threads=1)


def test_it_is_measured_once_a_machine_and_kept(monkeypatch: pytest.MonkeyPatch, settings: ScorerSettings) -> None:
    bench = FakeBackbones(monkeypatch, {TORCH: 0.5, OPENVINO: 0.4, ONNX: 0.25})
    assert select(settings, bench) == ONNX
    built = len(bench.built)
    assert select(settings, bench) == ONNX
    assert len(bench.built) == built
    assert (
        select(settings.model_copy(update={"score_threads": 2}), bench) == ONNX
    )  # other options of a call: measured again
    assert len(bench.built) > built
    assert len(read_measurements(settings.engines_path / FILE)) == 2


def test_a_spoilt_file_is_measured_anew_and_said(monkeypatch: pytest.MonkeyPatch, settings: ScorerSettings) -> None:
    file = settings.engines_path / FILE
    file.parent.mkdir()
    file.write_text('{"key": {"engine": 7')
    with capture_logs() as logged:
        assert select(settings, FakeBackbones(monkeypatch, {TORCH: 0.5, OPENVINO: 0.4, ONNX: 0.25})) == ONNX
    assert logged[0]["event"] == "measurements of engines can't be read, all are repeated"
    assert len(json.loads(file.read_text())) == 1


def test_what_the_settings_say_is_not_measured(monkeypatch: pytest.MonkeyPatch, settings: ScorerSettings) -> None:
    bench = FakeBackbones(monkeypatch, {})
    assert select(settings.model_copy(update={"engine": "openvino"}), bench) == OPENVINO
    assert select(settings.model_copy(update={"engine": "torch", "precision": "bf16"}), bench).precision == "bf16"
    assert bench.built == []


def test_an_engine_that_is_not_here_is_told(monkeypatch: pytest.MonkeyPatch, settings: ScorerSettings) -> None:
    monkeypatch.setattr("scorer.engines.onnx_graph.find_spec", lambda package: None)
    with pytest.raises(
        UnsupportedEngine, match=r"openvino, onnx, onnxscript is not installed: .*andon-inspection\[engines\]"
    ):
        select(settings.model_copy(update={"engine": "openvino"}), FakeBackbones(monkeypatch, {}))
    bench = FakeBackbones(monkeypatch, {TORCH: 0.5})
    assert select(settings, bench) == TORCH  # a single candidate is not measured
    assert bench.built == []


def test_an_engine_of_fp32_refuses_bf16(settings: ScorerSettings) -> None:
    unsupported = settings.model_copy(update={"engine": "onnxruntime", "precision": "bf16"})
    with pytest.raises(UnsupportedEngine, match=r"onnxruntime, which computes in fp32, and scorer\.precision bf16"):
        select_engine(unsupported, CPU, "tiny", "abc", (4, 4), lambda config: torch.Tensor)


def test_an_engine_that_gives_no_numbers_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = FakeBackbones(monkeypatch, {TORCH: 0.5, ONNX: 0.1})

    def build(config: EngineConfig) -> Tokens:
        tokens = bench.build(config)
        return tokens if config == TORCH else lambda images: tokens(images) * float("nan")

    found = measure_engines("tiny", "here", (TORCH, ONNX), build, IMAGES, 1)
    assert found.chosen == TORCH
    assert list(found.rejected) == ["onnxruntime fp32"]


def test_where_nothing_can_be_used_it_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, bf16 = FakeBackbones(monkeypatch, {TORCH: 0.5}), EngineConfig("torch", "bf16")
    with pytest.raises(UnsupportedEngine, match="torch bf16: KeyError"):
        bench.measure(bf16)


def test_a_folder_that_can_t_be_written_does_not_stop_the_line(
    monkeypatch: pytest.MonkeyPatch, settings: ScorerSettings
) -> None:
    settings.engines_path.write_text("a file where the folder should be")
    with capture_logs() as logged:
        assert select(settings, FakeBackbones(monkeypatch, {TORCH: 0.5, OPENVINO: 0.4, ONNX: 0.25})) == ONNX
    assert "what was compiled of a network can't be stored" in [line["event"] for line in logged]
