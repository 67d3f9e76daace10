"""What became of a mail: everything that is on record, as plain values."""

from __future__ import annotations

import itertools
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from flute_server.admin.find import as_uuid, is_own_environment
from flute_server.domain.message import Message
from flute_server.domain.state import EventType, State, email_state
from flute_server.errors import no_email
from flute_server.models import (
    Attachment,
    Attempt,
    Email,
    Event,
    Ledger,
    ProviderAccount,
    Recipient,
    db,
)
from flute_server.sending.content import unpacked


@dataclass(frozen=True, slots=True)
class AttemptStory:
    """One call: the attempt, the account it went to, and its ledger rows."""

    attempt: Attempt
    account: ProviderAccount
    ledger: list[Ledger]


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of the timeline. id: of the stored event; None for the start of a call, which is none.

    detail: the evidence behind it, as models.Event says.
    """

    id: int | None
    type: EventType
    time: datetime
    recipient_id: int | None
    account: str
    text: str
    attempt_id: uuid.UUID | None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileInfo:
    """An attachment but for its content; size in bytes."""

    filename: str
    content_type: str
    content_id: str
    size: int


@dataclass(frozen=True, slots=True)
class Story:
    """An email with all that happened to it. message, without its files, is absent for a stranger.

    states: by recipient id; `sending` while a call is under way, which no recipient row says.
    """

    email: Email
    state: State
    states: dict[int, State]
    recipients: list[Recipient]
    attempts: list[AttemptStory]
    timeline: list[Moment]
    message: Message | None
    files: list[FileInfo]


def find_email(given: str, environment_id: uuid.UUID | None) -> Email:
    """The email with this id, in this environment if one is given. Raises NotFound."""
    email = db.session.get(Email, id_) if (id_ := as_uuid(given)) else None
    if email is None or not is_own_environment(email.environment_id, environment_id):
        raise no_email()
    return email


def tell(given: str, environment_id: uuid.UUID | None, *, full: bool) -> Story:
    """The story of the email with this id, in this environment if one is given. Raises NotFound."""
    email = find_email(given, environment_id)
    recipients = list(
        db.session.scalars(select(Recipient).where(Recipient.email_id == email.id).order_by(Recipient.id))
    )
    attempts = _attempts(email.id)
    under_way = {e.recipient_id for story in attempts for e in story.ledger if e.outcome is None}
    states = {row.id: State.SENDING if row.id in under_way else State(row.state) for row in recipients}
    return Story(
        email=email,
        state=email_state(states.values()),
        states=states,
        recipients=recipients,
        attempts=attempts,
        timeline=_timeline(email.id, attempts),
        message=unpacked(email.content, recipients, ()) if full else None,
        files=_files(email) if full else [],
    )


def _files(email: Email) -> list[FileInfo]:
    """The files without their content, which may be large."""
    if not email.has_attachments:
        return []
    columns = (
        Attachment.filename,
        Attachment.content_type,
        Attachment.content_id,
        func.length(Attachment.content),
    )
    query = select(*columns).where(Attachment.email_id == email.id).order_by(Attachment.position)
    return [FileInfo(*row) for row in db.session.execute(query)]


def _attempts(email_id: uuid.UUID) -> list[AttemptStory]:
    query = (
        select(Attempt, ProviderAccount)
        .join(ProviderAccount, ProviderAccount.id == Attempt.provider_account_id)
        .where(Attempt.email_id == email_id)
        .order_by(Attempt.start_time, Attempt.id)
    )
    rows = db.session.execute(query).all()
    ledger: dict[uuid.UUID, list[Ledger]] = defaultdict(list)
    entries = select(Ledger).where(Ledger.attempt_id.in_([attempt.id for attempt, _ in rows]))
    for entry in db.session.scalars(entries.order_by(Ledger.recipient_id)):
        ledger[entry.attempt_id].append(entry)
    return [AttemptStory(attempt, account, ledger[attempt.id]) for attempt, account in rows]


def _timeline(email_id: uuid.UUID, attempts: list[AttemptStory]) -> list[Moment]:
    """The events and the starts of the calls, by time."""
    names: dict[Any, str] = {story.attempt.id: story.account.name for story in attempts}
    events = db.session.scalars(select(Event).where(Event.email_id == email_id).order_by(Event.id))
    moments = [
        Moment(
            event.id,
            EventType(event.type),
            event.time,
            event.recipient_id,
            names.get(event.attempt_id, ""),
            event.text,
            event.attempt_id,
            event.detail or {},
        )
        for event in events
    ]
    moments += [_start(story) for story in attempts]
    return sorted(moments, key=lambda moment: moment.time)


def _start(story: AttemptStory) -> Moment:
    before = itertools.takewhile(lambda candidate: not candidate["chosen"], story.attempt.candidates)
    why = "; ".join(f"{c['provider_account']}: {c['reason']}" for c in before)
    what = "playing a hand-over" if story.attempt.simulated else "handing over"
    text = f"{what} to {story.account.name}" + (f", passing over {why}" if why else "")
    one = story.ledger[0].recipient_id if len(story.ledger) == 1 else None
    attempt = story.attempt
    return Moment(None, EventType.ATTEMPT, attempt.start_time, one, story.account.name, text, attempt.id)
