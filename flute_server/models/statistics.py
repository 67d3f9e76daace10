"""Figures that are kept while events come, so that reading them costs the same with any amount of mail."""

from __future__ import annotations

import uuid
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from flute_server.models.base import Base, Str, Time, Xid8, one_of


class Follower(Base):
    """How far a reader of all events has come: everything up to (xid, event_id) is taken in."""

    __tablename__ = "follower"

    name: Mapped[Str] = mapped_column(primary_key=True)
    xid: Mapped[str] = mapped_column(Xid8)
    event_id: Mapped[int] = mapped_column(BigInteger)


class Dimension(StrEnum):
    """By what figures are told apart."""

    ALL = "all"
    PROVIDER_ACCOUNT = "provider_account"
    TAG = "tag"
    DOMAIN = "domain"
    CALL = "call"  # by provider account, what concerns the calls to it and the bounces of its mail


class Grain(StrEnum):
    """How long a row covers. Days, in UTC, say the same as hours, in fewer rows for those who read a year."""

    HOUR = "hour"
    DAY = "day"


class Tally(Base):
    """How often what happened in an hour or a day.

    start: of that time. key: the account's id, the tag or the domain; empty for ALL.
    """

    __tablename__ = "tally"

    environment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("environment.id", ondelete="CASCADE"), primary_key=True
    )
    dimension: Mapped[Str] = mapped_column(primary_key=True)
    grain: Mapped[Str] = mapped_column(primary_key=True)
    start: Mapped[Time] = mapped_column(primary_key=True)
    key: Mapped[Str] = mapped_column(primary_key=True)
    type: Mapped[Str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint(one_of("dimension", Dimension), name="dimension"),
        CheckConstraint(one_of("grain", Grain), name="grain"),
    )


class Measure(StrEnum):
    """What takes time."""

    SEND = "send"  # from accepting (or send_at) until a provider took it
    DELIVER = "deliver"  # until the receiver took it
    CALL = "call"  # a call to a provider


class Timing(Base):
    """How many took how long in an hour or a day. bucket: see flute_server/domain/histogram.py."""

    __tablename__ = "timing"

    environment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("environment.id", ondelete="CASCADE"), primary_key=True
    )
    dimension: Mapped[Str] = mapped_column(primary_key=True)
    grain: Mapped[Str] = mapped_column(primary_key=True)
    start: Mapped[Time] = mapped_column(primary_key=True)
    key: Mapped[Str] = mapped_column(primary_key=True)
    measure: Mapped[Str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint(one_of("dimension", Dimension), name="dimension"),
        CheckConstraint(one_of("grain", Grain), name="grain"),
        CheckConstraint(one_of("measure", Measure), name="measure"),
    )


class DomainTally(Base):
    """What became of a provider account's mail to a receiving domain, by the day in UTC. bounced: also where
    another provider took over."""

    __tablename__ = "domain_tally"

    provider_account_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("provider_account.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[Time] = mapped_column(primary_key=True)
    domain: Mapped[Str] = mapped_column(primary_key=True)
    sent: Mapped[int] = mapped_column(BigInteger)
    delivered: Mapped[int] = mapped_column(BigInteger)
    bounced: Mapped[int] = mapped_column(BigInteger)
    deferred: Mapped[int] = mapped_column(BigInteger)
