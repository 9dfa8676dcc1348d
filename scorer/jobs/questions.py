"""Which frames of its stream a station asks people about: the highest scores, one per group of look-alikes."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from imaging import similar_images
from imaging.decode import TargetSize, decode
from imaging.errors import BadImage
from imaging.similar_images import Fingerprint
from scorer.images import RetriableImageStore
from scorer.learning.limits import QUESTIONS, count_answers
from scorer.settings import ScorerSettings
from storage.errors import NotFound
from storage.learning.stream_scores import StreamScore

CANDIDATES = 4 * QUESTIONS
"""The highest frames among which look-alikes are searched."""

MAX_FINGERPRINTS = 1000
"""Small copies that are kept in memory, 29 KB each."""

log = structlog.get_logger()


class QuestionChooser:
    """Chooses questions; used from one thread."""

    def __init__(self, images: RetriableImageStore, settings: ScorerSettings) -> None:
        """Read images from this store, within the settings' limits on images."""
        self._images = images
        self._settings = settings
        self._fingerprints: dict[str, Fingerprint | None] = {}

    def choose(self, stream: Sequence[StreamScore], target_size: TargetSize) -> list[UUID]:
        """Return the frames to ask about, the most telling first; none once `QUESTIONS` were answered.

        Args:
            stream: The station's frames, in any order.
            target_size: The size that images are decoded at, as the station's detector takes it.
        """
        wanted = QUESTIONS - count_answers(stream)
        if wanted <= 0:
            return []
        highest = sorted(stream, key=lambda frame: (-frame.score, frame.frame_id))[:CANDIDATES]
        fingerprints = self._read(highest, target_size)
        return _one_per_group(highest, fingerprints)[:wanted]

    def _read(self, frames: Sequence[StreamScore], target_size: TargetSize) -> Mapping[str, Fingerprint]:
        """Return the fingerprints by reference of those frames whose images can be read."""
        for frame in frames:
            if frame.image_reference not in self._fingerprints:
                while len(self._fingerprints) >= MAX_FINGERPRINTS:
                    del self._fingerprints[next(iter(self._fingerprints))]  # the oldest
                self._fingerprints[frame.image_reference] = self._fingerprint(frame.image_reference, target_size)
        found = {frame.image_reference: self._fingerprints[frame.image_reference] for frame in frames}
        return {reference: fingerprint for reference, fingerprint in found.items() if fingerprint is not None}

    def _fingerprint(self, reference: str, target_size: TargetSize) -> Fingerprint | None:
        try:
            image = decode(self._images.get(reference), self._settings.image_limits, target_size)
        except (NotFound, BadImage) as error:
            log.warning("a frame can't be asked about", image=reference, error=str(error))
            return None
        return similar_images.fingerprint(image.pixels)


def _one_per_group(frames: Sequence[StreamScore], fingerprints: Mapping[str, Fingerprint]) -> list[UUID]:
    """Return the frames without a label, in order, that look like no frame that is asked about or has a label."""
    alike = similar_images.duplicates_by_name(list(fingerprints), similar_images.near_duplicates(fingerprints))
    taken = {frame.image_reference for frame in frames if frame.label is not None}
    chosen: list[UUID] = []
    for frame in frames:
        reference = frame.image_reference
        if reference in taken or reference not in fingerprints or taken & set(alike.get(reference, ())):
            continue
        taken.add(reference)
        chosen.append(frame.frame_id)
    return chosen
