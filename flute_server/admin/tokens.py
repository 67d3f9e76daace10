"""Tokens that a user gets by mail or at a log-in, and shows once."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select

from flute_server.errors import FailedPrecondition
from flute_server.models import TokenKind, User, UserToken, db
from flute_server.vault import new_token, token_hash

LIFETIMES = {
    TokenKind.CONFIRM: timedelta(days=7),
    TokenKind.CHANGE: timedelta(days=7),
    TokenKind.RESET: timedelta(hours=1),
    TokenKind.CHALLENGE: timedelta(minutes=10),
}
# A mark for who finds one in a log.
PREFIX = "flute_once_"


def issue(user: User, kind: TokenKind, email: str | None = None) -> str:
    """A new token; those of the same kind before it go on working, since mails overtake each other.

    email: to which address it is mailed, if that is not the user's; empty if it is not mailed.
    """
    token = new_token(PREFIX)
    row = UserToken(
        user_id=user.id,
        kind=kind,
        hash=token_hash(token),
        email=user.email if email is None else email,
        expire_time=datetime.now(UTC) + LIFETIMES[kind],
    )
    db.session.add(row)
    return token


def find(token: str, *kinds: TokenKind) -> UserToken | None:
    """The token's row, locked, if it is one of these kinds and its time is not over."""
    query = select(UserToken).where(
        UserToken.hash == token_hash(token),
        UserToken.kind.in_(kinds),
        UserToken.expire_time > datetime.now(UTC),
    )
    return db.session.scalar(query.with_for_update())


def end(user_id: uuid.UUID, *kinds: TokenKind) -> None:
    """No token of these kinds works any more."""
    db.session.execute(delete(UserToken).where(UserToken.user_id == user_id, UserToken.kind.in_(kinds)))


def spent() -> FailedPrecondition:
    """The error for a link that leads nowhere."""
    text = "this link has been used already, or its time is over; ask for a new one"
    return FailedPrecondition("LINK_SPENT", text)
