"""What providers tell afterwards, and what it taught us: raw webhooks, events, suppressions, alerts."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from flute_server.domain.event import ProviderEventKind
from flute_server.models.base import Base, Created, Id, Serial, Str, Time, one_of


class Inbound(Base):
    """A webhook body or bounce mail as it came.

    body: empty once a webhook is read, whose events are kept one by one; a bounce mail is kept as long as the
    content of the mail that came back, which stands in it. email_id: that mail, once it is read.
    due_time: when to read it (again), null once read. token: what a provider uses once for each event, where
    its signature covers nothing else: a known one is a replay. recipient: the envelope recipient of a bounce
    mail. provider_account_id: null for bounce mail, whose return path says to which attempt it belongs.
    """

    __tablename__ = "inbound"

    id: Mapped[Serial]
    provider_account_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("provider_account.id", ondelete="CASCADE")
    )
    token: Mapped[Str | None]
    recipient: Mapped[Str] = mapped_column(default="")
    body: Mapped[bytes] = mapped_column(LargeBinary)
    create_time: Mapped[Created]
    due_time: Mapped[Time | None]
    error: Mapped[Str] = mapped_column(default="")
    email_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("email.id", ondelete="CASCADE"))

    __table_args__ = (
        Index("ix_inbound_email_id", "email_id", postgresql_where=sql("email_id IS NOT NULL")),
        Index("ix_inbound_due_time", "due_time", postgresql_where=sql("due_time IS NOT NULL")),
        UniqueConstraint("provider_account_id", "token"),
    )


class ProviderEvent(Base):
    """One event of one provider account. key: the provider's own id of it, so that a repetition is known.

    event: without the provider's own words (`raw`) once the content of its mail was removed.
    match_time: when to look for its mail again, null once found or given up.
    """

    __tablename__ = "provider_event"

    id: Mapped[Serial]
    provider_account_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("provider_account.id", ondelete="CASCADE")
    )
    key: Mapped[Str]
    kind: Mapped[Str]
    time: Mapped[Time]
    recipient: Mapped[Str]
    email_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("email.id", ondelete="SET NULL"))
    event: Mapped[dict[str, Any]] = mapped_column(JSONB)
    match_time: Mapped[Time | None]
    create_time: Mapped[Created]

    __table_args__ = (
        CheckConstraint(one_of("kind", ProviderEventKind), name="kind"),
        UniqueConstraint("provider_account_id", "key"),
        Index("ix_provider_event_match_time", "match_time", postgresql_where=sql("match_time IS NOT NULL")),
        Index(None, "email_id"),
    )


class SuppressionReason(StrEnum):
    """Why an address must not be mailed."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    MANUAL = "manual"


class Suppression(Base):
    """An address, in lower case, that an account must not mail through any provider."""

    __tablename__ = "suppression"

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    address: Mapped[Str]
    reason: Mapped[Str]
    text: Mapped[Str]
    create_time: Mapped[Created]

    __table_args__ = (
        CheckConstraint(one_of("reason", SuppressionReason), name="reason"),
        UniqueConstraint("account_id", "address"),
        Index(None, "account_id", "create_time", "id"),
    )


class AlertKind(StrEnum):
    """What a person must look at."""

    PROVIDER_ACCOUNT = "provider_account"  # credentials, billing or suspension: no mail until somebody acts
    SENDER_DOMAIN = "sender_domain"  # SPF, DKIM or DMARC of the FROM domain fail
    REVIEW = "review"  # a bounce that no rule understands
    WEBHOOK = "webhook"  # an endpoint of the owner that takes no calls any more


class Alert(Base):
    """Something that waits for a person. subject: what it is about; at most one open alert for each."""

    __tablename__ = "alert"

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    kind: Mapped[Str]
    subject: Mapped[Str]
    text: Mapped[Str]
    count: Mapped[int] = mapped_column(default=1)
    create_time: Mapped[Created]
    resolve_time: Mapped[Time | None]

    __table_args__ = (
        CheckConstraint(one_of("kind", AlertKind), name="kind"),
        Index(
            "uq_alert_open",
            "account_id",
            "kind",
            "subject",
            unique=True,
            postgresql_where=sql("resolve_time IS NULL"),
        ),
        Index(None, "account_id", "create_time", "id"),
    )
