"""The record of who changed what."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import select

from flute_server.admin.find import find
from flute_server.admin.paging import page
from flute_server.models import Account, AuditEntry, Member, User, db


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and with which call.

    actor: "service", "key NAME (HINT)", or the address of a person.
    """

    actor: str
    request_id: str = ""


def note(account_id: uuid.UUID, author: Author, action: str, subject: str, text: str = "") -> None:
    """Keep a change on record, in the session's transaction: it is noted exactly if it happened.

    action: what and how, for example suppression.delete; subject: an address, a name or an id; text:
    particulars in words, never a secret.
    """
    db.session.add(
        AuditEntry(
            account_id=account_id,
            actor=author.actor,
            action=action,
            subject=subject,
            text=text,
            request_id=author.request_id,
        )
    )


def note_everywhere(user: User, author: Author, action: str, text: str = "") -> None:
    """Keep on record, in each account that a person is a member of, what was changed about them."""
    for account_id in db.session.scalars(select(Member.account_id).where(Member.user_id == user.id)):
        note(account_id, author, action, user.email, text)


def list_page(account_id: str, size: int, token: str) -> tuple[list[AuditEntry], str]:
    """What was changed in an account, newest first."""
    account = find(Account, account_id)
    query = select(AuditEntry).where(AuditEntry.account_id == account.id)
    return page(query, AuditEntry, size, token, newest_first=True)
