"""FROM domains with their routes and keys."""

from __future__ import annotations

import uuid
from datetime import datetime
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

from flute_server.models.base import Base, Created, Id, Str, Time, one_of


class AmbiguityPolicy(StrEnum):
    """What to do when it is not known whether a provider took a mail."""

    RESEND = "resend"
    WAIT = "wait"


class DelayPolicy(StrEnum):
    """What to do with a mail that a provider took and of which nothing more is heard for too long."""

    WAIT = "wait"
    RESEND = "resend"


class KeyKind(StrEnum):
    """What becomes of the mail that a key sends."""

    LIVE = "live"
    TEST = "test"


class Scope(StrEnum):
    """What a key may do."""

    SEND = "send"
    READ = "read"
    MANAGE = "manage"


class Environment(Base):
    """A FROM domain and its settings. Times in seconds.

    rate_per_second, rate_burst: how much mail it takes from all keys together, null for no limit.
    monthly_quota: mails a calendar month in UTC, null for no limit. retention_days: how long the content of
    finished mail is kept, 0 for ever; content_place_time, content_place_id: how far that is looked after.
    track_opens, track_clicks: for mail whose request does not say.
    """

    __tablename__ = "environment"

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    name: Mapped[Str]
    domain: Mapped[Str]
    allow_subdomains: Mapped[bool] = mapped_column(default=False)
    on_ambiguous: Mapped[Str] = mapped_column(default=AmbiguityPolicy.RESEND)
    ambiguity_wait_s: Mapped[int] = mapped_column(default=3600)
    give_up_after_s: Mapped[int] = mapped_column(default=24 * 3600)
    on_delay: Mapped[Str] = mapped_column(default=DelayPolicy.WAIT)
    rate_per_second: Mapped[int | None]
    rate_burst: Mapped[int | None]
    monthly_quota: Mapped[int | None] = mapped_column(BigInteger)
    one_click_unsubscribe: Mapped[bool] = mapped_column(default=False, server_default=false())
    create_time: Mapped[Created]
    retention_days: Mapped[int] = mapped_column(default=0, server_default=sql("0"))
    content_place_time: Mapped[Time | None]
    content_place_id: Mapped[uuid.UUID | None]
    track_opens: Mapped[bool] = mapped_column(default=False, server_default=false())
    track_clicks: Mapped[bool] = mapped_column(default=False, server_default=false())

    __table_args__ = (
        CheckConstraint(one_of("on_ambiguous", AmbiguityPolicy), name="on_ambiguous"),
        CheckConstraint(one_of("on_delay", DelayPolicy), name="on_delay"),
        UniqueConstraint("account_id", "name"),
        Index(None, "account_id", "create_time", "id"),
    )


class Route(Base):
    """A provider account's place in an environment.

    max_per_second, max_per_day: mails beyond these go elsewhere or wait; null for no cap. authenticated:
    the provider signs for the environment's domain (DKIM aligned), as far as the owner knows.
    """

    __tablename__ = "route"

    id: Mapped[Id]
    environment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("environment.id", ondelete="CASCADE"))
    provider_account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("provider_account.id"))
    position: Mapped[int]
    weight: Mapped[int] = mapped_column(default=1)
    disabled: Mapped[bool] = mapped_column(default=False)
    max_per_second: Mapped[int | None]
    max_per_day: Mapped[int | None]
    authenticated: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (
        UniqueConstraint("environment_id", "provider_account_id"),
        Index(None, "provider_account_id"),
    )


class ApiKey(Base):
    """A key of an environment; of its secret only the SHA-256 is kept.

    rate_per_second, rate_burst: how often it may be used, null for no limit of its own.
    """

    __tablename__ = "api_key"

    id: Mapped[Id]
    environment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("environment.id", ondelete="CASCADE"))
    name: Mapped[Str]
    hint: Mapped[Str]
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    create_time: Mapped[Created]
    last_used_time: Mapped[Time | None]
    revoke_time: Mapped[Time | None]
    expire_time: Mapped[Time | None]
    kind: Mapped[Str] = mapped_column(default=KeyKind.LIVE, server_default=KeyKind.LIVE)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=sql("'{send,read}'"))
    rate_per_second: Mapped[int | None]
    rate_burst: Mapped[int | None]

    __table_args__ = (
        CheckConstraint(one_of("kind", KeyKind), name="kind"),
        Index(None, "environment_id", "create_time", "id"),
    )

    def revoke(self, now: datetime) -> None:
        """End the key; the first end stands."""
        self.revoke_time = self.revoke_time or now
