"""What a worker has done so far."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of frames read and of what became of them; `lag` is how many frames of ours the bus still holds."""

    frames: int = 0
    verdicts: int = 0
    flagged: int = 0
    dead_letters: int = 0
    parked: int = 0
    lag: int = 0

    def __add__(self, other: "Progress") -> "Progress":
        """Counts add up, the later lag holds."""
        return Progress(
            self.frames + other.frames,
            self.verdicts + other.verdicts,
            self.flagged + other.flagged,
            self.dead_letters + other.dead_letters,
            self.parked + other.parked,
            other.lag,
        )

    def __str__(self) -> str:
        told = f"{self.verdicts} verdicts, {self.flagged} of them flagged, from {self.frames} frames"
        if self.parked:
            told += f"; {self.parked} wait for their station's normal set"
        if self.dead_letters:
            told += f"; {self.dead_letters} became dead letters (andon dead-letters list)"
        return told + "."
