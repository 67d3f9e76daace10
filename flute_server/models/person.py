"""What people hold for a while: tokens of mails, challenges, recovery codes; and Flute's own mail to them."""

from __future__ import annotations

import uuid
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from flute_server.models.base import Base, Created, Id, Str, Time, one_of


class TokenKind(StrEnum):
    """What a token is good for."""

    CONFIRM = "confirm"  # proves the user's address
    CHANGE = "change"  # proves another address, which becomes the user's
    RESET = "reset"  # sets a new password
    CHALLENGE = "challenge"  # the password was right; a code of the second factor is awaited


class UserToken(Base):
    """Something that a user can show once. email: the address that it was mailed to; tries: wrong codes."""

    __tablename__ = "user_token"

    id: Mapped[Id]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    kind: Mapped[Str]
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    email: Mapped[Str] = mapped_column(default="", server_default="")
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    create_time: Mapped[Created]
    expire_time: Mapped[Time]

    __table_args__ = (
        CheckConstraint(one_of("kind", TokenKind), name="kind"),
        Index(None, "user_id", "kind", "create_time"),
        Index(None, "expire_time"),
    )


class SignUp(Base):
    """Somebody who is no user yet: they become one when they prove the address. hash: of the mailed token;
    invitation_id: with which they join then, instead of having an account of their own. It ends with that.
    """

    __tablename__ = "sign_up"

    id: Mapped[Id]
    email: Mapped[Str]
    name: Mapped[Str]
    account_name: Mapped[Str]
    password_hash: Mapped[Str]
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    invitation_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("invitation.id", ondelete="CASCADE"))
    create_time: Mapped[Created]
    expire_time: Mapped[Time]

    __table_args__ = (Index(None, "expire_time"), Index(None, "invitation_id"))


class RecoveryCode(Base):
    """A code that was not used yet, as SHA-256: it has 80 random bits."""

    __tablename__ = "recovery_code"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)


class SystemMail(Base):
    """A mail of Flute's own that waits to leave; deleted when it has. content: sealed, since it holds links.

    give_up_time: a day after the first try; null before it. expire_time: when it is of no use any more.
    """

    __tablename__ = "system_mail"

    id: Mapped[Id]
    kind: Mapped[Str]
    recipient: Mapped[Str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    last_error: Mapped[Str] = mapped_column(default="", server_default="")
    create_time: Mapped[Created]
    next_try_time: Mapped[Created]
    give_up_time: Mapped[Time | None]
    expire_time: Mapped[Time]

    __table_args__ = (
        Index(None, "next_try_time"),
        Index(None, "create_time", "id"),
        Index(None, "expire_time"),
    )
