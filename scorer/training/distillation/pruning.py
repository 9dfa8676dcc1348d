"""Initial trunk weights for `andon-tiny`: structured pruning of the ResNet teacher, refitted layer by layer.

Channels are selected so that they explain the others linearly: pivoted Cholesky of their covariance, as in column
subset selection. Each convolution after the stem is then the ridge regression from the student's maps so far to the
teacher's maps there, so that errors do not accumulate (compare ThiNet, arXiv 1707.06342).
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from scorer.backbones.teacher_networks import ResidualBlock, ResnetTeacher
from scorer.backbones.tiny import Block, TinyNetwork

_BATCH = 8
_POSITIONS = 256
_RIDGE = 1e-4


def select_channels(moments: torch.Tensor, count: int) -> torch.Tensor:
    """Select greedily the channels that best explain all channels linearly.

    Args:
        moments: The covariance of the channels, (C, C).
        count: How many channels to select.

    Returns:
        Their indices in rising order, (count,).
    """
    residual = moments.double().clone()
    chosen: list[int] = []
    for _ in range(count):
        gain = (residual**2).sum(0) / residual.diagonal().clamp_min(1e-12)
        gain[residual.diagonal() < 1e-9 * moments.diagonal().max()] = -1
        gain[chosen] = -2
        pick = int(gain.argmax())
        chosen.append(pick)
        residual = residual - torch.outer(residual[:, pick], residual[pick]) / residual[pick, pick].clamp_min(1e-12)
    return torch.tensor(sorted(chosen))


def _covariance(maps: torch.Tensor) -> torch.Tensor:
    return torch.cov(maps.transpose(0, 1).flatten(1)[:, ::7].double())


class _RidgeRegression:
    """The normal equations of one affine map, accumulated batch by batch."""

    def __init__(self, width: int, out: int) -> None:
        self._inner = torch.zeros(width + 1, width + 1, dtype=torch.float64)
        self._cross = torch.zeros(width + 1, out, dtype=torch.float64)

    def add(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Add rows of inputs (N, width) and of targets (N, out)."""
        inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], 1)
        self._inner += (inputs.T @ inputs).double()
        self._cross += (inputs.T @ targets).double()

    def solve(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights (out, width) and biases (out,)."""
        inner = self._inner.clone()
        inner.diagonal()[:-1] += _RIDGE * inner.diagonal()[:-1].mean()
        solution = torch.linalg.solve(inner, self._cross).float()
        return solution[:-1].T, solution[-1]


def _windows(maps: torch.Tensor, stride: int, positions: torch.Tensor) -> torch.Tensor:
    """Return the 3 × 3 windows at output positions as rows: (B, C, H, W) to (B · positions, 9 C)."""
    return functional.unfold(maps, 3, padding=1, stride=stride)[:, :, positions].transpose(1, 2).flatten(0, 1)


def _rows(maps: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return maps.flatten(2)[:, :, positions].transpose(1, 2).flatten(0, 1)


def _batches(*maps: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    return zip(*(torch.split(values, _BATCH) for values in maps), strict=True)


def _random_positions(count: int) -> torch.Tensor:
    return torch.randperm(count)[:_POSITIONS]


def _set_weights(layer: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor) -> None:
    layer.weight.data.copy_(weight.reshape(layer.weight.shape))
    cast(nn.Parameter, layer.bias).data.copy_(bias)


def _fit_block(
    block: Block, teacher: ResidualBlock, student_maps: torch.Tensor, teacher_maps: torch.Tensor, channels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit one block to the maps that enter the student's and the teacher's; return the maps that leave both."""
    teacher_inner = torch.cat([teacher.conv1(batch) for (batch,) in _batches(teacher_maps)])
    inner_channels = select_channels(_covariance(functional.relu(teacher_inner)), block.conv1.out_channels)
    _fit_conv1(block, student_maps, teacher_inner[:, inner_channels])
    teacher_sum = torch.cat(
        [
            teacher.conv2(functional.relu(inner)) + (maps if teacher.shortcut is None else teacher.shortcut(maps))
            for inner, maps in _batches(teacher_inner, teacher_maps)
        ]
    )
    _fit_conv2_and_shortcut(block, student_maps, teacher_sum[:, channels])
    return torch.cat([block(batch) for (batch,) in _batches(student_maps)]), functional.relu(teacher_sum)


def _fit_conv1(block: Block, student_maps: torch.Tensor, target_maps: torch.Tensor) -> None:
    """Fit the first convolution from the maps that enter the block to the teacher's maps after it."""
    stride = block.conv1.stride[0]
    cells = target_maps.shape[2] * target_maps.shape[3]
    fit = _RidgeRegression(9 * student_maps.shape[1], target_maps.shape[1])
    for maps, targets in _batches(student_maps, target_maps):
        positions = _random_positions(cells)
        fit.add(_windows(maps, stride, positions), _rows(targets, positions))
    _set_weights(block.conv1, *fit.solve())


def _fit_conv2_and_shortcut(block: Block, student_maps: torch.Tensor, target_maps: torch.Tensor) -> None:
    """Fit the second convolution, together with the shortcut if it has weights, to the teacher's sum of both."""
    stride = block.conv1.stride[0]
    cells = target_maps.shape[2] * target_maps.shape[3]
    window_width = 9 * block.conv1.out_channels
    shortcut_width = student_maps.shape[1] if block.shortcut is not None else 0
    fit = _RidgeRegression(window_width + shortcut_width, target_maps.shape[1])
    for maps, targets in _batches(student_maps, target_maps):
        positions = _random_positions(cells)
        windows = _windows(functional.relu(block.conv1(maps)), 1, positions)
        shortcut = _rows(maps[:, :, ::stride, ::stride], positions)
        target_rows = _rows(targets, positions)
        if block.shortcut is None:
            fit.add(windows, target_rows - shortcut)
        else:
            fit.add(torch.cat([windows, shortcut], 1), target_rows)
    weight, bias = fit.solve()
    _set_weights(block.conv2, weight[:, :window_width], bias)
    if block.shortcut is not None:
        _set_weights(block.shortcut, weight[:, window_width:], torch.zeros_like(bias))


@torch.inference_mode()
def initialise_from_teacher(network: TinyNetwork, teacher: ResnetTeacher, images: torch.Tensor) -> list[float]:
    """Set the trunk's weights; the branch keeps its own.

    Args:
        network: The student.
        teacher: The ResNet teacher.
        images: Images to fit on, (N, 3, H, W) in [0, 1].

    Returns:
        The fraction of the teacher's variance that each block's outputs do not explain.
    """
    stem = torch.cat([teacher.stem(batch) for (batch,) in _batches(images)])
    first = torch.cat([teacher.blocks[0](batch) for (batch,) in _batches(stem)])
    second = torch.cat([teacher.blocks[1](batch) for (batch,) in _batches(first)])
    channels = select_channels(_covariance(stem) + _covariance(first) + _covariance(second), network.shape.stem)
    del first, second
    network.conv1.weight.data.copy_(teacher.conv1.weight[channels])
    cast(nn.Parameter, network.conv1.bias).data.copy_(cast(torch.Tensor, teacher.conv1.bias)[channels])
    student_maps, teacher_maps, unexplained = stem[:, channels].contiguous(), stem, []
    for index, (block, teacher_block) in enumerate(zip(network.blocks, teacher.blocks, strict=True)):
        if index > 1:
            channels = torch.arange(network.shape.stages[index // 2])
        student_maps, teacher_maps = _fit_block(
            cast(Block, block), cast(ResidualBlock, teacher_block), student_maps, teacher_maps, channels
        )
        unexplained.append(_unexplained_variance(student_maps, teacher_maps[:, channels]))
    return unexplained


def _unexplained_variance(student_maps: torch.Tensor, teacher_maps: torch.Tensor) -> float:
    centred = teacher_maps - teacher_maps.mean((0, 2, 3), keepdim=True)
    return float((student_maps - teacher_maps).var() / centred.var())
