"""Everybody who can log in here, in whichever account."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select

from flute_server import addresses
from flute_server.admin import mail_texts, passwords, sessions, system_mail, tokens, totp
from flute_server.admin.audit import Author, note_everywhere
from flute_server.admin.find import as_uuid
from flute_server.admin.paging import page
from flute_server.admin.sessions import Visit
from flute_server.errors import FailedPrecondition, Violation, not_found
from flute_server.models import Member, Session, TokenKind, User, db

# Held for a moment by whoever makes or unmakes users and operators ("flut" in octets).
_LOCK = 0x666C7574


@dataclass(frozen=True, slots=True)
class Presence:
    """memberships: in how many accounts; last_active: in a session that still lives."""

    memberships: int
    last_active: datetime | None


def by_email(email: str) -> User | None:
    """Who logs in with this address."""
    canonical = email.strip().lower()
    return db.session.scalar(select(User).where(User.email == canonical)) if "\0" not in canonical else None


def checked_email(field: str, email: str) -> tuple[str, list[Violation]]:
    """The address as it is stored, and what is wrong with it."""
    canonical = email.strip().lower()
    why = addresses.why_invalid(canonical)
    return canonical, [Violation(field, why)] if why else []


def lock() -> None:
    """Until the transaction's end nobody else makes or unmakes users or operators."""
    db.session.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def nobody_yet() -> bool:
    """Whether this installation has no users."""
    return db.session.scalar(select(User.id).limit(1)) is None


def new(email: str, name: str, password_hash: str, *, confirmed: bool) -> User:
    """A new user, in the session's transaction, with the lock held. The first one runs the installation."""
    confirm_time = datetime.now(UTC) if confirmed else None
    user = User(
        email=email, name=name, password_hash=password_hash, confirm_time=confirm_time, operator=nobody_yet()
    )
    db.session.add(user)
    db.session.flush()
    return user


def list_page(size: int, token: str) -> tuple[list[User], str]:
    """All users, oldest first."""
    return page(select(User), User, size, token)


def presences(users: Sequence[User]) -> dict[uuid.UUID, Presence]:
    """By the users' ids."""
    ids = [user.id for user in users]
    counts = select(Member.user_id, func.count()).where(Member.user_id.in_(ids)).group_by(Member.user_id)
    members = {id_: count for id_, count in db.session.execute(counts)}
    active = last_active(ids)
    return {id_: Presence(members.get(id_, 0), active.get(id_)) for id_ in ids}


def last_active(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, datetime]:
    """When these users were here last, as far as their sessions still live."""
    query = select(Session.user_id, func.max(Session.last_used_time)).where(Session.user_id.in_(ids))
    return {id_: time for id_, time in db.session.execute(query.group_by(Session.user_id))}


def set_operator(id_: str, operator: bool, author: Author) -> User:
    """Let somebody run the installation, or no more. Raises NotFound, FailedPrecondition for the last one."""
    lock()
    user = db.session.get(User, given) if (given := as_uuid(id_)) else None
    if user is None:
        raise not_found("user", id_)
    if operator and user.confirm_time is None and system_mail.is_configured():
        text = f"{user.email} is not confirmed and may be somebody else's; let them confirm it first"
        raise FailedPrecondition("NOT_CONFIRMED", text)
    others = select(User.id).where(User.operator, User.id != user.id).limit(1)
    if not operator and db.session.scalar(others) is None:
        text = "somebody has to run this installation; make another operator first"
        raise FailedPrecondition("LAST_OPERATOR", text)
    user.operator = operator
    note_everywhere(user, author, "user.make_operator" if operator else "user.unmake_operator")
    db.session.commit()
    return user


def reset_password(email: str, new_password: str, author: Author, *, disable_totp: bool) -> tuple[User, str]:
    """A link to choose a password, or a new password at once; ends all sessions. Raises NotFound."""
    user = by_email(email)
    if user is None:
        raise not_found("user", email)
    link = ""
    if new_password:
        passwords.require_good("new_password", new_password)
        user.password_hash = passwords.hashed(new_password)
        tokens.end(user.id, *TokenKind)
    else:
        link = system_mail.link("reset", tokens.issue(user, TokenKind.RESET, email=""))
    if disable_totp:
        totp.disable(user)
    sessions.end_all(user.id)
    what = ("a password was set" if new_password else "a link was made") + (
        ", and the second factor turned off" if disable_totp else ""
    )
    note_everywhere(user, author, "user.reset_password", what)
    db.session.commit()
    return user, link


def request_reset(email: str, author: Author) -> None:
    """Mail a link to choose a new password, if somebody has this address."""
    user = by_email(email)
    if user:
        link = system_mail.link("reset", tokens.issue(user, TokenKind.RESET))
        system_mail.queue(user.email, mail_texts.reset(link), tokens.LIFETIMES[TokenKind.RESET])
        note_everywhere(user, author, "user.request_password_reset")
        db.session.commit()


def choose_password(token: str, new_password: str, visit: Visit) -> str:
    """Set a new password by a mailed token; whose. Raises FailedPrecondition, InvalidArgument."""
    passwords.require_good("new_password", new_password)
    row = tokens.find(token, TokenKind.RESET)
    if row is None:
        raise tokens.spent()
    user = db.session.get_one(User, row.user_id)
    user.password_hash = passwords.hashed(new_password)
    if row.email == user.email:
        _come_into_own(user)
    tokens.end(user.id, *TokenKind)
    user.totp_pending = None
    sessions.end_all(user.id)
    note_everywhere(user, Author(user.email, visit.request_id), "user.reset_password")
    db.session.commit()
    return user.email


def _come_into_own(user: User) -> None:
    """Who reads the mail has set a password; a second factor of who came before does not keep them out."""
    if user.confirm_time is None:
        totp.disable(user)
        user.confirm_time = datetime.now(UTC)
