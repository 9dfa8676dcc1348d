"""Scores while they are still tensors; `Scores` in numpy is made of them where they leave a detector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from scorer.detectors.protocol import FloatArray, Scores


@dataclass(frozen=True, slots=True)
class ScoreTensors:
    """Scores of B images on the detector's device.

    Attributes:
        image: Image scores, (B,).
        maps: Anomaly maps with the cells row by row, (B, P).
        components: The terms of the image score, by name, each (B,).
    """

    image: torch.Tensor
    maps: torch.Tensor
    components: Mapping[str, torch.Tensor]

    @classmethod
    def concat(cls, parts: Sequence["ScoreTensors"]) -> "ScoreTensors":
        """Join the scores of several batches."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            torch.cat([part.image for part in parts]),
            torch.cat([part.maps for part in parts]),
            {name: torch.cat([part.components[name] for part in parts]) for name in parts[0].components},
        )

    def take(self, positions: Sequence[int]) -> "ScoreTensors":
        """Return the scores of those images, in that order."""
        chosen = torch.tensor(positions, device=self.image.device)
        components = {name: values[chosen] for name, values in self.components.items()}
        return ScoreTensors(self.image[chosen], self.maps[chosen], components)

    def to_numpy(self, grid: tuple[int, int]) -> Scores:
        """Copy the scores to numpy, the maps in rows and columns: (B, P) to (B, *grid)."""
        components = {name: _float32(values) for name, values in self.components.items()}
        return Scores(_float32(self.image), _float32(self.maps.view(-1, *grid)), components)


def _float32(values: torch.Tensor) -> FloatArray:
    array: FloatArray = values.float().cpu().numpy()
    return array
