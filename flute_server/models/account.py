"""Tenants, the people in them, and where those are logged in."""

from __future__ import annotations

import uuid
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, false
from sqlalchemy.orm import Mapped, mapped_column

from flute_server.models.base import Base, Created, Id, Str, Time, one_of


class Role(StrEnum):
    """What a member may do in an account."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    VIEWER = "viewer"


class Account(Base):
    """A tenant."""

    __tablename__ = "account"

    id: Mapped[Id]
    name: Mapped[Str]
    create_time: Mapped[Created]

    __table_args__ = (Index(None, "create_time", "id"),)


class User(Base):
    """A person. email: in lower case; password_hash: an argon2id string; operator: runs this installation."""

    __tablename__ = "user"

    id: Mapped[Id]
    email: Mapped[Str] = mapped_column(unique=True)
    password_hash: Mapped[Str]
    operator: Mapped[bool] = mapped_column(default=False, server_default=false())
    create_time: Mapped[Created]


class Member(Base):
    """A person's role in an account."""

    __tablename__ = "member"

    account_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[Str]
    create_time: Mapped[Created]

    __table_args__ = (CheckConstraint(one_of("role", Role), name="role"), Index(None, "user_id"))


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
