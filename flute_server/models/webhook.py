"""Where events are told to the owner's own programs, and what came of telling them."""

from __future__ import annotations

import uuid
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from flute_server.models.base import Base, Created, Id, Serial, Str, Time, Xid8, one_of


class WebhookEndpoint(Base):
    """A program of the owner. event_types: empty for all. Secrets are sealed like credentials.

    failing_since: since when every call failed, null while it is well; failures: how many in a row;
    retry_time: not to be called before this. xid: the transaction that created it; it is told of what later
    ones store.
    """

    __tablename__ = "webhook_endpoint"

    id: Mapped[Id]
    environment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("environment.id", ondelete="CASCADE"))
    url: Mapped[Str]
    description: Mapped[Str] = mapped_column(default="")
    event_types: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{}'"))
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_secret_expire_time: Mapped[Time | None]
    paused: Mapped[bool] = mapped_column(default=False, server_default=false())
    pause_reason: Mapped[Str] = mapped_column(default="")
    failing_since: Mapped[Time | None]
    failures: Mapped[int] = mapped_column(default=0)
    retry_time: Mapped[Time | None]
    xid: Mapped[str] = mapped_column(Xid8, server_default=sql("event_order(pg_current_xact_id())"))
    create_time: Mapped[Created]

    __table_args__ = (Index(None, "environment_id", "create_time", "id"),)


class WebhookDeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookDelivery(Base):
    """One event for one endpoint. The body is made from the event when it is sent.

    tries: calls since it was created or replayed last. due_time: when to try it (again), null when not. A
    claim moves it to the end of its lease, so that what a dead worker held is due again by itself; lease
    counts the claims.
    """

    __tablename__ = "webhook_delivery"

    id: Mapped[Id] = mapped_column(server_default=sql("gen_random_uuid()"))
    endpoint_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhook_endpoint.id", ondelete="CASCADE"))
    event_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("event.id", ondelete="CASCADE"))
    email_id: Mapped[uuid.UUID]
    state: Mapped[Str] = mapped_column(
        default=WebhookDeliveryState.PENDING, server_default=WebhookDeliveryState.PENDING
    )
    tries: Mapped[int] = mapped_column(default=0, server_default=sql("0"))
    due_time: Mapped[Time | None]
    lease: Mapped[int] = mapped_column(default=0, server_default=sql("0"))
    create_time: Mapped[Created]

    __table_args__ = (
        CheckConstraint(one_of("state", WebhookDeliveryState), name="state"),
        UniqueConstraint("endpoint_id", "event_id"),
        Index(None, "event_id"),
        Index(None, "endpoint_id", "state", "event_id"),
        Index(
            "ix_webhook_delivery_due",
            "endpoint_id",
            "due_time",
            "event_id",
            postgresql_where=sql("due_time IS NOT NULL"),
        ),
        Index(
            "ix_webhook_delivery_waiting",
            "endpoint_id",
            "email_id",
            "event_id",
            postgresql_where=sql("due_time IS NOT NULL"),
        ),
    )


class WebhookTry(Base):
    """One call. status: 0 when no answer came; text: the beginning of the answer, or why there was none.

    url: where it went, empty for calls from before that was kept.
    """

    __tablename__ = "webhook_try"

    id: Mapped[Serial]
    delivery_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhook_delivery.id", ondelete="CASCADE"))
    start_time: Mapped[Time]
    duration_ms: Mapped[int]
    status: Mapped[int]
    text: Mapped[Str]
    url: Mapped[Str] = mapped_column(server_default="")

    __table_args__ = (Index(None, "delivery_id", "id"),)
