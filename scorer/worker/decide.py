"""Step 6 of the worker: decide on each frame by its score and its recipe's threshold."""

from scorer.worker.batch import Decided, DecidedBatch, ScoredBatch
from storage.line.decision import decide


def decide_batch(batch: ScoredBatch) -> DecidedBatch:
    """Decide on scored frames by their scores; bad pictures stay bad pictures, whatever the detector would say of them.

    Frames without a recipe are parked, or not, as their station's settings say.
    """
    return DecidedBatch(
        source=batch.source,
        decided=[Decided(scored, decide(scored.score, scored.recipe.threshold.value)) for scored in batch.scored],
        bad_pictures=batch.bad_pictures,
        unscored=[frame for frame in batch.unscorable if frame.station.settings.without_normals == "no_reference"],
        to_park=[frame for frame in batch.unscorable if frame.station.settings.without_normals == "wait"],
        rejected=batch.rejected,
    )
