"""OpenVINO on the processor."""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from scorer.engines import onnx_graph
from scorer.engines.protocol import EngineOptions, Forward

MAX_COMPILED_SIZES = 8
"""Heights and widths that are compiled each for itself; further ones share one compilation for any size."""


class OpenVinoEngine:
    """OpenVINO with as many streams as there are parallel calls; none is pinned to a core, which others need too."""

    def unavailable_reason(self, device: torch.device) -> str | None:
        """Return why it cannot be used: it is an extra, for processors."""
        return onnx_graph.unavailable_reason("openvino", device)

    def compile(
        self, network: nn.Module, example: torch.Tensor, options: EngineOptions, cell_px: int | None
    ) -> Forward:
        """Return a `Forward` that compiles the network, in its precision, for each size of image that occurs.

        Compiled for one size it is a tenth faster than for any, and compiling takes 0.05 s and 35 MB.
        """
        by_size = _CompiledSizes(network, example, options, cell_px)
        by_size.forward(example)  # so that a network that cannot be compiled fails now
        return by_size.forward


class _CompiledSizes:
    """A compiled network; safe from any thread."""

    def __init__(self, network: nn.Module, example: torch.Tensor, options: EngineOptions, cell_px: int | None) -> None:
        import openvino

        self._core = openvino.Core()
        self._graph = onnx_graph.load_or_export(network, example, cell_px, options.graph_file)
        self._properties = {
            "NUM_STREAMS": options.parallel_calls,
            "INFERENCE_NUM_THREADS": options.parallel_calls * options.threads_per_call,
            "INFERENCE_PRECISION_HINT": "bf16" if onnx_graph.is_bf16(network) else "f32",
            "ENABLE_CPU_PINNING": False,
        }
        self._by_size: dict[tuple[int, int], Forward] = {}
        self._any_size: _InferRequests | None = None
        self._lock = threading.Lock()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the network's outputs, as a `Forward`."""
        height, width = images.shape[2:]
        with self._lock:
            if (height, width) not in self._by_size:
                self._by_size[height, width] = self._compile_size(height, width)
        return self._by_size[height, width](images.contiguous())

    def _compile_size(self, height: int, width: int) -> Forward:
        model = self._core.read_model(self._graph)
        model.reshape([1, 3, height, width])
        shapes = [tuple(output.shape)[1:] for output in model.outputs]
        if len(self._by_size) < MAX_COMPILED_SIZES:
            requests = self._compile(model)
        else:
            requests = self._any_size = self._any_size or self._compile(self._core.read_model(self._graph))
        return lambda images: requests.forward(images, shapes)

    def _compile(self, model: Any) -> "_InferRequests":
        return _InferRequests(self._core.compile_model(model, "CPU", self._properties))


class _InferRequests:
    """A compiled network and its inference requests, each of which serves one thread."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._local = threading.local()

    def forward(self, images: torch.Tensor, shapes: Sequence[Sequence[int]]) -> tuple[torch.Tensor, ...]:
        """Compute the outputs of (B, 3, H, W), one request per image; `shapes` are those of one image's outputs."""
        from openvino import Tensor

        requests: list[Any] = self._local.__dict__.setdefault("requests", [])
        requests += [self._compiled.create_infer_request() for _ in range(len(requests), len(images))]
        outputs = tuple(torch.empty(len(images), *shape) for shape in shapes)
        buffers = [
            [Tensor(tensor[index : index + 1].numpy(), shared_memory=True) for tensor in (images, *outputs)]
            for index in range(len(images))
        ]
        run_requests(requests, buffers)
        return outputs


def run_requests(requests: Sequence[Any], buffers: Sequence[Sequence[Any]]) -> None:
    """Let each request read an image from its first buffer and write its outputs to the others.

    All are started before the first is waited for, so that no core is idle between two of them. All that were
    started are waited for even after an error: they write to memory that belongs to the caller again after this.

    Raises:
        RuntimeError: The first error of a request.
    """
    started, errors = [], []
    try:
        for request, (image, *outputs) in zip(requests, buffers, strict=False):
            request.set_input_tensor(image)
            for index, output in enumerate(outputs):
                request.set_output_tensor(index, output)
            request.start_async()
            started.append(request)
    finally:
        for request in started:
            try:
                request.wait()
            except RuntimeError as error:
                errors.append(error)
    if errors:
        raise errors[0]
