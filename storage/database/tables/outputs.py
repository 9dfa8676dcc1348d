"""Tables of the outputs and of the verdicts that wait for them."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from storage.database.tables.base import Base, BigId, UtcDateTime


class OutputRow(Base):
    """An output that has been started once; from then on every verdict is queued for it (docs/adr/0034)."""

    __tablename__ = "outputs"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(String(500))  # why it can't deliver now


class OutboxRow(Base):
    """A verdict that an output has not delivered: written with the verdict, deleted after the delivery.

    The output's name is no foreign key: while a scorer writes a verdict, a person may remove the output.
    """

    __tablename__ = "outbox"

    output: Mapped[str] = mapped_column(String(64), primary_key=True)
    verdict_id: Mapped[int] = mapped_column(BigId, ForeignKey("verdicts.id"), primary_key=True, autoincrement=False)
    rejection: Mapped[str | None] = mapped_column(String(500))  # why the output can never deliver it
