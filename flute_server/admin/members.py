"""The people of an account and what they may do there."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from flute_server.admin import users
from flute_server.admin.audit import Author, note
from flute_server.admin.find import as_uuid, find
from flute_server.admin.paging import page
from flute_server.admin.sessions import Person
from flute_server.errors import FailedPrecondition, PermissionDenied, not_found
from flute_server.models import Account, Invitation, Member, Role, User, db

# In the order of what they may.
RANKS = (Role.VIEWER, Role.DEVELOPER, Role.ADMIN, Role.OWNER)


@dataclass(frozen=True, slots=True)
class Seat:
    """A member with who it is."""

    member: Member
    user: User
    last_active: datetime | None


def rank(role: Role) -> int:
    """The higher, the more they may."""
    return RANKS.index(role)


def require_may_give(by: Role, *roles: Role) -> None:
    """Raises PermissionDenied unless somebody with the role `by` may make and unmake such members."""
    if not _may_give(by, *roles):
        text = "only owners make and unmake owners; ask one of them"
        raise PermissionDenied("ROLE_TOO_LOW", text, metadata={"role": Role.OWNER})


def _may_give(by: Role, *roles: Role) -> bool:
    return by is Role.OWNER or Role.OWNER not in roles


def list_page(account_id: str, size: int, token: str) -> tuple[list[Seat], str]:
    """The members of an account, oldest first."""
    account = find(Account, account_id)
    rows, next_token = page(select(Member).where(Member.account_id == account.id), Member, size, token)
    return seats(rows), next_token


def seats(rows: Sequence[Member]) -> list[Seat]:
    """The members with who they are."""
    ids = [row.user_id for row in rows]
    people = {user.id: user for user in db.session.scalars(select(User).where(User.id.in_(ids)))}
    active = users.last_active(ids)
    return [Seat(row, people[row.user_id], active.get(row.user_id)) for row in rows]


def set_role(account_id: str, user_id: str, role: Role, by: Role, author: Author) -> Seat:
    """Give a member another role. Raises NotFound, PermissionDenied, and FailedPrecondition."""
    account, member = _find(account_id, user_id)
    require_may_give(by, role, Role(member.role))
    if member.role == Role.OWNER and role is not Role.OWNER:
        _require_another_owner(account.id, member.user_id)
    before, member.role = member.role, role
    (seat,) = seats([member])
    _end_invitations(account, seat.user.email, role, author)
    note(account.id, author, "member.update", seat.user.email, f"{role}, before {before}")
    db.session.commit()
    return seat


def remove(account_id: str, user_id: str, by: Role, author: Author) -> None:
    """Take a member out. Raises NotFound, PermissionDenied, FailedPrecondition."""
    account, member = _find(account_id, user_id)
    require_may_give(by, Role(member.role))
    _remove(account, member, author)


def leave(person: Person, author: Author) -> None:
    """Take oneself out of the account in which one acts. Raises NotFound, FailedPrecondition."""
    account, member = _find(str(person.account_id), str(person.user_id))
    _remove(account, member, author)


def _find(account_id: str, user_id: str) -> tuple[Account, Member]:
    """Both locked, so that two owners cannot remove each other at once."""
    account = find(Account, account_id)
    db.session.refresh(account, with_for_update={"key_share": True})
    given = as_uuid(user_id)
    query = select(Member).where(Member.account_id == account.id, Member.user_id == given)
    member = db.session.scalar(query.with_for_update()) if given else None
    if member is None:
        raise not_found("member", user_id)
    return account, member


def _remove(account: Account, member: Member, author: Author) -> None:
    if member.role == Role.OWNER:
        _require_another_owner(account.id, member.user_id)
    email = db.session.get_one(User, member.user_id).email
    note(account.id, author, "member.delete", email, f"was {member.role}")
    db.session.delete(member)
    _end_invitations(account, email, None, author)
    db.session.commit()


def _end_invitations(account: Account, inviter: str, left: Role | None, author: Author) -> None:
    """Take back what somebody could not offer any more with the role that is left to them.

    They have seen the links, and would come back by them.
    """
    theirs = Invitation.account_id == account.id, Invitation.inviter == inviter
    for row in db.session.scalars(select(Invitation).where(*theirs)):
        if left is None or rank(left) < rank(Role.ADMIN) or not _may_give(left, Role(row.role)):
            text = f"{inviter}, who invited, may not any more"
            note(account.id, author, "invitation.delete", row.email, text)
            db.session.delete(row)


def _require_another_owner(account_id: uuid.UUID, user_id: uuid.UUID) -> None:
    others = select(Member.user_id).where(
        Member.account_id == account_id, Member.role == Role.OWNER, Member.user_id != user_id
    )
    if db.session.scalar(others.limit(1)) is None:
        text = "an account needs an owner; make somebody else one first"
        raise FailedPrecondition("LAST_OWNER", text)
