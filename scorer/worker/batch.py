"""The values that pass between the worker's stages: each stage takes one and returns the next, and none is changed.

A frame is `Parsed`, looked up (`LookedUp`), decoded (`Scorable`; `BadPicture` where the image does not show the part
properly, `Unscorable` where its station has no normal set), `Scored` and `Decided`. At every step it may become
`Rejected` instead, which ends as a dead letter.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imaging.quality.picture_problem import PictureProblem
from ingest.bus.protocol import DeletedRecords, LogEntry, Message, RecordPosition, offset_after
from ingest.frame import PublishedFrame
from scorer.imaging.framing import Framed
from scorer.recipes.recipe import Recipe
from storage.line.decision import Decision
from storage.line.parked_frames import ParkedFrame
from storage.line.stations import Station


@dataclass(frozen=True, slots=True)
class Polled:
    """Entries as they were polled from the bus; their offsets are committed once the batch is persisted."""

    entries: Sequence[LogEntry]

    @property
    def frames(self) -> int:
        """How many entries are frames, readable or not."""
        return len(self.entries) - len(self.deleted)

    @property
    def deleted(self) -> Sequence[DeletedRecords]:
        """The records that were deleted before they were read."""
        return [entry for entry in self.entries if isinstance(entry, DeletedRecords)]

    @property
    def next_offsets(self) -> Mapping[tuple[str, int], int]:
        """The offset to read next, per (topic, partition)."""
        offsets: dict[tuple[str, int], int] = {}
        for entry in self.entries:
            partition = entry.position.topic, entry.position.partition
            offsets[partition] = max(offsets.get(partition, 0), offset_after(entry))
        return offsets


@dataclass(frozen=True, slots=True)
class Released:
    """Parked frames of one station that has a normal set now, oldest first; they stay parked until persisted."""

    station: str
    frames: Sequence[ParkedFrame]


Source = Polled | Released
"""Where the frames of a batch come from."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A frame whose message could be read."""

    frame: PublishedFrame
    message: Message
    position: RecordPosition


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that can't become a verdict; `reason` is the code of its dead letter, `error` a sentence."""

    message: Message
    position: RecordPosition
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class LookedUp:
    """A frame of a known station; `recipe` is None where the station has no active normal set."""

    frame: PublishedFrame
    message: Message
    position: RecordPosition
    station: Station
    recipe: Recipe | None


@dataclass(frozen=True, slots=True)
class Scorable:
    """A frame that was decoded and framed for its recipe's detector.

    `content_type` is that of the bytes, whatever the message's header. `image_reference` is the image's reference
    once the image store has it: images are stored while frames are scored.
    """

    frame: PublishedFrame
    message: Message
    position: RecordPosition
    station: Station
    recipe: Recipe
    framed: Framed
    content_type: str
    image_reference: Future[str]


@dataclass(frozen=True, slots=True)
class Unscorable:
    """A frame that was decoded but has nothing to be compared with: its station has no active normal set."""

    frame: PublishedFrame
    position: RecordPosition
    station: Station
    content_type: str
    image_reference: Future[str]


@dataclass(frozen=True, slots=True)
class BadPicture:
    """A frame whose image does not show the part properly, and is not scored.

    `normal_set_id` names the normal set that the image was measured against; None where the station has none.
    """

    frame: PublishedFrame
    position: RecordPosition
    station: Station
    normal_set_id: int | None
    problem: PictureProblem
    content_type: str
    image_reference: Future[str]


@dataclass(frozen=True, slots=True)
class Scored:
    """A frame with its anomaly score and its components.

    `anomaly_map` (rows, columns), float32, covers the image as it was framed, of `height` × `width` pixels before.
    """

    frame: PublishedFrame
    position: RecordPosition
    station: Station
    recipe: Recipe
    content_type: str
    image_reference: Future[str]
    score: float
    components: Mapping[str, float]
    anomaly_map: npt.NDArray[np.float32]
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Decided:
    """A scored frame with its decision."""

    scored: Scored
    decision: Decision


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """The results of decoding a batch."""

    source: Source
    scorable: Sequence[Scorable]
    bad_pictures: Sequence[BadPicture]
    unscorable: Sequence[Unscorable]
    rejected: Sequence[Rejected]


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """The results of scoring a batch."""

    source: Source
    scored: Sequence[Scored]
    bad_pictures: Sequence[BadPicture]
    unscorable: Sequence[Unscorable]
    rejected: Sequence[Rejected]


@dataclass(frozen=True, slots=True)
class DecidedBatch:
    """The decisions on a batch: verdicts with and without a score, frames to park, and rejected messages.

    Bad pictures are decided by what step 4 measured, and no score can change that.
    """

    source: Source
    decided: Sequence[Decided]
    bad_pictures: Sequence[BadPicture]
    unscored: Sequence[Unscorable]
    to_park: Sequence[Unscorable]
    rejected: Sequence[Rejected]


def reject(parsed: Parsed | LookedUp | Scorable, reason: str, error: str) -> Rejected:
    """Return the rejection of a frame whose message could be read."""
    return Rejected(parsed.message, parsed.position, reason, error)
