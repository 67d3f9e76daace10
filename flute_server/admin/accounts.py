"""Tenants and their first member."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from sqlalchemy import delete as remove
from sqlalchemy import func, select, update

from flute_server.admin import passwords, sessions, users
from flute_server.admin.audit import Author, note
from flute_server.admin.find import find, required_name
from flute_server.admin.paging import page
from flute_server.admin.sessions import Person, Visit
from flute_server.errors import AlreadyExists, FailedPrecondition, PermissionDenied, Violation, invalid
from flute_server.models import Account, ApiKey, Email, Environment, Invitation, Member, Role, User, db

log = logging.getLogger(__name__)


def create(name: str, owner_email: str, owner_password: str, author: Author) -> Account:
    """A new tenant with its owner, whose address counts as proven: the operator knows it.

    Raises InvalidArgument, or AlreadyExists for a known owner's address.
    """
    name = required_name("name", name)
    email, violations = users.checked_email("owner_email", owner_email)
    violations += passwords.violations("owner_password", owner_password)
    if violations:
        raise invalid(violations)
    hashed = passwords.hashed(owner_password)
    users.lock()
    if users.by_email(email):
        raise AlreadyExists("USER_EXISTS", f"there is a user {email} already")
    user = users.new(email, "", hashed, confirmed=True)
    account = new(name, user, author)
    db.session.commit()
    return account


def new(name: str, owner: User, author: Author, words: str = "") -> Account:
    """A new tenant, in the session's transaction."""
    account = Account(name=name)
    db.session.add(account)
    db.session.flush()
    db.session.add(Member(account_id=account.id, user_id=owner.id, role=Role.OWNER))
    text = f"owned by {owner.email}" + (f", {words}" if words else "")
    note(account.id, author, "account.create", account.name, text)
    return account


def create_own(person: Person, name: str, visit: Visit, *, allowed: bool) -> Account:
    """Another account of a person's, in which their session acts from now on.

    Raises InvalidArgument, PermissionDenied.
    """
    if not allowed:
        text = "sign-up is not open here, so only who runs this installation creates accounts; ask them"
        raise PermissionDenied("SIGN_UP_CLOSED", text)
    user = db.session.get_one(User, person.user_id)
    author = Author(person.email, visit.request_id)
    account = new(required_name("name", name), user, author, visit.words)
    sessions.act_in(person, account.id)
    db.session.commit()
    return account


def rename(id_: str, name: str, author: Author) -> Account:
    """Give an account another name. Raises NotFound, InvalidArgument."""
    account = find(Account, id_)
    before, account.name = account.name, required_name("account.name", name)
    note(account.id, author, "account.update", account.name, f"named {before} before")
    db.session.commit()
    return account


def delete(id_: str, confirm_name: str, author: Author) -> None:
    """End an account for good: nobody acts or sends in it from now on, and workers take away what is in it.

    Raises NotFound, InvalidArgument for another name, FailedPrecondition while mail waits to be sent.
    """
    account = find(Account, id_)
    if confirm_name.strip() != account.name:
        raise invalid([Violation("confirm_name", "is not the name of the account; type it as it is shown")])
    db.session.refresh(account, with_for_update={"key_share": True})
    environments = select(Environment.id).where(Environment.account_id == account.id)
    keys = ApiKey.environment_id.in_(environments) & ApiKey.revoke_time.is_(None)
    db.session.execute(update(ApiKey).where(keys).values(revoke_time=func.now()))
    waiting = select(Email.id).where(Email.environment_id.in_(environments), Email.due_time.is_not(None))
    if db.session.scalar(waiting.limit(1)):
        db.session.rollback()
        text = "mail of this account is on its way or scheduled; cancel it, or wait until it has left"
        raise FailedPrecondition("MAIL_UNDER_WAY", text)
    db.session.execute(remove(Member).where(Member.account_id == account.id))
    db.session.execute(remove(Invitation).where(Invitation.account_id == account.id))
    account.delete_time = datetime.now(UTC)
    db.session.commit()
    log.warning("account %s was deleted (request %s)", account.id, author.request_id)


def list_page(size: int, token: str) -> tuple[list[Account], str]:
    return page(select(Account).where(Account.delete_time.is_(None)), Account, size, token)
