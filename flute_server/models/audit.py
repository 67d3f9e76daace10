"""Who changed what."""

from __future__ import annotations

import uuid

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from flute_server.models.base import Base, Created, Id, Str


class AuditEntry(Base):
    """One change. actor: see admin.audit.Author; action: for example suppression.delete."""

    __tablename__ = "audit_entry"

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    actor: Mapped[Str]
    action: Mapped[Str]
    subject: Mapped[Str]
    text: Mapped[Str] = mapped_column(default="")
    request_id: Mapped[Str] = mapped_column(default="")
    create_time: Mapped[Created]

    __table_args__ = (Index(None, "account_id", "create_time", "id"),)
