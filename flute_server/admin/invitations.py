"""Asking somebody to join an account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select

from flute_server.admin import mail_texts, members, sessions, system_mail, tokens, users
from flute_server.admin.audit import Author, note
from flute_server.admin.find import find
from flute_server.admin.paging import page
from flute_server.admin.sessions import Person, Visit
from flute_server.errors import AlreadyExists, FailedPrecondition, NotFound, invalid
from flute_server.models import Account, Invitation, Member, Role, User, db
from flute_server.vault import new_token, token_hash

LIFETIME = timedelta(days=7)


def create(account_id: str, email: str, role: Role, by: Role, author: Author) -> tuple[Invitation, str]:
    """An invitation and its link; one to the same address before it ends. Raises FluteError."""
    account = find(Account, account_id)
    members.require_may_give(by, role)
    _require_proven(author.actor)
    email, violations = users.checked_email("email", email)
    if violations:
        raise invalid(violations)
    user = users.by_email(email)
    if user and db.session.get(Member, (account.id, user.id)):
        raise AlreadyExists("MEMBER_EXISTS", f"{email} is a member already")
    db.session.execute(
        delete(Invitation).where(Invitation.account_id == account.id, Invitation.email == email)
    )
    shown, mailed = new_token(tokens.PREFIX), new_token(tokens.PREFIX)
    row = Invitation(
        account_id=account.id,
        email=email,
        role=role,
        inviter=author.actor,
        hash=token_hash(shown),
        mail_hash=token_hash(mailed),
        expire_time=datetime.now(UTC) + LIFETIME,
    )
    db.session.add(row)
    link = system_mail.link("invitation", mailed)
    inviter = inviter_name(row)
    system_mail.queue(email, mail_texts.invitation(link, inviter, account.name, role), LIFETIME)
    note(account.id, author, "invitation.create", email, f"as {role}")
    db.session.commit()
    return row, system_mail.link("invitation", shown)


def _require_proven(inviter: str) -> None:
    """Nobody gets mail in the name of an unproven address. Raises FailedPrecondition."""
    user = users.by_email(inviter)
    if user and user.confirm_time is None and system_mail.is_configured():
        text = f"confirm {user.email} before you invite others: open the link in the mail that we sent you"
        raise FailedPrecondition("NOT_CONFIRMED", text)


def list_page(account_id: str, size: int, token: str) -> tuple[list[Invitation], str]:
    """The invitations of an account that were neither accepted nor revoked, oldest first."""
    account = find(Account, account_id)
    return page(select(Invitation).where(Invitation.account_id == account.id), Invitation, size, token)


def revoke(id_: str, author: Author) -> None:
    """End an invitation. Raises NotFound."""
    row = find(Invitation, id_)
    note(row.account_id, author, "invitation.delete", row.email)
    db.session.delete(row)
    db.session.commit()


def by_token(token: str, *, lock: bool = True) -> tuple[Invitation, bool]:
    """The invitation, and whether the token was the mailed one. Raises NotFound.

    lock: until the transaction's end, to use it. Whoever takes users.lock, too, takes that first.
    """
    hashed = token_hash(token)
    where = (Invitation.hash == hashed) | (Invitation.mail_hash == hashed)
    query = select(Invitation).where(where, Invitation.expire_time > datetime.now(UTC))
    row = db.session.scalar(query.with_for_update() if lock else query)
    if row is None:
        text = "this invitation was used or taken back, or its 7 days are over; ask for a new one"
        raise NotFound("INVITATION_OVER", text)
    return row, row.mail_hash == hashed


def inviter_name(row: Invitation) -> str:
    """What people call who invited."""
    user = users.by_email(row.inviter)
    return (user and user.name) or ("the operator" if row.inviter == "service" else row.inviter)


def accept(token: str, person: Person, visit: Visit) -> Member:
    """Join with one's present user, and act there from now on. Raises NotFound."""
    row, mailed = by_token(token)
    user = db.session.get_one(User, person.user_id)
    if mailed and row.email == user.email:
        user.confirm_time = user.confirm_time or datetime.now(UTC)
    member = use(row, user, Author(user.email, visit.request_id))
    sessions.act_in(person, row.account_id)
    db.session.commit()
    return member


def use(row: Invitation, user: User, author: Author) -> Member:
    """Make a member of the user, and end the invitation. In the session's transaction.

    Who is a member already keeps the role, unless the invitation's is higher.
    """
    member = db.session.get(Member, (row.account_id, user.id))
    if member is None:
        member = Member(account_id=row.account_id, user_id=user.id, role=row.role)
        db.session.add(member)
    elif members.rank(Role(row.role)) > members.rank(Role(member.role)):
        member.role = row.role
    note(row.account_id, author, "member.create", user.email, f"as {member.role}, invited by {row.inviter}")
    db.session.delete(row)
    db.session.flush()
    return member
