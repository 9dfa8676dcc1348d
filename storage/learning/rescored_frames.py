"""Scores of frames by another normal set or model than their verdicts', from which a new model's limits are learnt."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from storage.database.tables import RescoredFrameRow


def replace_all(
    session: Session, normal_set_id: int, mask_version: int, scores_by_model: Mapping[str, Mapping[UUID, float]]
) -> None:
    """Store the scores by a normal set in place of those that are stored for it.

    Args:
        session: The transaction.
        normal_set_id: The normal set that the frames were compared with.
        mask_version: The version of the station's mask that was left out; 0 for none.
        scores_by_model: By model id, the scores by frame id, each as if the model had not learnt from the frame.
    """
    session.execute(delete(RescoredFrameRow).where(RescoredFrameRow.normal_set_id == normal_set_id))
    rows = [
        {
            "frame_id": frame_id,
            "normal_set_id": normal_set_id,
            "model_id": model_id,
            "score": score,
            "mask_version": mask_version,
        }
        for model_id, scores in scores_by_model.items()
        for frame_id, score in scores.items()
    ]
    if rows:
        session.execute(insert(RescoredFrameRow), rows)
