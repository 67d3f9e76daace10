"""What people see and change about themselves once they are logged in."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from flute_server.admin import passwords, sessions, sign_up, tokens, totp
from flute_server.admin.audit import Action, Author, note_everywhere
from flute_server.admin.find import optional_name
from flute_server.admin.sessions import Person, Visit
from flute_server.errors import FailedPrecondition
from flute_server.models import Account, Member, TokenKind, User, db

MOST_MEMBERSHIPS = 200


@dataclass(frozen=True, slots=True)
class Me:
    """A person, with where they are members: pairs of membership and account's name."""

    user: User
    person: Person
    pending_email: str
    codes_left: int
    places: list[tuple[Member, str]]
    may_create_account: bool


def me(person: Person) -> Me:
    """Who is logged in."""
    user = db.session.get_one(User, person.user_id)
    query = select(Member, Account.name).join(Account, Account.id == Member.account_id)
    query = query.where(Member.user_id == user.id).order_by(Account.name, Account.id).limit(MOST_MEMBERSHIPS)
    return Me(
        user=user,
        person=person,
        pending_email=sign_up.pending_change(user),
        codes_left=totp.codes_left(user),
        places=[(member, name) for member, name in db.session.execute(query)],
        may_create_account=may_create_account(person),
    )


def may_create_account(person: Person) -> bool:
    """Whether somebody may have another account of their own."""
    return person.operator or sign_up.mode() is sign_up.Mode.OPEN


def rename(person: Person, name: str, visit: Visit) -> None:
    """What others call them. Raises InvalidArgument."""
    user = _locked(person)
    user.name = optional_name("me.name", name)
    _note(user, visit, "user.update", f"named {user.name or 'nothing'}")
    db.session.commit()


def change_password(person: Person, password: str, new_password: str, visit: Visit) -> None:
    """A new password; ends all other sessions, links and changes that wait. Raises FluteError."""
    passwords.require_good("new_password", new_password)
    user = _locked(person)
    passwords.require(user, password)
    user.password_hash = passwords.hashed(new_password)
    tokens.end(user.id, TokenKind.RESET, TokenKind.CHANGE, TokenKind.CHALLENGE)
    sessions.end_all(user.id, but=person.session_id)
    _note(user, visit, "user.change_password")
    db.session.commit()


def begin_totp(person: Person, password: str) -> tuple[str, str]:
    """A secret for an app, and its address. Raises FailedPrecondition."""
    user = _locked(person)
    passwords.require(user, password)
    if user.totp:
        raise FailedPrecondition("TOTP_ENABLED", "the second factor is on; turn it off to begin anew")
    begun = totp.begin(user)
    db.session.commit()
    return begun


def enable_totp(person: Person, code: str, visit: Visit) -> list[str]:
    """Recovery codes, once the app's first code was seen. Raises FailedPrecondition, InvalidArgument."""
    user = _locked(person)
    codes = totp.enable(user, code)
    _note(user, visit, "user.enable_totp")
    db.session.commit()
    return codes


def renew_codes(person: Person, password: str, visit: Visit) -> list[str]:
    """New recovery codes. Raises FailedPrecondition."""
    user = _locked(person)
    passwords.require(user, password)
    _require_totp(user)
    codes = totp.renew_codes(user)
    _note(user, visit, "user.renew_recovery_codes")
    db.session.commit()
    return codes


def disable_totp(person: Person, password: str, code: str, visit: Visit) -> None:
    """Turn the second factor off. Raises FailedPrecondition, InvalidArgument."""
    user = _locked(person)
    passwords.require(user, password)
    _require_totp(user)
    if not totp.take(user, code):
        raise totp.wrong_code()
    totp.disable(user)
    _note(user, visit, "user.disable_totp")
    db.session.commit()


def _locked(person: Person) -> User:
    return db.session.scalars(select(User).where(User.id == person.user_id).with_for_update()).one()


def _require_totp(user: User) -> None:
    if user.totp is None:
        raise FailedPrecondition("TOTP_DISABLED", "the second factor is off")


def _note(user: User, visit: Visit, action: Action, text: str = "") -> None:
    note_everywhere(user, Author(user.email, visit.request_id), action, text)
