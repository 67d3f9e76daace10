"""Tenants and the people in them."""

from __future__ import annotations

import uuid
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from flute_server.models.base import Base, Created, Id, Str, one_of


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
    """A person. `email` is in lower case; `password_hash` is an argon2id string."""

    __tablename__ = "user"

    id: Mapped[Id]
    email: Mapped[Str] = mapped_column(unique=True)
    password_hash: Mapped[Str]
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
