"""Signing up, and proving an address."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, select, update

from flute_server.admin import (
    accounts,
    invitations,
    mail_texts,
    passwords,
    sessions,
    system_mail,
    tokens,
    users,
)
from flute_server.admin.audit import Author, note_everywhere
from flute_server.admin.find import optional_name, required_name
from flute_server.admin.sessions import Person, Visit
from flute_server.errors import AlreadyExists, FailedPrecondition, InvalidArgument, Violation, invalid
from flute_server.models import Invitation, SignUp, TokenKind, User, UserToken, db
from flute_server.vault import new_token, token_hash

LIFETIME = timedelta(days=7)
_NOT_CHOSEN = (
    "not the password that was chosen for this address; if you signed up more than once, open the newest mail"
)


class Mode(StrEnum):
    """Who may sign up."""

    OPEN = "open"
    INVITATION = "invitation"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody who signs up says."""

    email: str
    password: str
    name: str
    account_name: str


def mode() -> Mode:
    """Who may sign up now: the first person may unless nobody shall."""
    wanted = Mode(system_mail.config().sign_up)
    return Mode.OPEN if wanted is Mode.INVITATION and users.nobody_yet() else wanted


def sign_up(wish: Wish, visit: Visit) -> tuple[str, str]:
    """A session's token, or else the address to which a confirmation goes. Raises FluteError.

    Where mail leaves, nobody is a user before the address is proven; so the answer is the same whether the
    address is known, and nobody can take somebody else's in advance. Without, they come in unconfirmed.
    """
    wish = _checked(wish)
    if mode() is not Mode.OPEN:
        text = "nobody can sign up here without an invitation; ask an owner or admin of the account for one"
        raise FailedPrecondition("SIGN_UP_CLOSED", text)
    hashed = passwords.hashed(wish.password)
    users.lock()
    first, known = users.nobody_yet(), users.by_email(wish.email)
    if not first and mode() is not Mode.OPEN:
        raise FailedPrecondition("SIGN_UP_CLOSED", "somebody else was first; ask them for an invitation")
    if first or not system_mail.is_configured():
        if known:
            raise AlreadyExists("USER_EXISTS", f"there is a log-in for {wish.email} already")
        return _come_in(wish, hashed, visit)
    return _ask_for_proof(wish, hashed, known)


def join(invitation_token: str, wish: Wish, visit: Visit) -> tuple[str, str]:
    """Sign up into the account that invited; the same answer as `sign_up`. Raises FluteError.

    The mailed token proves the address that was invited. Any other is known to the inviter too, who must not
    learn by it who has a log-in here, nor take somebody else's address: the proof is mailed, as in `sign_up`.
    """
    if mode() is Mode.CLOSED:
        raise FailedPrecondition("SIGN_UP_CLOSED", "nobody can sign up here; the operator has closed it")
    invitation, mailed = invitations.by_token(invitation_token, lock=False)
    wish = _checked(Wish(wish.email or invitation.email, wish.password, wish.name, "invited"))
    hashed = passwords.hashed(wish.password)
    proven = mailed and wish.email == invitation.email
    users.lock()
    # Again, for it may have ended meanwhile.
    invitation, _ = invitations.by_token(invitation_token)
    known = users.by_email(wish.email)
    if system_mail.is_configured() and not proven and not users.nobody_yet():
        return _ask_for_proof(wish, hashed, known, invitation)
    if known:
        raise AlreadyExists("USER_EXISTS", f"there is a log-in for {wish.email}; log in, then join")
    user = users.new(wish.email, wish.name, hashed, confirmed=proven)
    author = Author(user.email, visit.request_id)
    invitations.use(invitation, user, author)
    token = sessions.begin(user, visit, invitation.account_id)
    if not proven:
        _mail_confirmation(user)
    db.session.commit()
    return token, "" if proven else user.email


def guarded(token: str, person: Person | None) -> str:
    """With whose password this token goes: the address that it is for. Empty where none will be asked."""
    row = tokens.find(token, TokenKind.CONFIRM, TokenKind.CHANGE)
    if row is None:
        pending = _pending(token)
        return pending.email if pending else ""
    own = person is not None and person.user_id == row.user_id
    return "" if own else db.session.get_one(User, row.user_id).email


def confirm(token: str, password: str, visit: Visit, person: Person | None) -> tuple[str, str]:
    """Prove an address by a mailed token; which, and the session of who comes in by it.

    The mail goes to whomever somebody named, and whoever reads it must not let in who named them. So the
    person shows their password too, or is logged in. Raises FailedPrecondition.
    """
    row = tokens.find(token, TokenKind.CONFIRM, TokenKind.CHANGE)
    if row is None:
        return _complete(token, password, visit, person)
    user = db.session.get_one(User, row.user_id)
    if person is None or person.user_id != user.id:
        _require(password, user.password_hash)
    before, kind = user.email, row.kind
    if kind == TokenKind.CHANGE:
        users.lock()
        if users.by_email(row.email):
            raise AlreadyExists("USER_EXISTS", f"there is a log-in for {row.email} already")
        user.email = row.email
        # So that they end with the inviter's rights.
        theirs = update(Invitation).where(Invitation.inviter == before)
        db.session.execute(theirs.values(inviter=user.email))
    elif row.email != user.email:
        raise tokens.spent()
    user.confirm_time = datetime.now(UTC)
    tokens.end(user.id, TokenKind.CONFIRM, TokenKind.CHANGE, TokenKind.RESET)
    author = Author(user.email, visit.request_id)
    if kind == TokenKind.CHANGE:
        note_everywhere(user, author, "user.change_email", f"before {before}")
    else:
        note_everywhere(user, author, "user.confirm_email")
    db.session.commit()
    return user.email, ""


def resend(person: Person) -> None:
    """Mail the confirmation once more. Raises FailedPrecondition."""
    user = db.session.get_one(User, person.user_id)
    pending = pending_change(user)
    if pending:
        system_mail.queue(pending, _change_mail(user, pending), LIFETIME)
    elif user.confirm_time:
        raise FailedPrecondition("CONFIRMED", f"{user.email} is confirmed already")
    else:
        _mail_confirmation(user)
    db.session.commit()


def change_email(person: Person, password: str, new_email: str, visit: Visit) -> None:
    """Ask for the proof of a new address; the present one takes a change back. Raises FluteError."""
    user = db.session.get_one(User, person.user_id)
    email, wrong = users.checked_email("new_email", new_email)
    if wrong:
        raise invalid(wrong)
    passwords.require(user, password)
    tokens.end(user.id, TokenKind.CHANGE)
    if email != user.email:
        # Somebody who has the address is told by no other answer here, but when they confirm.
        system_mail.queue(email, _change_mail(user, email), LIFETIME)
        system_mail.queue(user.email, mail_texts.changing(email))
        author = Author(user.email, visit.request_id)
        note_everywhere(user, author, "user.begin_email_change", f"to {email}")
    db.session.commit()


def pending_change(user: User) -> str:
    """The address that waits to become the user's."""
    query = select(UserToken.email).where(
        UserToken.user_id == user.id,
        UserToken.kind == TokenKind.CHANGE,
        UserToken.expire_time > datetime.now(UTC),
    )
    return db.session.scalar(query.order_by(UserToken.create_time.desc()).limit(1)) or ""


def _checked(wish: Wish) -> Wish:
    """The wish as it is stored. Raises InvalidArgument naming all fields that are wrong."""
    email, found = users.checked_email("email", wish.email)
    found += passwords.violations("password", wish.password)
    names = {"name": optional_name, "account_name": required_name}
    clean: dict[str, str] = {}
    for field, check in names.items():
        try:
            clean[field] = check(field, getattr(wish, field))
        except InvalidArgument as error:
            found += error.violations
    if found:
        raise invalid(found)
    return Wish(email, wish.password, **clean)


def _come_in(wish: Wish, hashed: str, visit: Visit) -> tuple[str, str]:
    """A user at once, whose address nobody has proven."""
    user = users.new(wish.email, wish.name, hashed, confirmed=False)
    account = accounts.new(wish.account_name, user, Author(user.email, visit.request_id), visit.words)
    token = sessions.begin(user, visit, account.id)
    _mail_confirmation(user)
    db.session.commit()
    return token, user.email


def _ask_for_proof(
    wish: Wish, hashed: str, known: User | None, invitation: Invitation | None = None
) -> tuple[str, str]:
    """Mail a link, or to somebody who is known that they are. Both take as long, and are answered alike."""
    token = new_token(tokens.PREFIX)
    row = SignUp(
        email=wish.email,
        name=wish.name,
        account_name=wish.account_name,
        password_hash=hashed,
        hash=token_hash(token),
        invitation_id=invitation.id if invitation else None,
        expire_time=datetime.now(UTC) + LIFETIME,
    )
    db.session.add(row)
    log_in = mail_texts.taken(system_mail.page_link("/login"), invited=invitation is not None)
    mail = log_in if known else mail_texts.confirm(system_mail.link("confirm", token))
    system_mail.queue(wish.email, mail, LIFETIME)
    db.session.commit()
    return "", wish.email


def _pending(token: str) -> SignUp | None:
    where = SignUp.hash == token_hash(token), SignUp.expire_time > datetime.now(UTC)
    return db.session.scalar(select(SignUp).where(*where))


def _complete(token: str, password: str, visit: Visit, person: Person | None) -> tuple[str, str]:
    """Make a user of somebody who signed up, now that the address is proven, and let them in."""
    if row := _pending(token):
        _require(password, row.password_hash)
    users.lock()
    row = _pending(token)
    if row is None or users.by_email(row.email):
        raise tokens.spent()
    user = users.new(row.email, row.name, row.password_hash, confirmed=True)
    account_id = _place(row, user, visit)
    db.session.execute(delete(SignUp).where(SignUp.email == user.email))
    session = "" if person else sessions.begin(user, visit, account_id)
    db.session.commit()
    return user.email, session


def _place(row: SignUp, user: User, visit: Visit) -> uuid.UUID:
    """The account that invited them, or a new one of their own. Raises FailedPrecondition."""
    author = Author(user.email, visit.request_id)
    if row.invitation_id is None:
        return accounts.new(row.account_name, user, author, visit.words).id
    invitation = db.session.get(Invitation, row.invitation_id, with_for_update=True)
    if invitation is None or invitation.expire_time <= datetime.now(UTC):
        raise tokens.spent()
    return invitations.use(invitation, user, author).account_id


def _require(password: str, password_hash: str) -> None:
    """Raises FailedPrecondition unless it is the password that goes with a mailed token."""
    if not passwords.fits(password_hash, password):
        text = (
            "the link takes the password that was chosen when this address was given. If you did not sign up,"
            " ignore the mail: nobody can use the link without you"
        )
        raise FailedPrecondition("WRONG_PASSWORD", text, [Violation("password", _NOT_CHOSEN)])


def _mail_confirmation(user: User) -> None:
    link = system_mail.link("confirm", tokens.issue(user, TokenKind.CONFIRM))
    system_mail.queue(user.email, mail_texts.confirm(link), LIFETIME)


def _change_mail(user: User, email: str) -> mail_texts.Mail:
    link = system_mail.link("confirm", tokens.issue(user, TokenKind.CHANGE, email))
    return mail_texts.change(link, user.email)
