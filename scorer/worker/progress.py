"""The counts of a worker's results."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Frames read and their results.

    `lag` is how many frames of this worker's partitions are not committed, `deleted` how many frames were deleted from
    the bus before they were read.
    """

    frames: int = 0
    verdicts: int = 0
    flagged: int = 0
    bad_pictures: int = 0
    dead_letters: int = 0
    parked: int = 0
    deleted: int = 0
    lag: int = 0

    def __add__(self, other: "Progress") -> "Progress":
        """Return the sum of the counts, with the lag of `other`, which is the later one."""
        return Progress(
            self.frames + other.frames,
            self.verdicts + other.verdicts,
            self.flagged + other.flagged,
            self.bad_pictures + other.bad_pictures,
            self.dead_letters + other.dead_letters,
            self.parked + other.parked,
            self.deleted + other.deleted,
            other.lag,
        )

    def __str__(self) -> str:
        """Return the counts as one sentence."""
        text = f"{self.verdicts} verdicts, {self.flagged} of them flagged, from {self.frames} frames"
        if self.bad_pictures:
            text += f"; {self.bad_pictures} are bad pictures (andon verdicts --decision bad_picture)"
        if self.parked:
            text += f"; {self.parked} wait for their station's normal set"
        if self.dead_letters:
            text += f"; {self.dead_letters} became dead letters (andon dead-letters list)"
        if self.deleted:
            text += f"; {self.deleted} were deleted from the bus before they were read"
        return text + "."
