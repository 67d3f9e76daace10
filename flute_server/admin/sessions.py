"""Who is logged in, by the token that their browser shows; and where else they are."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select

from flute_server.admin.audit import Author, note
from flute_server.admin.find import as_uuid
from flute_server.errors import Unauthenticated, not_found
from flute_server.models import Member, Role, Session, User, autocommit, db
from flute_server.vault import SESSION_PREFIX, new_token, token_hash

# A session that is used lives on; one that is not used for so long ends.
IDLE = timedelta(days=14)
MOST = 100
_LONGEST_AGENT = 500
# Writing the last use with every page would be a write for every read.
TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Visit:
    """From where somebody calls, and with what; request_id: the call."""

    address: str = ""
    agent: str = ""
    request_id: str = ""

    @property
    def words(self) -> str:
        """For the audit log."""
        return f"from {self.address or 'an unknown address'}"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in. account_id, role: where they act, and as what; None in no account."""

    session_id: uuid.UUID
    user_id: uuid.UUID
    email: str
    operator: bool
    account_id: uuid.UUID | None
    role: Role | None

    @property
    def actor(self) -> str:
        """For the audit log."""
        return self.email


# `account_id` is told only while they are a member: who was removed acts nowhere, from this call on.
_PERSON = """
SELECT s.id, s.user_id, m.account_id, m.role, s.last_used_time, s.expire_time <= now() AS expired, u.email,
    u.operator
FROM session s
JOIN "user" u ON u.id = s.user_id
LEFT JOIN member m ON m.user_id = s.user_id AND m.account_id = s.account_id
WHERE s.hash = %(hash)s
"""
_TOUCH = "UPDATE session SET last_used_time = now(), expire_time = now() + %(idle)s WHERE id = %(id)s"


def by_token(token: str) -> Person:
    """The person behind a session's token. Raises Unauthenticated when it is unknown, revoked or expired."""
    with autocommit() as connection:
        row = connection.exec_driver_sql(_PERSON, {"hash": token_hash(token)}).one_or_none()
        if row is None or row.expired:
            raise Unauthenticated("SESSION_ENDED", "you are not logged in any more; please log in again")
        if datetime.now(UTC) - row.last_used_time > TOUCH_EVERY:
            connection.exec_driver_sql(_TOUCH, {"idle": IDLE, "id": row.id})
    return Person(
        session_id=row.id,
        user_id=row.user_id,
        email=row.email,
        operator=row.operator,
        account_id=row.account_id,
        role=Role(row.role) if row.role else None,
    )


def begin(user: User, visit: Visit, account_id: uuid.UUID | None = None) -> str:
    """A new session's token. It acts in this account, or where the user acted last or has been longest.

    In the session's transaction, and on record there.
    """
    token = new_token(SESSION_PREFIX)
    row = Session(
        user_id=user.id,
        account_id=account_id or _usual_account(user.id),
        hash=token_hash(token),
        address=visit.address,
        user_agent="".join(c for c in visit.agent if c.isprintable())[:_LONGEST_AGENT],
        expire_time=datetime.now(UTC) + IDLE,
    )
    db.session.add(row)
    db.session.flush()
    _end_oldest(user.id)
    if row.account_id:
        note(row.account_id, Author(user.email, visit.request_id), "session.create", user.email)
    return token


def _usual_account(user_id: uuid.UUID) -> uuid.UUID | None:
    is_member = (Member.account_id == Session.account_id) & (Member.user_id == Session.user_id)
    last = select(Session.account_id).join(Member, is_member).where(Session.user_id == user_id)
    longest = select(Member.account_id).where(Member.user_id == user_id)
    return db.session.scalar(last.order_by(Session.last_used_time.desc()).limit(1)) or db.session.scalar(
        longest.order_by(Member.create_time, Member.account_id).limit(1)
    )


def _end_oldest(user_id: uuid.UUID) -> None:
    """So that the list of them stays short."""
    newest_first = select(Session.id).where(Session.user_id == user_id).order_by(Session.create_time.desc())
    db.session.execute(delete(Session).where(Session.id.in_(newest_first.offset(MOST))))


def list_all(person: Person) -> list[Session]:
    """Where somebody is logged in, last used first."""
    query = select(Session).where(Session.user_id == person.user_id, Session.expire_time > datetime.now(UTC))
    return list(db.session.scalars(query.order_by(Session.last_used_time.desc(), Session.id).limit(MOST)))


def end(person: Person, visit: Visit) -> None:
    """Log out."""
    forget(person.session_id)
    _note(person, visit, "logged out")
    db.session.commit()


def revoke(person: Person, id_: str, visit: Visit) -> None:
    """End one of one's own sessions. Raises NotFound."""
    row = db.session.get(Session, given) if (given := as_uuid(id_)) else None
    if row is None or row.user_id != person.user_id:
        raise not_found("session", id_)
    forget(row.id)
    _note(person, visit, f"the one that began on {row.create_time:%d %b %Y}")
    db.session.commit()


def revoke_others(person: Person, visit: Visit) -> int:
    """End all of one's sessions but this one; how many those were."""
    count = end_all(person.user_id, but=person.session_id)
    _note(person, visit, f"all others ({count})")
    db.session.commit()
    return count


def end_all(user_id: uuid.UUID, but: uuid.UUID | None = None) -> int:
    """End all sessions of a user but this one; how many those were. In the session's transaction."""
    ended = delete(Session).where(Session.user_id == user_id, Session.id.is_distinct_from(but))
    return len(db.session.scalars(ended.returning(Session.id)).all())


def forget(session_id: uuid.UUID) -> None:
    """End a session. In the session's transaction."""
    db.session.execute(delete(Session).where(Session.id == session_id))


def switch(person: Person, account_id: str, visit: Visit) -> Session:
    """Act in another of one's accounts from now on. Raises NotFound."""
    given = as_uuid(account_id)
    if given is None or db.session.get(Member, (given, person.user_id)) is None:
        raise not_found("account", account_id)
    row = act_in(person, given)
    note(given, Author(person.email, visit.request_id), "session.switch", person.email)
    db.session.commit()
    return row


def act_in(person: Person, account_id: uuid.UUID) -> Session:
    """Let this session act in an account of the person's. In the session's transaction."""
    row = db.session.get_one(Session, person.session_id)
    row.account_id = account_id
    return row


def _note(person: Person, visit: Visit, text: str) -> None:
    if person.account_id:
        author = Author(person.email, visit.request_id)
        note(person.account_id, author, "session.delete", person.email, text)
