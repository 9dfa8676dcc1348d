"""Step 4 of the worker: fetch images that travel by reference, decode, measure and frame them for their detectors."""

from collections.abc import Sequence
from concurrent.futures import Executor, Future

import structlog

from foundation.errors import Retriable
from imaging.decode import OpenedImage, open_image
from imaging.errors import BadImage
from imaging.pillow_warnings import suppress_pillow_warnings
from imaging.quality.picture_problem import PictureProblem, reported_problem
from imaging.quality.picture_quality import find_problem, measure
from ingest.errors import BadFrame
from scorer.chunks import chunks
from scorer.images import RetriableImageStore
from scorer.imaging.byte_budget import ByteBudget
from scorer.imaging.framing import Framed
from scorer.settings import ScorerSettings
from scorer.worker.batch import BadPicture, LookedUp, Rejected, Scorable, Unscorable, reject
from storage.errors import NotFound

FRAMES_PER_TASK = 4
"""Frames that one task of a thread decodes or stores: each task acquires the GIL twice (docs/adr/0028)."""

Decoded = Scorable | BadPicture | Unscorable | Rejected
"""What a frame may be after this step."""

log = structlog.get_logger()

PendingImages = list[tuple[bytes, "Future[str]"]]
"""Images that are to be stored, each with the reference to complete."""


class FrameDecoder:
    """Decodes frames in threads that hold at most `max_decoded_bytes` of decoded images between them.

    A single image may be larger than that and is then decoded alone. Images are stored by other threads, which wait
    for the disk while the frames are scored.
    """

    def __init__(
        self, images: RetriableImageStore, settings: ScorerSettings, decoding: Executor, storing: Executor
    ) -> None:
        """Decode in the threads `decoding`, of which there are `decode_threads`, and store in the threads `storing`."""
        self._images = images
        self._settings = settings
        self._decoding = decoding
        self._storing = storing
        self._budget = ByteBudget(settings.max_decoded_bytes)

    def decode(self, frames: Sequence[LookedUp]) -> list[Decoded]:
        """Decode each frame, and measure and frame it where its station has a recipe; in order."""
        parts = chunks(frames, FRAMES_PER_TASK, self._settings.decode_threads)
        return [result for results in self._decoding.map(self._decode_chunk, parts) for result in results]

    def _decode_chunk(self, frames: Sequence[LookedUp]) -> list[Decoded]:
        """Decode in one task of a decoding thread, and store in one of a storing thread."""
        pending: PendingImages = []
        with suppress_pillow_warnings():  # once for all of them
            results = [self._decode_frame(found, pending) for found in frames]
        if pending:
            self._storing.submit(self._store, pending)
        return results

    def _decode_frame(self, found: LookedUp, pending: PendingImages) -> Decoded:
        recipe = found.recipe
        try:
            data = self._fetch(found)
            image = open_image(data, self._settings.image_limits)
            with self._budget.reserve(len(data) + image.decoded_bytes):
                prepared = _prepare(image, found)
        except (BadFrame, BadImage) as error:
            return reject(found, error.reason, str(error))
        except (Retriable, MemoryError):
            raise
        except Exception as error:
            log.exception("decoding failed", station=found.station.name, frame_id=str(found.frame.frame_id))
            return reject(found, "decoding-failed", f"The image can't be decoded: {type(error).__name__}: {error}")
        reference = _image_reference(found, pending)
        if isinstance(prepared, PictureProblem):
            set_id = None if recipe is None else recipe.threshold.normal_set_id
            return BadPicture(
                found.frame, found.position, found.station, set_id, prepared, image.content_type, reference
            )
        if recipe is None or prepared is None:
            return Unscorable(found.frame, found.position, found.station, image.content_type, reference)
        return Scorable(
            frame=found.frame,
            message=found.message,
            position=found.position,
            station=found.station,
            recipe=recipe,
            framed=prepared,
            content_type=image.content_type,
            image_reference=reference,
        )

    def _fetch(self, found: LookedUp) -> bytes:
        if found.frame.image is not None:
            return found.frame.image
        reference = found.frame.image_reference or ""
        try:
            return self._images.get(reference)
        except NotFound as error:
            raise BadFrame(
                "image-missing", f"The message refers to the image {reference}, which the image store hasn't."
            ) from error

    def _store(self, pending: PendingImages) -> None:
        for image, reference in pending:
            try:
                reference.set_result(self._images.put(image))
            except Exception as error:  # noqa: BLE001  raised again where the reference is requested
                reference.set_exception(error)


def _prepare(image: OpenedImage, found: LookedUp) -> Framed | PictureProblem | None:
    """Return the image framed for its recipe's detector, or why it is a bad picture; None where there is no recipe."""
    recipe = found.recipe
    try:
        decoded = image.decode() if recipe is None else image.decode(recipe.detector.target_size, recipe.bit_depth)
    except BadImage as error:
        if error.reason == PictureProblem.EXCEEDS_BIT_DEPTH:  # the image is whole, so people can look at it
            return PictureProblem.EXCEEDS_BIT_DEPTH
        raise
    if found.frame.picture_problem is not None:
        return reported_problem(found.frame.picture_problem)
    if recipe is None:
        return None
    problem = find_problem(measure(decoded.pixels), recipe.picture_limits)
    return recipe.prepare(decoded.pixels) if problem is None else problem


def _image_reference(found: LookedUp, pending: PendingImages) -> "Future[str]":
    """Return the reference of the frame's image, complete if the image came by reference, else once it is stored."""
    reference: Future[str] = Future()
    if found.frame.image is None:
        reference.set_result(found.frame.image_reference or "")
    else:
        pending.append((found.frame.image, reference))
    return reference
