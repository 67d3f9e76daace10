"""Credentials at sending services, and how healthy each is."""

from __future__ import annotations

import uuid

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from flute_server.domain.breaker import BreakerState
from flute_server.models.base import Base, Created, Id, Serial, Str, Time, one_of


class ProviderAccount(Base):
    """One set of credentials. `credentials` is Fernet-encrypted JSON; `revision` changes with them.

    pause_time: since when a person lets it have no mail, null while it gets some. last_event_time: when
    proven events last came, rejected_time and rejected_reason: when others were last refused, and why; each
    to the minute, so that a flood of calls writes once a minute. check_*: the last check of the credentials,
    none since they changed; check_refused: the provider was asked, and does not take them.
    """

    __tablename__ = "provider_account"

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    provider: Mapped[Str]
    name: Mapped[Str]
    credentials: Mapped[bytes] = mapped_column(LargeBinary)
    revision: Mapped[int] = mapped_column(default=1)
    create_time: Mapped[Created]
    pause_time: Mapped[Time | None]
    last_event_time: Mapped[Time | None]
    rejected_time: Mapped[Time | None]
    rejected_reason: Mapped[Str] = mapped_column(default="", server_default="")
    check_time: Mapped[Time | None]
    check_ok: Mapped[bool] = mapped_column(default=False, server_default=false())
    check_refused: Mapped[bool] = mapped_column(default=False, server_default=false())
    check_text: Mapped[Str] = mapped_column(default="", server_default="")
    check_advice: Mapped[Str] = mapped_column(default="", server_default="")

    __table_args__ = (
        UniqueConstraint("account_id", "name"),
        Index(None, "account_id", "create_time", "id"),
    )


class Breaker(Base):
    """The shared memory of flute_server.domain.breaker; no row means closed.

    domain: a receiving domain in lower case, or empty for the account as a whole.
    """

    __tablename__ = "breaker"

    provider_account_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("provider_account.id", ondelete="CASCADE"), primary_key=True
    )
    domain: Mapped[Str] = mapped_column(primary_key=True, default="")
    state: Mapped[Str]
    failures: Mapped[int]
    opened: Mapped[int]
    retry_at: Mapped[Time | None]
    reason: Mapped[Str]

    __table_args__ = (CheckConstraint(one_of("state", BreakerState), name="state"),)


class BreakerChange(Base):
    """A breaker that opened or closed, kept for a while.

    domain: as in Breaker; reason: why it opened, or what closed it.
    """

    __tablename__ = "breaker_change"

    id: Mapped[Serial]
    provider_account_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("provider_account.id", ondelete="CASCADE")
    )
    domain: Mapped[Str]
    opened: Mapped[bool]
    reason: Mapped[Str]
    time: Mapped[Created]

    __table_args__ = (Index(None, "provider_account_id", "time"), Index(None, "time"))


class Delay(Base):
    """How long a provider account usually takes from accepted to delivered at a receiving domain.

    mean_s and deviation_s are smoothed; deliveries counts what they were learned from.
    """

    __tablename__ = "delay"

    provider_account_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("provider_account.id", ondelete="CASCADE"), primary_key=True
    )
    domain: Mapped[Str] = mapped_column(primary_key=True)
    deliveries: Mapped[int]
    mean_s: Mapped[float]
    deviation_s: Mapped[float]
