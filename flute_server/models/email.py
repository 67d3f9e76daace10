"""Accepted mail, its recipients, the attempts made for it and the events on its timeline."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, Text, false
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from flute_server.domain.message import RecipientKind
from flute_server.domain.outcome import Fate, Outcome
from flute_server.domain.state import State
from flute_server.models.base import Base, Created, Id, Serial, Str, Time, Xid8, one_of


class Email(Base):
    """One accepted request.

    due_time: when a worker has to look at it next, null when nothing is left to do. A claim moves it to the
    end of the lease, so a mail whose worker died is due again by itself. lease: counts the claims; a worker
    may write only while the number is the one it claimed (its fencing token). round: how often all routes
    were tried; it sets the back-off. send_time: when the caller wants it sent, null for at once; the time to
    give up counts from there. test: sent with a test key, so that no provider is ever called for it.
    resent_from: the email whose content this one repeats. terms: what it can be found by, see
    flute_server/domain/terms.py.
    """

    __tablename__ = "email"

    id: Mapped[Id]
    environment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("environment.id"))
    create_time: Mapped[Created]
    due_time: Mapped[Time | None]
    lease: Mapped[int] = mapped_column(default=0)
    round: Mapped[int] = mapped_column(default=0)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    has_attachments: Mapped[bool] = mapped_column(default=False)
    send_time: Mapped[Time | None]
    test: Mapped[bool] = mapped_column(default=False, server_default=false())
    resent_from: Mapped[uuid.UUID | None]
    terms: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))

    __table_args__ = (
        Index("ix_email_due_time", "due_time", postgresql_where=sql("due_time IS NOT NULL")),
        Index(None, "environment_id", "create_time", "id"),
        # Merged in small portions (kB), since it is an accepting call that has to wait for each.
        Index(
            "ix_email_terms",
            "terms",
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": "256"},
        ),
    )


class Attachment(Base):
    """A file of an email, kept apart so that reading an email does not read it."""

    __tablename__ = "attachment"

    email_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("email.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    filename: Mapped[Str]
    content_type: Mapped[Str]
    content_id: Mapped[Str]
    content: Mapped[bytes] = mapped_column(LargeBinary)


class ContentKept(Base):
    """A mail that was not finished when its content was to be removed. look_time: when to look again."""

    __tablename__ = "content_kept"

    email_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("email.id", ondelete="CASCADE"), primary_key=True)
    environment_id: Mapped[uuid.UUID]
    look_time: Mapped[Time]

    __table_args__ = (Index(None, "environment_id", "look_time"),)


class Recipient(Base):
    """One address of an email. update_time: when it came into its state.

    environment_id, email_time: the email's, here for the index by which mails in a state are listed.
    """

    __tablename__ = "recipient"

    id: Mapped[Serial]
    email_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("email.id", ondelete="CASCADE"))
    environment_id: Mapped[uuid.UUID]
    email_time: Mapped[Time]
    kind: Mapped[Str]
    address: Mapped[Str]
    name: Mapped[Str]
    state: Mapped[Str]
    update_time: Mapped[Created]

    __table_args__ = (
        CheckConstraint(one_of("kind", RecipientKind), name="kind"),
        CheckConstraint(one_of("state", State), name="state"),
        Index(None, "email_id"),
        Index("ix_recipient_listing", "environment_id", "state", "email_time", "email_id"),
    )


class Attempt(Base):
    """One call to one provider account; written before the call, so that a crash leaves a trace.

    candidates: every route that was considered, `{provider_account, chosen, reason}`. simulated: no provider
    was called. environment_id, email_time: the email's, for the index by which an account's mails are listed.
    """

    __tablename__ = "attempt"

    id: Mapped[Id]
    email_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("email.id", ondelete="CASCADE"))
    provider_account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("provider_account.id"))
    round: Mapped[int]
    start_time: Mapped[Time]
    end_time: Mapped[Time | None]
    candidates: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    simulated: Mapped[bool] = mapped_column(default=False, server_default=false())
    environment_id: Mapped[uuid.UUID]
    email_time: Mapped[Time]

    __table_args__ = (
        Index(None, "email_id"),
        Index(None, "provider_account_id", "start_time"),
        Index("ix_attempt_listing", "environment_id", "provider_account_id", "email_time", "email_id"),
    )


class Ledger(Base):
    """What an attempt meant for one of its recipients.

    outcome: null while the call lasts; the first evidence sets it. fate: what became of it afterwards, as
    the provider tells. action: what the verdict on a bounce says must be done.
    """

    __tablename__ = "ledger"

    attempt_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("attempt.id", ondelete="CASCADE"), primary_key=True
    )
    recipient_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("recipient.id", ondelete="CASCADE"), primary_key=True
    )
    outcome: Mapped[Str | None]
    error: Mapped[Str] = mapped_column(default="")
    status: Mapped[Str] = mapped_column(default="")
    code: Mapped[Str] = mapped_column(default="")
    text: Mapped[Str] = mapped_column(default="")
    provider_message_id: Mapped[Str] = mapped_column(default="")
    fate: Mapped[Str | None]
    action: Mapped[Str | None]

    __table_args__ = (
        CheckConstraint(one_of("outcome", Outcome), name="outcome"),
        CheckConstraint(one_of("fate", Fate), name="fate"),
        Index(None, "recipient_id"),
        Index(
            "ix_ledger_provider_message_id",
            "provider_message_id",
            postgresql_where=sql("provider_message_id <> ''"),
        ),
    )


class Event(Base):
    """An immutable fact on an email's timeline; recipient null when it concerns all of them.

    detail: evidence behind the text, e.g. the verdict's rule and the provider's own words.
    xid: the transaction that wrote it. Ids are given out before transactions end, so a reader who follows ids
    could pass by one that becomes visible late; who follows (xid, id) below pg_snapshot_xmin() cannot.
    event_order() keeps that right in another PostgreSQL, see flute_server/sending/succession.py.
    """

    __tablename__ = "event"

    id: Mapped[Serial]
    email_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("email.id", ondelete="CASCADE"))
    recipient_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("recipient.id", ondelete="CASCADE")
    )
    attempt_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("attempt.id", ondelete="CASCADE"))
    type: Mapped[Str]
    time: Mapped[Created]
    text: Mapped[Str]
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    environment_id: Mapped[uuid.UUID]
    xid: Mapped[str] = mapped_column(Xid8, server_default=sql("event_order(pg_current_xact_id())"))

    __table_args__ = (
        Index(None, "email_id", "id"),
        Index(None, "environment_id", "xid", "id"),
        Index(None, "xid", "id"),
        # Events come nearly in the order of their times, for which this kind is enough, and tiny.
        Index(None, "time", postgresql_using="brin"),
    )


class IdempotencyKey(Base):
    """What was answered to a request that may be repeated. hash: SHA-256 of the request."""

    __tablename__ = "idempotency_key"

    environment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("environment.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[Str] = mapped_column(primary_key=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    create_time: Mapped[Created]

    __table_args__ = (Index(None, "create_time"),)
