"""A first trunk for `andon-tiny` by structured pruning of the ResNet teacher, refitted layer by layer in closed form.

Channels are chosen so that they explain the others (pivoted Cholesky of their covariance, as in column subset
selection); each convolution after the stem is then the ridge regression from what the student has so far to what
the teacher has there (ThiNet, arXiv 1707.06342, chooses and refits in the same spirit), so errors don't pile up.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from scorer.backbones.teacher_networks import ResidualBlock, ResnetTeacher
from scorer.backbones.tiny import Block, TinyNetwork

_AT_ONCE = 8
_POSITIONS = 256
_RIDGE = 1e-4


def select_channels(moments: torch.Tensor, count: int) -> torch.Tensor:
    """Indices, rising, of the `count` channels that best explain all linearly, chosen greedily: (C, C) to (count,)."""
    left = moments.double().clone()
    chosen: list[int] = []
    for _ in range(count):
        gain = (left**2).sum(0) / left.diagonal().clamp_min(1e-12)
        gain[left.diagonal() < 1e-9 * moments.diagonal().max()] = -1
        gain[chosen] = -2
        pick = int(gain.argmax())
        chosen.append(pick)
        left = left - torch.outer(left[:, pick], left[pick]) / left[pick, pick].clamp_min(1e-12)
    return torch.tensor(sorted(chosen))


def _covariance(maps: torch.Tensor) -> torch.Tensor:
    return torch.cov(maps.transpose(0, 1).flatten(1)[:, ::7].double())


class _Fit:
    """Normal equations of one affine map, gathered bit by bit."""

    def __init__(self, width: int, out: int) -> None:
        self._inner = torch.zeros(width + 1, width + 1, dtype=torch.float64)
        self._cross = torch.zeros(width + 1, out, dtype=torch.float64)

    def add(self, seen: torch.Tensor, wanted: torch.Tensor) -> None:
        """Rows of inputs (N, width) and of outputs (N, out)."""
        seen = torch.cat([seen, torch.ones(len(seen), 1)], 1)
        self._inner += (seen.T @ seen).double()
        self._cross += (seen.T @ wanted).double()

    def solve(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (out, width) and biases (out,)."""
        inner = self._inner.clone()
        inner.diagonal()[:-1] += _RIDGE * inner.diagonal()[:-1].mean()
        solution = torch.linalg.solve(inner, self._cross).float()
        return solution[:-1].T, solution[-1]


def _windows(maps: torch.Tensor, stride: int, places: torch.Tensor) -> torch.Tensor:
    """3 × 3 windows at chosen output places as rows: (B, C, H, W) to (B · places, 9 C)."""
    return functional.unfold(maps, 3, padding=1, stride=stride)[:, :, places].transpose(1, 2).flatten(0, 1)


def _rows(maps: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return maps.flatten(2)[:, :, places].transpose(1, 2).flatten(0, 1)


def _parts(*maps: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    return zip(*(torch.split(one, _AT_ONCE) for one in maps), strict=True)


def _some_places(count: int) -> torch.Tensor:
    return torch.randperm(count)[:_POSITIONS]


def _set(layer: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor) -> None:
    layer.weight.data.copy_(weight.reshape(layer.weight.shape))
    cast(nn.Parameter, layer.bias).data.copy_(bias)


def _fit_block(
    block: Block, teacher: ResidualBlock, mine: torch.Tensor, its: torch.Tensor, kept: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit one block from what enters it, the student's and the teacher's; returns what leaves both."""
    stride = block.conv1.stride[0]
    inner = torch.cat([teacher.conv1(part) for (part,) in _parts(its)])
    middle = select_channels(_covariance(functional.relu(inner)), block.conv1.out_channels)
    count = inner.shape[2] * inner.shape[3]
    fit = _Fit(9 * mine.shape[1], len(middle))
    for seen, wanted in _parts(mine, inner[:, middle]):
        places = _some_places(count)
        fit.add(_windows(seen, stride, places), _rows(wanted, places))
    _set(block.conv1, *fit.solve())

    summed = torch.cat(
        [
            teacher.conv2(functional.relu(one)) + (seen if teacher.shortcut is None else teacher.shortcut(seen))
            for one, seen in _parts(inner, its)
        ]
    )
    wide = 9 * len(middle)
    fit = _Fit(wide + (mine.shape[1] if block.shortcut is not None else 0), len(kept))
    for seen, wanted in _parts(mine, summed[:, kept]):
        places = _some_places(count)
        rows = _windows(functional.relu(block.conv1(seen)), 1, places)
        short = _rows(seen[:, :, ::stride, ::stride], places)
        goal = _rows(wanted, places)
        fit.add(*((rows, goal - short) if block.shortcut is None else (torch.cat([rows, short], 1), goal)))
    weight, bias = fit.solve()
    _set(block.conv2, weight[:, :wide], bias)
    if block.shortcut is not None:
        _set(block.shortcut, weight[:, wide:], torch.zeros_like(bias))
    return torch.cat([block(part) for (part,) in _parts(mine)]), functional.relu(summed)


@torch.inference_mode()
def initialise_from_teacher(network: TinyNetwork, teacher: ResnetTeacher, pictures: torch.Tensor) -> list[float]:
    """Set the trunk's weights (the branch keeps its own); pictures (N, 3, H, W) in [0, 1].

    Returns the share of the teacher's variance that each block's outputs still miss.
    """
    stem = torch.cat([teacher.stem(part) for (part,) in _parts(pictures)])
    first = torch.cat([teacher.blocks[0](part) for (part,) in _parts(stem)])
    second = torch.cat([teacher.blocks[1](part) for (part,) in _parts(first)])
    kept = select_channels(_covariance(stem) + _covariance(first) + _covariance(second), network.shape.stem)
    del first, second
    network.conv1.weight.data.copy_(teacher.conv1.weight[kept])
    cast(nn.Parameter, network.conv1.bias).data.copy_(cast(torch.Tensor, teacher.conv1.bias)[kept])
    mine, its, missed = stem[:, kept].contiguous(), stem, []
    for number, (block, whole) in enumerate(zip(network.blocks, teacher.blocks, strict=True)):
        width = network.shape.stages[number // 2]
        if number > 1:
            kept = torch.arange(width)
        mine, its = _fit_block(cast(Block, block), cast(ResidualBlock, whole), mine, its, kept)
        missed.append(
            float((mine - its[:, kept]).var() / (its[:, kept] - its[:, kept].mean((0, 2, 3), keepdim=True)).var())
        )
    return missed
