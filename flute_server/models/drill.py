"""Failover drills, and the recipients whose mail they led elsewhere."""

from __future__ import annotations

import uuid

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from flute_server.models.base import Base, Created, Id, Time


class Drill(Base):
    """A provider account is passed over until end_time: whoever reads the row compares that with now, so that
    nothing has to end it.

    environment_id: null for all that use the account. share: for so many of a hundred mails. duration_s: how
    long it was to last; end_time is earlier if somebody ended it.
    """

    __tablename__ = "drill"

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    provider_account_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("provider_account.id", ondelete="CASCADE")
    )
    environment_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("environment.id", ondelete="CASCADE"))
    share: Mapped[int]
    duration_s: Mapped[int]
    create_time: Mapped[Created]
    end_time: Mapped[Time]

    __table_args__ = (
        CheckConstraint("share BETWEEN 1 AND 100", name="share"),
        Index(None, "account_id", "create_time", "id"),
        Index(None, "provider_account_id", "create_time", "id"),
        Index(None, "environment_id"),
        # How the planner finds those that run: there are few.
        Index(None, "end_time"),
    )


class Diversion(Base):
    """A recipient whose mail would have gone through the account of a drill.

    No reference to the recipient, as deleting mail would have to look here: what is gone is not counted.
    """

    __tablename__ = "diversion"

    drill_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("drill.id", ondelete="CASCADE"), primary_key=True)
    recipient_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
