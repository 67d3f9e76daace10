"""Tenants, the people in them, who is asked to join, and where people are logged in."""

from __future__ import annotations

import uuid
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint, false
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column, synonym

from flute_server.models.base import Base, Created, Id, Str, Time, one_of


class Role(StrEnum):
    """What a member may do in an account."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    VIEWER = "viewer"


class Account(Base):
    """A tenant. delete_time: when its owner ended it, null while it lives; workers take the rest away."""

    __tablename__ = "account"

    id: Mapped[Id]
    name: Mapped[Str]
    create_time: Mapped[Created]
    delete_time: Mapped[Time | None]

    __table_args__ = (
        Index(None, "create_time", "id"),
        Index("ix_account_delete_time", "delete_time", postgresql_where=sql("delete_time IS NOT NULL")),
    )


class User(Base):
    """A person. email: in lower case; password_hash: an argon2id string; operator: runs this installation.

    confirm_time: when the address was proven. totp: the sealed secret of the second factor, null while it is
    off; totp_pending: one that was shown and is not used yet; totp_step: the last 30 seconds whose code was
    taken, since no code counts twice.
    """

    __tablename__ = "user"

    id: Mapped[Id]
    email: Mapped[Str] = mapped_column(unique=True)
    name: Mapped[Str] = mapped_column(default="", server_default="")
    password_hash: Mapped[Str]
    operator: Mapped[bool] = mapped_column(default=False, server_default=false())
    confirm_time: Mapped[Time | None]
    totp: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_pending: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_step: Mapped[int | None] = mapped_column(BigInteger)
    create_time: Mapped[Created]

    __table_args__ = (Index(None, "create_time", "id"),)


class Member(Base):
    """A person's role in an account."""

    __tablename__ = "member"

    account_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[Str]
    create_time: Mapped[Created]
    # As lists in pages call it.
    id: Mapped[uuid.UUID] = synonym("user_id")

    __table_args__ = (CheckConstraint(one_of("role", Role), name="role"), Index(None, "user_id"))


class Invitation(Base):
    """Somebody who is asked to join. hash: of the token in the link that the inviter saw; mail_hash: of the
    one that was mailed, which proves the address besides. inviter: an address, or "service".
    """

    __tablename__ = "invitation"

    id: Mapped[Id]
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    email: Mapped[Str]
    role: Mapped[Str]
    inviter: Mapped[Str]
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    mail_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    create_time: Mapped[Created]
    expire_time: Mapped[Time]

    __table_args__ = (
        CheckConstraint(one_of("role", Role), name="role"),
        UniqueConstraint("account_id", "email"),
        Index(None, "account_id", "create_time", "id"),
    )


class Session(Base):
    """Where a person is logged in; of its token only the SHA-256 is kept. account_id: where they act."""

    __tablename__ = "session"

    id: Mapped[Id]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    account_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("account.id", ondelete="SET NULL"))
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    address: Mapped[Str]
    user_agent: Mapped[Str]
    create_time: Mapped[Created]
    last_used_time: Mapped[Created]
    expire_time: Mapped[Time]

    __table_args__ = (Index(None, "user_id"), Index(None, "account_id"), Index(None, "expire_time"))
