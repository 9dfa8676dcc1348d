"""What is in force for normal sets as one transaction sees it: their thresholds, and the defect sets in use."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from storage.learning import defect_sets
from storage.learning.defect_sets import HeadsInUse
from storage.line import thresholds
from storage.line.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class InForce:
    """Thresholds by (normal set id, model id), and defect sets in use by (normal set id, model id of the detector)."""

    thresholds: Mapping[tuple[int, str], Threshold]
    heads: HeadsInUse

    @classmethod
    def read(cls, session: Session, normal_set_ids: Collection[int]) -> "InForce":
        """Read what is in force for these normal sets."""
        return cls(thresholds.in_force(session, normal_set_ids), defect_sets.in_use(session, normal_set_ids))
