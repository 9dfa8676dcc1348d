"""Steps 2 to 7 of the worker for a whole batch, as the three stages of its pipeline."""

from collections.abc import Iterable
from typing import TypeVar

from foundation.clock import Clock
from foundation.failpoints import failpoint
from scorer.worker.batch import (
    BadPicture,
    DecidedBatch,
    DecodedBatch,
    LookedUp,
    Parsed,
    Rejected,
    Scorable,
    Scored,
    ScoredBatch,
    Source,
    Unscorable,
)
from scorer.worker.decide import decide_batch
from scorer.worker.decode import FrameDecoder
from scorer.worker.lookup import StationLookup
from scorer.worker.parse import parse_all
from scorer.worker.persist import BatchWriter
from scorer.worker.pipeline import Stage
from scorer.worker.progress import Progress
from scorer.worker.score import MicroBatchScorer

T = TypeVar("T")


class BatchStages:
    """The work of each stage on a batch; each takes the result of the stage before it."""

    def __init__(
        self,
        lookup: StationLookup,
        decoder: FrameDecoder,
        scorer: MicroBatchScorer,
        writer: BatchWriter,
        clock: Clock,
    ) -> None:
        """Join the steps that the stages consist of; `clock` gives the time at which frames are received."""
        self._clock = clock
        self._lookup = lookup
        self._decoder = decoder
        self._scorer = scorer
        self._writer = writer

    def pipeline_stages(self, score_threads: int) -> tuple[Stage, ...]:
        """Return the stages in order; several threads score at once, as a batch of one frame occupies only one core."""
        return (
            Stage("decode", self.decode),
            Stage("score", self.score, score_threads),
            Stage("persist", self.persist),
        )

    def decode(self, source: Source) -> DecodedBatch:
        """Parse, look up and decode the frames of a batch; from one thread at a time."""
        parsed = parse_all(source, self._clock())  # 2
        looked_up = self._lookup.look_up(_only(Parsed, parsed))  # 3
        decoded = self._decoder.decode(_only(LookedUp, looked_up))  # 4
        failpoint("decoded")
        return DecodedBatch(
            source=source,
            scorable=_only(Scorable, decoded),
            bad_pictures=_only(BadPicture, decoded),
            unscorable=_only(Unscorable, decoded),
            rejected=_only(Rejected, [*parsed, *looked_up, *decoded]),
        )

    def score(self, batch: DecodedBatch) -> DecidedBatch:
        """Score and decide; from any thread."""
        results = self._scorer.score(batch.scorable)  # 5
        failpoint("scored")
        scored = ScoredBatch(
            source=batch.source,
            scored=_only(Scored, results),
            bad_pictures=batch.bad_pictures,
            unscorable=batch.unscorable,
            rejected=[*batch.rejected, *_only(Rejected, results)],
        )
        return decide_batch(scored)  # 6

    def persist(self, batch: DecidedBatch) -> Progress:
        """Store and record a batch; from one thread at a time."""
        return self._writer.write(batch)  # 7


def _only(kind: type[T], values: Iterable[object]) -> list[T]:
    """Return the values of one type, in order."""
    return [value for value in values if isinstance(value, kind)]
