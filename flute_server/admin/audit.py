"""The record of who changed what."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select

from flute_server.admin.find import find
from flute_server.admin.paging import page
from flute_server.models import Account, AuditEntry, Member, User, db

# What is on record, and no more: the dashboard has words for each (web/dashboard/actions.py).
Action = Literal[
    "account.create",
    "account.update",
    "api_key.create",
    "api_key.revoke",
    "api_key.rotate",
    "drill.create",
    "drill.end",
    "environment.create",
    "environment.update",
    "environment.delete",
    "invitation.create",
    "invitation.delete",
    "member.create",
    "member.update",
    "member.delete",
    "provider_account.create",
    "provider_account.update",
    "provider_account.reset",
    "provider_account.pause",
    "provider_account.resume",
    "provider_account.delete",
    "route.create",
    "route.update",
    "route.reorder",
    "route.delete",
    "session.create",
    "session.switch",
    "session.delete",
    "suppression.create",
    "suppression.import",
    "suppression.delete",
    "user.update",
    "user.confirm_email",
    "user.begin_email_change",
    "user.change_email",
    "user.change_password",
    "user.request_password_reset",
    "user.reset_password",
    "user.enable_totp",
    "user.renew_recovery_codes",
    "user.use_recovery_code",
    "user.disable_totp",
    "user.make_operator",
    "user.unmake_operator",
    "webhook_endpoint.create",
    "webhook_endpoint.update",
    "webhook_endpoint.rotate_secret",
    "webhook_endpoint.replay",
    "webhook_endpoint.delete",
]


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and with which call.

    actor: "service", "key NAME (HINT)", or the address of a person.
    """

    actor: str
    request_id: str = ""


def note(account_id: uuid.UUID, author: Author, action: Action, subject: str, text: str = "") -> None:
    """Keep a change on record, in the session's transaction: it is noted exactly if it happened.

    action: what and how; subject: an address, a name or an id; text: particulars in words, never a secret.
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


def note_everywhere(user: User, author: Author, action: Action, text: str = "") -> None:
    """Keep on record, in each account that a person is a member of, what was changed about them.

    text: without from where they did it, which is not for everybody who shares some account with them.
    """
    for account_id in db.session.scalars(select(Member.account_id).where(Member.user_id == user.id)):
        note(account_id, author, action, user.email, text)


def list_page(account_id: str, size: int, token: str) -> tuple[list[AuditEntry], str]:
    """What was changed in an account, newest first."""
    account = find(Account, account_id)
    query = select(AuditEntry).where(AuditEntry.account_id == account.id)
    return page(query, AuditEntry, size, token, newest_first=True)
