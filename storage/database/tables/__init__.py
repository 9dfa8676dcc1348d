"""The tables, the same on SQLite and PostgreSQL. Every time is UTC and ends in `_at`."""

from storage.database.tables.alerts import (
    AlertRow,
    AlertRuleRow,
    AlertWatchRow,
    ChannelRow,
    MuteRow,
    NotificationRow,
)
from storage.database.tables.auth import AuditRow, LoginAttemptRow, LoginRow, UserRow
from storage.database.tables.base import Base, BigId, UtcDateTime
from storage.database.tables.frames import DeadLetterRow, DropRow, ParkedFrameRow, VerdictRow
from storage.database.tables.learning import DefectSetRow, RescoredFrameRow
from storage.database.tables.outputs import OutboxRow, OutputRow
from storage.database.tables.review import ReviewedFrameRow, ReviewQueueRow, ReviewRow
from storage.database.tables.rollups import ScoreRollupRow, VerdictRollupRow
from storage.database.tables.stations import (
    GoldenFrameRow,
    NormalCandidateRow,
    NormalImageRow,
    NormalSetRow,
    StationMaskRow,
    StationRow,
    ThresholdRow,
)
from storage.database.tables.workers import JobRow, WorkerRow

__all__ = [
    "AlertRow",
    "AlertRuleRow",
    "AlertWatchRow",
    "AuditRow",
    "Base",
    "BigId",
    "ChannelRow",
    "DeadLetterRow",
    "DefectSetRow",
    "DropRow",
    "GoldenFrameRow",
    "JobRow",
    "LoginAttemptRow",
    "LoginRow",
    "MuteRow",
    "NormalCandidateRow",
    "NormalImageRow",
    "NormalSetRow",
    "NotificationRow",
    "OutboxRow",
    "OutputRow",
    "ParkedFrameRow",
    "RescoredFrameRow",
    "ReviewQueueRow",
    "ReviewRow",
    "ReviewedFrameRow",
    "ScoreRollupRow",
    "StationMaskRow",
    "StationRow",
    "ThresholdRow",
    "UserRow",
    "UtcDateTime",
    "VerdictRollupRow",
    "VerdictRow",
    "WorkerRow",
]
