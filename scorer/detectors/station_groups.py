"""Pictures of several stations in one batch, held against each station's own references."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from scorer.detectors.protocol import EncodedBatch, References, Scores

E = TypeVar("E", bound=EncodedBatch)


@dataclass(frozen=True, slots=True)
class StationGroups:
    """A batch with the pictures of each station side by side. order: the place in the batch of each picture.

    stations: how many pictures, and their references.
    """

    order: Sequence[int]
    stations: Sequence[tuple[int, References]]

    @classmethod
    def of(cls, references: Sequence[References]) -> "StationGroups":
        """From the references of each picture; equal ones are the same object."""
        places: dict[int, list[int]] = {}
        for place, one in enumerate(references):
            places.setdefault(id(one), []).append(place)
        order = [place for some in places.values() for place in some]
        return cls(order, [(len(some), references[some[0]]) for some in places.values()])

    def sorted(self, encoded: E) -> E:
        """The batch in this order."""
        return encoded if self._is_sorted else encoded.take(self.order)

    def back(self, scores: Scores) -> Scores:
        """Scores in the order of the batch."""
        if self._is_sorted:
            return scores
        places = torch.tensor(self.order, device=scores.image.device).argsort()
        components = {name: values[places] for name, values in scores.components.items()}
        return Scores(scores.image[places], scores.maps[places], components)

    @property
    def _is_sorted(self) -> bool:
        return list(self.order) == list(range(len(self.order)))


def score_groups_separately(
    encoded: E, references: Sequence[References], judge: Callable[[E, References], Scores]
) -> Scores:
    """A detector's `score_each` by its `judge`: station by station."""
    runs = StationGroups.of(references)
    if len(runs.stations) == 1:
        return judge(encoded, references[0])
    found, first = [], 0
    for count, its in runs.stations:
        found.append(judge(encoded.take(runs.order[first : first + count]), its))
        first += count
    components = {name: torch.cat([one.components[name] for one in found]) for name in found[0].components}
    return runs.back(
        Scores(torch.cat([one.image for one in found]), torch.cat([one.maps for one in found]), components)
    )
