"""Logging in: a password, then a code where the second factor is on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from flute_server.admin import passwords, sessions, tokens, totp, users
from flute_server.admin.audit import Author, note_everywhere
from flute_server.admin.sessions import Person, Visit
from flute_server.errors import RateLimited, Unauthenticated
from flute_server.models import TokenKind, User, UserToken, db

TRIES = 5
# Kept in the database: codes must not be guessed while Redis, which counts otherwise, is away.
MOST_CHALLENGES, CHALLENGES_IN = 10, timedelta(minutes=10)


def log_in(email: str, password: str, visit: Visit, before: Person | None) -> tuple[str, str]:
    """A session's token, or a challenge's. before: whose session came along; it ends.

    Raises Unauthenticated, the same for an unknown address and a wrong password; RateLimited.
    """
    user = users.by_email(email)
    if not passwords.matches(user, password) or user is None or not _is_still_right(user):
        raise Unauthenticated("BAD_LOGIN", "there is nobody with this address and this password")
    passwords.renew(user, password)
    if user.totp:
        challenge = _challenge(user)
        db.session.commit()
        return "", challenge
    return _begin(user, visit, before), ""


def challenged(challenge: str) -> str:
    """The id of the user whose code a challenge asks for; empty if it is none."""
    row = tokens.find(challenge, TokenKind.CHALLENGE)
    return str(row.user_id) if row else ""


def complete(challenge: str, code: str, visit: Visit, before: Person | None) -> str:
    """A session's token, for the code that the challenge asks for. Raises Unauthenticated."""
    row = tokens.find(challenge, TokenKind.CHALLENGE)
    if row is None or row.tries >= TRIES:
        raise Unauthenticated(
            "CHALLENGE_OVER", "this took too long, or too many codes were wrong; log in anew"
        )
    user = db.session.scalars(select(User).where(User.id == row.user_id).with_for_update()).one()
    used = totp.take(user, code)
    if user.totp and not used:
        row.tries += 1
        db.session.commit()
        raise Unauthenticated(
            "BAD_CODE",
            "this code does not count now, and each counts once; type the next one",
        )
    db.session.delete(row)
    if used == "recovery code":
        text = f"{totp.codes_left(user)} left"
        note_everywhere(user, Author(user.email, visit.request_id), "user.use_recovery_code", text)
    return _begin(user, visit, before)


def _is_still_right(user: User) -> bool:
    """Whether nobody has changed the password since it was compared; from now on nobody can.

    Comparing takes a while. Who changes a password ends all sessions and challenges, and must not be followed
    by one of the old password's; nor can the challenges that are counted become more meanwhile.
    """
    compared = user.password_hash
    db.session.refresh(user, with_for_update={"key_share": True})
    return user.password_hash == compared


def _begin(user: User, visit: Visit, before: Person | None) -> str:
    token = sessions.begin(user, visit)
    if before:
        sessions.forget(before.session_id)
    db.session.commit()
    return token


def _challenge(user: User) -> str:
    """What the password has won: the right to show a code. Raises RateLimited."""
    now = datetime.now(UTC)
    query = select(func.count(), func.min(UserToken.create_time)).where(
        UserToken.user_id == user.id,
        UserToken.kind == TokenKind.CHALLENGE,
        UserToken.create_time > now - CHALLENGES_IN,
    )
    count, oldest = db.session.execute(query).one()
    if count >= MOST_CHALLENGES:
        text = "too many log-ins were begun and not completed; try again later"
        raise RateLimited("RATE_LIMITED", text, max(1.0, (oldest + CHALLENGES_IN - now).total_seconds()))
    return tokens.issue(user, TokenKind.CHALLENGE)
