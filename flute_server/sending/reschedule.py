"""Take a mail back, or give it another time: both only while nothing of it is under way.

A worker commits an attempt before it calls a provider, and holds the email's row while it does. So whoever
holds the row sees every call that may have begun, and no other begins before the transaction ends.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, exists, func, select, update

from flute_server.admin.find import as_uuid, is_own_environment
from flute_server.domain.state import EventType, State
from flute_server.domain.validation import send_at_fault
from flute_server.domain.verdict import Action
from flute_server.domain.wording import to_be_sent
from flute_server.errors import FailedPrecondition, PermissionDenied, Violation, invalid, no_email
from flute_server.models import Attempt, Email, Ledger, Recipient, db
from flute_server.sending.record import Writes

_WAITING = frozenset({State.SCHEDULED, State.QUEUED})


@dataclass(frozen=True, slots=True)
class _Mail:
    """An email whose row is locked until the transaction ends."""

    row: Row[uuid.UUID, uuid.UUID, bool, datetime]
    recipients: Sequence[Row[int, str]]
    now: datetime

    @property
    def waiting(self) -> list[Row[int, str]]:
        return [row for row in self.recipients if row.state in _WAITING]

    def has(self, state: State) -> bool:
        return any(row.state == state for row in self.recipients)


def cancel(
    given: str, environment_id: uuid.UUID | None, request_id: str = "", *, tests_only: bool = False
) -> None:
    """Take the email back as far as it waits: from then on nobody is sent it. Once more changes nothing.

    Raises NotFound, PermissionDenied for live mail where the caller may touch `tests_only`, and
    FailedPrecondition while a call may be under way or when nothing waits any more.
    """
    mail = _locked(given, environment_id, tests_only=tests_only)
    if not mail.waiting and mail.has(State.CANCELED):
        db.session.rollback()
        return
    if mail.has(State.SENDING) or _under_way(mail.row.id):
        text = (
            "the mail is being handed over to a provider, or it is not known whether a provider took it; "
            "look at it again in a moment"
        )
        raise FailedPrecondition("BEING_SENT", text)
    if not mail.waiting:
        text = "no recipient of the mail waits any more; its timeline tells what became of each"
        raise FailedPrecondition("NOT_CANCELABLE", text)
    writes = Writes(mail.now)
    for row in mail.waiting:
        writes.move(row.id, State.CANCELED)
        writes.tell(mail.row.id, EventType.CANCELED, _by("canceled", request_id), row.id)
    writes.flush()
    _end_attempts([row.id for row in mail.recipients])
    # The lease counts up, so that a worker that holds the mail from before may no longer decide.
    _save(mail, lease=Email.lease + 1, due_time=None)


def reschedule(
    given: str,
    environment_id: uuid.UUID | None,
    send_at: datetime,
    request_id: str = "",
    *,
    tests_only: bool = False,
) -> bool:
    """Give a scheduled email another time; True if that is at once, as the past is.

    Raises NotFound, PermissionDenied as `cancel` does, InvalidArgument for a time too far ahead,
    FailedPrecondition unless all is scheduled.
    """
    mail = _locked(given, environment_id, tests_only=tests_only)
    if why := send_at_fault(send_at, mail.now):
        raise invalid([Violation("send_at", why)])
    if any(row.state != State.SCHEDULED for row in mail.recipients):
        text = "only a mail that waits for its time can be given another; this one does not, or no longer"
        raise FailedPrecondition("NOT_SCHEDULED", text)
    at_once = send_at <= mail.now
    time = mail.now if at_once else send_at
    writes = Writes(mail.now)
    if at_once:
        for row in mail.recipients:
            writes.move(row.id, State.QUEUED)
    words = _by("rescheduled: " + ("to be sent at once" if at_once else to_be_sent(time)), request_id)
    writes.tell(mail.row.id, EventType.SCHEDULED, words)
    writes.flush()
    _save(mail, send_time=time, due_time=time)
    return at_once


def _locked(given: str, environment_id: uuid.UUID | None, *, tests_only: bool) -> _Mail:
    """The email with this id, in this environment if one is given."""
    query = select(Email.id, Email.environment_id, Email.test, func.now().label("now"))
    query = query.where(Email.id == as_uuid(given)).with_for_update()
    row = db.session.execute(query).one_or_none()
    if row is None or not is_own_environment(row.environment_id, environment_id):
        db.session.rollback()
        raise no_email()
    if tests_only and not row.test:
        db.session.rollback()
        text = "this mail is meant in earnest, and a key of the kind test acts on tests alone; use a live key"
        raise PermissionDenied("TEST_KEY", text)
    recipients = select(Recipient.id, Recipient.state).where(Recipient.email_id == row.id)
    return _Mail(row, db.session.execute(recipients.order_by(Recipient.id)).all(), row.now)


def _under_way(email_id: uuid.UUID) -> bool:
    query = select(exists().where(Attempt.email_id == email_id, Attempt.end_time.is_(None)))
    return bool(db.session.scalar(query))


def _end_attempts(recipient_ids: Sequence[int]) -> None:
    """Whatever was made of the attempts before: no later bounce, and no silence, leads to another one."""
    entries = update(Ledger).where(Ledger.recipient_id.in_(recipient_ids))
    db.session.execute(entries.values(action=Action.NONE))


def _save(mail: _Mail, **values: Any) -> None:  # noqa: ANN401  columns
    db.session.execute(update(Email).where(Email.id == mail.row.id).values(values))
    db.session.commit()


def _by(what: str, request_id: str) -> str:
    return f"{what} (request {request_id})" if request_id else what
