"""What waits for a person: one open alert for each thing, which counts how often it came up.

A new one is mailed to those who run the account, once.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from flute_server.admin import mail_texts, system_mail
from flute_server.models import Account, Alert, AlertKind, Member, Role, User, db

ONCE_IN = timedelta(days=1)


def tell(account_id: uuid.UUID, kind: AlertKind, subject: str, text: str) -> None:
    """Open an alert, or count it once more if it is open. In the session's transaction."""
    new = insert(Alert).values(
        id=uuid.uuid4(), account_id=account_id, kind=kind, subject=subject, text=text, count=1
    )
    count = db.session.scalar(
        new.on_conflict_do_update(
            index_elements=["account_id", "kind", "subject"],
            index_where=Alert.resolve_time.is_(None),
            set_={"count": Alert.count + 1, "text": new.excluded.text},
        ).returning(Alert.count)
    )
    if count == 1 and not _is_one_of_many(account_id, kind):
        _mail(account_id, kind, text)


def _is_one_of_many(account_id: uuid.UUID, kind: AlertKind) -> bool:
    """Bounces that no rule understands come in swarms, each an alert: one mail a day tells of them."""
    if kind is not AlertKind.REVIEW:
        return False
    since = datetime.now(UTC) - ONCE_IN
    query = select(func.count()).where(
        Alert.account_id == account_id, Alert.kind == kind, Alert.create_time > since
    )
    return (db.session.scalar(query) or 0) > 1


def _mail(account_id: uuid.UUID, kind: AlertKind, text: str) -> None:
    """To the owners and admins whose addresses are proven."""
    query = select(User.email).join(Member, Member.user_id == User.id)
    query = query.where(
        Member.account_id == account_id,
        Member.role.in_((Role.OWNER, Role.ADMIN)),
        User.confirm_time.is_not(None),
    )
    addresses = db.session.scalars(query).all()
    if not addresses:
        return
    name = db.session.get_one(Account, account_id).name
    write = mail_texts.webhook_paused if kind is AlertKind.WEBHOOK else mail_texts.alert
    mail = write(system_mail.page_link("/"), name, text)
    for address in addresses:
        system_mail.queue(address, mail)


def settle(account_id: uuid.UUID, kind: AlertKind, subject: str) -> None:
    """Close the open alert about this subject, if there is one."""
    db.session.execute(
        update(Alert)
        .where(
            Alert.account_id == account_id,
            Alert.kind == kind,
            Alert.subject == subject,
            Alert.resolve_time.is_(None),
        )
        .values(resolve_time=func.now())
    )
