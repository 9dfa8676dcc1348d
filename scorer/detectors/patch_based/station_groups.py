"""A batch that mixes stations, scored group by group: one group holds the images of one station."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from scorer.detectors.protocol import References
from scorer.detectors.score_tensors import ScoreTensors


class Features(Protocol):
    """A network's output for a batch of images, before any station's references are involved."""

    def take(self, positions: Sequence[int]) -> Self:
        """Return the features of those images, in that order."""


F = TypeVar("F", bound=Features)


@dataclass(frozen=True, slots=True)
class StationGroups:
    """How to reorder a batch so that each station's images lie side by side.

    Attributes:
        order: For each position of the reordered batch, the image's position in the original one.
        groups: The number of images of each station, and its references, in the reordered batch.
    """

    order: Sequence[int]
    groups: Sequence[tuple[int, References]]

    @classmethod
    def of(cls, references: Sequence[References]) -> "StationGroups":
        """Group by the references of each image; images of one station share one object."""
        positions: dict[int, list[int]] = {}
        for position, stored in enumerate(references):
            positions.setdefault(id(stored), []).append(position)
        order = [position for group in positions.values() for position in group]
        return cls(order, [(len(group), references[group[0]]) for group in positions.values()])

    def sort(self, features: F) -> F:
        """Return the features in the groups' order."""
        return features if self._is_sorted else features.take(self.order)

    def restore(self, scores: ScoreTensors) -> ScoreTensors:
        """Return scores in the order of the original batch."""
        if self._is_sorted:
            return scores
        inverse = sorted(range(len(self.order)), key=self.order.__getitem__)
        return scores.take(inverse)

    @property
    def _is_sorted(self) -> bool:
        return list(self.order) == list(range(len(self.order)))


def score_groups_separately(
    features: F, references: Sequence[References], score: Callable[[F, References], ScoreTensors]
) -> ScoreTensors:
    """Score each station's images with one call of `score`; returns scores in the order of `features`."""
    batch = StationGroups.of(references)
    if len(batch.groups) == 1:
        return score(features, references[0])
    parts, first = [], 0
    for count, stored in batch.groups:
        parts.append(score(features.take(batch.order[first : first + count]), stored))
        first += count
    return batch.restore(ScoreTensors.concat(parts))
