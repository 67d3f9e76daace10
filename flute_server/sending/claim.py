"""Take due mail into this worker's hands, with what earlier attempts left behind."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update

from flute_server.domain.message import Address, RecipientKind
from flute_server.domain.message import Recipient as Addressee
from flute_server.domain.outcome import Outcome
from flute_server.domain.settlement import FOR_GOOD
from flute_server.domain.state import State
from flute_server.domain.verdict import Action
from flute_server.models import Attachment, Attempt, Email, Ledger, ProviderAccount, Recipient, db
from flute_server.sending import suppress
from flute_server.sending.content import unpacked
from flute_server.sending.retention import removed
from flute_server.sending.task import Pending, Task

_TASK_COLUMNS = (
    "id",
    "environment_id",
    "create_time",
    "lease",
    "round",
    "content",
    "has_attachments",
    "send_time",
    "test",
)


_UNSETTLED = frozenset({State.SCHEDULED, State.QUEUED, State.SENDING})


@dataclass(frozen=True, slots=True)
class Open:
    """What a call meant for a recipient, never written down: no worker waits for it any more."""

    attempt_id: uuid.UUID
    row_id: int
    account: str


@dataclass(frozen=True, slots=True)
class Held:
    """An ambiguous attempt that must be cleared up before its recipient is sent to again."""

    attempt_id: uuid.UUID
    account_id: uuid.UUID
    account: str
    start: datetime
    end: datetime
    provider_message_id: str


@dataclass(slots=True)
class Claim:
    """A task, and what must be decided before it goes on.

    lost: outcomes that a worker which died left open; unended: its calls; held: by recipient, what it is
    held for; suppressed: recipients that must not be mailed, and why; gone: that its content was removed, so
    that a late bounce cannot lead to an empty mail.
    """

    task: Task
    lost: list[Open] = field(default_factory=list)
    unended: set[uuid.UUID] = field(default_factory=set)
    held: dict[int, Held] = field(default_factory=dict)
    suppressed: dict[int, str] = field(default_factory=dict)
    gone: str = ""


def claim(limit: int, now: datetime, lease: timedelta) -> list[Claim]:
    """Up to `limit` due emails, oldest first; nobody else gets them before the lease is over."""
    table = Email.__table__
    due = (
        select(table.c.id)
        .where(table.c.due_time <= now)
        .order_by(table.c.due_time)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    take = (
        update(Email)
        .where(table.c.id == due.c.id)
        .values(due_time=now + lease, lease=Email.lease + 1)
        .returning(*(table.c[name] for name in _TASK_COLUMNS))
    )
    emails = db.session.execute(take, execution_options={"synchronize_session": False}).all()
    if not emails:
        return []
    recipients = _by_email(Recipient, [row.id for row in emails], Recipient.id)
    files = _by_email(Attachment, [row.id for row in emails if row.has_attachments], Attachment.position)
    _queue_scheduled([row for rows in recipients.values() for row in rows], now)
    claims = [_claim(row, recipients[row.id], files[row.id]) for row in emails]
    for row_id, why in suppress.among([row.id for row in emails]).items():
        next(item for item in claims if row_id in item.task.pending).suppressed[row_id] = why
    _recall([item for item in claims if item.task.lease > 1])
    return claims


def _queue_scheduled(recipients: Sequence[Any], now: datetime) -> None:
    """The time of scheduled mail that is claimed has come."""
    scheduled = [row.id for row in recipients if row.state == State.SCHEDULED]
    if scheduled:
        move = update(Recipient).where(Recipient.id.in_(scheduled))
        db.session.execute(
            move.values(state=State.QUEUED, update_time=now),
            execution_options={"synchronize_session": False},
        )


def _by_email(table: Any, ids: Sequence[uuid.UUID], order: Any) -> dict[uuid.UUID, list[Any]]:  # noqa: ANN401
    found: dict[uuid.UUID, list[Any]] = defaultdict(list)
    if ids:
        columns = table.__table__
        query = select(columns).where(columns.c.email_id.in_(ids)).order_by(order)
        for row in db.session.execute(query):
            found[row.email_id].append(row)
    return found


def _claim(email: Row[Any], recipients: list[Recipient], files: list[Attachment]) -> Claim:
    unsettled = [row for row in recipients if row.state in _UNSETTLED]
    task = Task(
        email_id=email.id,
        environment_id=email.environment_id,
        lease=email.lease,
        round=email.round,
        create_time=email.create_time,
        message=unpacked(email.content, recipients, files),
        pending={
            row.id: Pending(_addressee(row), row.id, held=row.state == State.SENDING) for row in unsettled
        },
        test=email.test,
        send_time=email.send_time,
    )
    return Claim(task, gone=removed(email.content))


def _addressee(row: Recipient) -> Addressee:
    return Addressee(str(row.id), Address(row.address, row.name), RecipientKind(row.kind))


def _recall(claims: Iterable[Claim]) -> None:
    """Fill in what is on record of earlier attempts."""
    by_email = {item.task.email_id: item for item in claims}
    if not by_email:
        return
    query = (
        select(Attempt, Ledger, ProviderAccount.name)
        .join(Ledger, Ledger.attempt_id == Attempt.id)
        .join(ProviderAccount, ProviderAccount.id == Attempt.provider_account_id)
        .where(Attempt.email_id.in_(by_email))
        .order_by(Attempt.start_time)
    )
    for attempt, entry, account in db.session.execute(query):
        item = by_email[attempt.email_id]
        if attempt.end_time is None:
            item.unended.add(attempt.id)
        if entry.outcome is None:
            item.lost.append(Open(attempt.id, entry.recipient_id, account))
        if pending := item.task.pending.get(entry.recipient_id):
            pending.attempts += 1
            _remember(item, pending, attempt, entry, account)


def _remember(item: Claim, pending: Pending, attempt: Attempt, entry: Ledger, account: str) -> None:
    account_id = attempt.provider_account_id
    item.held.pop(pending.row_id, None)
    if attempt.round == item.task.round:
        pending.tried.add(account_id)
    if pending.held and entry.outcome == Outcome.AMBIGUOUS and attempt.end_time:
        item.held[pending.row_id] = Held(
            attempt.id,
            account_id,
            account,
            attempt.start_time,
            attempt.end_time,
            entry.provider_message_id,
        )
    if entry.outcome == Outcome.ACCEPTED:
        # Back in the queue although it took the mail: then it told of a failure, or nothing for too long.
        pending.for_good[account_id] = f"{account} took the mail before, and it did not arrive"
    elif entry.error in FOR_GOOD:
        pending.for_good[account_id] = f"{account} refused it: {entry.text}"
    if entry.action == Action.FAILOVER_IF_AUTHENTICATED:
        pending.needs_authentication = True
