"""Tenants and their first member."""

from __future__ import annotations

from sqlalchemy import select

from flute_server import addresses
from flute_server.admin.audit import Author, note
from flute_server.admin.find import required_name
from flute_server.admin.paging import page
from flute_server.errors import AlreadyExists, Violation, invalid
from flute_server.models import Account, Member, Role, User, db
from flute_server.vault import password_hash

PASSWORD_LENGTHS = range(12, 1001)


def create(name: str, owner_email: str, owner_password: str, author: Author) -> Account:
    """A new tenant with its owner. Raises InvalidArgument, or AlreadyExists for a known owner's address."""
    account = Account(name=required_name("name", name))
    email = owner_email.strip().lower()
    violations = []
    if why := addresses.why_invalid(email):
        violations.append(Violation("owner_email", why))
    if len(owner_password) not in PASSWORD_LENGTHS:
        violations.append(Violation("owner_password", "12 to 1,000 characters"))
    if violations:
        raise invalid(violations)
    if db.session.scalar(select(User.id).where(User.email == email)):
        raise AlreadyExists("USER_EXISTS", f"there is a user {email} already")
    user = User(email=email, password_hash=password_hash(owner_password))
    db.session.add_all([account, user])
    db.session.flush()
    db.session.add(Member(account_id=account.id, user_id=user.id, role=Role.OWNER))
    text = f"owned by {email}"
    note(account.id, author, "account.create", account.name, text)
    db.session.commit()
    return account


def list_page(size: int, token: str) -> tuple[list[Account], str]:
    return page(select(Account), Account, size, token)
