"""Every engine gives torch's tokens, and the tokens of a batch are those of its images."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Literal

import pytest
import torch

from scorer.backbones.clip_architecture import build_network
from scorer.backbones.openclip import OpenClip
from scorer.backbones.timm_vit import TimmVit
from scorer.backbones.tiny import TinyBackbone, read_tiny
from scorer.engines import onnx_graph, openvino
from scorer.engines.cuda_graphs import CudaGraphs
from scorer.engines.fixed_batch import split_batch, with_fixed_batches
from scorer.engines.measurements import EngineConfig, EngineName
from scorer.engines.openvino import run_requests
from scorer.engines.protocol import SINGLE_CALL, EngineOptions
from scorer.engines.registry import compile_network
from scorer.errors import UnsupportedEngine
from scorer.imaging.framing import CellBox
from tests.scorer.backbones.test_timm_vit import oblong_transformer
from tests.scorer.backbones.tiny_clip import tiny_architecture, tiny_pixels

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
COMPILED_ENGINES: list[EngineName] = ["openvino", "onnxruntime"]

Tokens = Callable[[torch.Tensor], torch.Tensor]
Build = Callable[[EngineName, EngineOptions], tuple[Tokens, torch.Tensor]]
"""Builds a backbone on an engine, with images for it."""

Precision = Literal["fp32", "bf16"]


def build_andon_tiny(engine: EngineName, options: EngineOptions) -> tuple[Tokens, torch.Tensor]:
    network, contents = read_tiny()
    pixels = torch.randint(0, 256, (3, 3, 256, 256), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return TinyBackbone(network, contents, CPU, EngineConfig(engine, "fp32"), options).tokens, pixels


def build_openclip(engine: EngineName, options: EngineOptions) -> tuple[Tokens, torch.Tensor]:
    torch.manual_seed(0)
    towers = OpenClip(build_network(tiny_architecture()), tiny_architecture(), CPU, "fp32", engine, options)
    return lambda pixels: towers.encode_images(towers.normalised(pixels), (1, 3)).tokens, tiny_pixels(3, seed=1)


def build_timm(engine: EngineName, options: EngineOptions) -> tuple[Tokens, torch.Tensor]:
    vit = TimmVit(oblong_transformer(), "oblong", (2, 4), CPU, "fp32", engine=engine, calls=options)
    return vit.tokens, torch.randint(0, 256, (2, 3, *vit.size), dtype=torch.uint8)


@pytest.mark.parametrize("build", [build_andon_tiny, build_openclip, build_timm])
def test_tokens_equal_those_of_torch_and_do_not_depend_on_the_batch(build: Build, tmp_path: Path) -> None:
    options = EngineOptions(graph_folder=tmp_path, network_id="same")
    plain, pixels = build("torch", options)
    expected = plain(pixels)
    for engine in COMPILED_ENGINES:
        tokens, _ = build(engine, options)
        batch = tokens(pixels)
        torch.testing.assert_close(batch, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
        torch.testing.assert_close(torch.cat([tokens(image[None]) for image in pixels], dim=1), batch, rtol=0, atol=0)


@pytest.mark.parametrize(("engine", "precision"), [("openvino", "fp32"), ("openvino", "bf16"), ("onnxruntime", "fp32")])
def test_tokens_of_a_cropped_image_equal_those_of_torch(
    engine: EngineName, precision: Precision, tmp_path: Path
) -> None:
    options = EngineOptions(graph_folder=tmp_path, network_id="tiny")
    network, contents = read_tiny()
    plain = TinyBackbone(deepcopy(network), contents, CPU)
    other = TinyBackbone(network, contents, CPU, EngineConfig(engine, precision), options)
    generator = torch.Generator().manual_seed(4)
    for box in (CellBox(2, 14, 0, 16), CellBox(0, 16, 6, 10), CellBox(7, 11, 0, 16), CellBox(2, 14, 0, 16)):
        side = box.of_pixels(16, 16)
        pixels = torch.randint(0, 256, (2, 3, side.bottom - side.top, side.right - side.left), generator=generator)
        pixels = pixels.to(torch.uint8)
        expected, found = plain.tokens_within(pixels, box), other.tokens_within(pixels, box)
        tolerance = (1e-5 if precision == "fp32" else 0.1) * float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    assert len(list(tmp_path.iterdir())) == 1  # one graph for all sizes


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_openvino_compiles_a_few_static_sizes_and_one_dynamic(
    precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[object] = []
    monkeypatch.setattr(openvino, "MAX_COMPILED_SIZES", 2)
    compile_model = openvino._CompiledSizes._compile

    def count_and_compile(sizes: openvino._CompiledSizes, model: object) -> openvino._InferRequests:
        compiled.append(model)
        return compile_model(sizes, model)

    monkeypatch.setattr(openvino._CompiledSizes, "_compile", count_and_compile)
    network, contents = read_tiny()
    plain = TinyBackbone(deepcopy(network), contents, CPU)
    other = TinyBackbone(network, contents, CPU, EngineConfig("openvino", precision))
    generator = torch.Generator().manual_seed(5)
    for columns in (16, 9, 4, 5, 9, 4):  # the first is compiled at the start; the second fills the limit
        pixels = torch.randint(0, 256, (3, 3, 256, 16 * columns), generator=generator).to(torch.uint8)
        box = CellBox(0, 16, 0, columns)
        expected, found = plain.tokens_within(pixels, box), other.tokens_within(pixels, box)
        tolerance = (1e-5 if precision == "fp32" else 0.1) * float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    assert len(compiled) == 3  # two sizes, and one for all others


@pytest.mark.parametrize("engine", COMPILED_ENGINES)
def test_an_exported_graph_is_stored_and_reused(
    tmp_path: Path, engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, example = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), TupleOutput()), torch.rand(1, 3, 8, 8)
    options = EngineOptions(graph_folder=tmp_path, network_id="of-three")
    first = compile_network(engine, network.eval(), example, options)(example)
    monkeypatch.setattr(torch.onnx, "export", None)
    again = compile_network(engine, network, example, options)(example)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert len([file for file in tmp_path.iterdir() if file.match("of-three-*.onnx")]) == 1


class TupleOutput(torch.nn.Module):
    """Wraps a tensor in a tuple, which is the output that engines expect of a network."""

    def forward(self, output: torch.Tensor) -> tuple[torch.Tensor]:
        return (output,)


def test_bf16_tokens_have_a_cosine_above_0_99() -> None:
    network, contents = read_tiny()
    pixels = tiny_pixels(1, seed=2).repeat(1, 1, 16, 16)[..., :256, :256]
    exact = TinyBackbone(deepcopy(network), contents, CPU).tokens(pixels)
    rounded = TinyBackbone(network, contents, CPU, EngineConfig("torch", "bf16"))
    cosines = torch.nn.functional.cosine_similarity(exact, rounded.tokens(pixels), dim=3)
    assert float(cosines.min()) > 0.99
    assert rounded.tokens(pixels).dtype == torch.float32
    assert rounded.configuration["bf16"] == 1


def test_openvino_computes_in_the_configured_precision(tmp_path: Path) -> None:
    network, contents = read_tiny()
    pixels = tiny_pixels(2, seed=2).repeat(1, 1, 16, 16)[..., :256, :256]
    options = EngineOptions(graph_folder=tmp_path, network_id="tiny")
    exact = TinyBackbone(deepcopy(network), contents, CPU, EngineConfig("openvino", "fp32"), options).tokens(pixels)
    rounded = TinyBackbone(network, contents, CPU, EngineConfig("openvino", "bf16"), options)
    batch = rounded.tokens(pixels)
    assert float(torch.nn.functional.cosine_similarity(exact, batch, dim=3).min()) > 0.99
    assert not torch.equal(batch, exact)
    by_torch = TinyBackbone(read_tiny()[0], contents, CPU, EngineConfig("torch", "bf16"))
    assert rounded.configuration != by_torch.configuration  # it rounds at other operations: another model id
    assert batch.dtype == torch.float32
    torch.testing.assert_close(
        torch.cat([rounded.tokens(image[None]) for image in pixels], dim=1), batch, rtol=0, atol=0
    )
    assert len(list(tmp_path.glob("tiny-bf16-*.onnx"))) == 1
    assert len(list(tmp_path.iterdir())) == 2  # each precision has its own graph


def test_all_started_requests_are_awaited_when_one_fails() -> None:
    class Request:
        def __init__(self, fails: bool) -> None:
            self.fails = fails
            self.done: list[str] = []

        def set_input_tensor(self, image: str) -> None:
            self.done.append(image)

        def set_output_tensor(self, number: int, output: str) -> None:
            self.done.append(f"{output} at {number}")

        def start_async(self) -> None:
            self.done.append("started")

        def wait(self) -> None:
            self.done.append("waited for")
            if self.fails:
                raise RuntimeError("no memory")

    requests = [Request(fails=True), Request(fails=False), Request(fails=False)]
    with pytest.raises(RuntimeError, match="no memory"):
        run_requests(requests, [["first", "a", "b"], ["second", "c", "d"]])
    assert requests[0].done == ["first", "a at 0", "b at 1", "started", "waited for"]
    assert requests[1].done == ["second", "c at 0", "d at 1", "started", "waited for"]
    assert requests[2].done == []  # there are two images


def test_a_graph_of_another_version_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, example = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), TupleOutput()).eval(), torch.rand(1, 3, 8, 8)
    onnx_graph.load_or_export(network, example, None, tmp_path / "net.onnx")
    (earlier,) = tmp_path.iterdir()
    in_bf16 = tmp_path / "net-bf16-0123abcd.onnx"
    in_bf16.write_bytes(b"another graph of the same weights")
    monkeypatch.setattr(onnx_graph, "version", lambda package: "another")
    onnx_graph.load_or_export(network, example, None, tmp_path / "net.onnx")
    found = set(tmp_path.iterdir())
    assert len(found) == 2
    assert in_bf16 in found
    assert earlier not in found


def test_cuda_graphs_need_a_gpu() -> None:
    assert CudaGraphs().unavailable_reason(torch.device("cuda")) is None
    with pytest.raises(UnsupportedEngine, match=r"scorer\.engine is cuda-graphs.*cpu"):
        compile_network("cuda-graphs", torch.nn.Identity(), torch.zeros(1, 3, 8, 8), SINGLE_CALL)


@pytest.mark.parametrize(
    ("image_count", "expected"),
    [(1, [(1, 1)]), (3, [(3, 4)]), (4, [(4, 4)]), (9, [(8, 8), (1, 1)]), (19, [(8, 8), (8, 8), (3, 4)])],
)
def test_a_batch_is_split_into_padded_fixed_sizes(image_count: int, expected: list[tuple[int, int]]) -> None:
    assert split_batch(image_count, (1, 2, 4, 8)) == expected


def test_padding_a_batch_changes_no_output() -> None:
    batch_sizes: list[int] = []

    def network(image_count: torch.Tensor) -> tuple[torch.Tensor, ...]:
        batch_sizes.append(len(image_count))
        return image_count.mean(dim=(1, 2, 3)), image_count.flatten(1)

    image_count = torch.rand(11, 3, 4, 4)
    torch.testing.assert_close(
        with_fixed_batches(network, (1, 2, 4))(image_count), (image_count.mean(dim=(1, 2, 3)), image_count.flatten(1))
    )
    assert batch_sizes == [4, 4, 4]
