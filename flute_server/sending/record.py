"""What a turn of the delivery loop writes, gathered so that each table is written once."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Text, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_once

from flute_server.domain.outcome import Fate, Outcome, Reply
from flute_server.domain.state import EventType, State
from flute_server.domain.verdict import Action
from flute_server.models import Attempt, Diversion, Email, Event, Ledger, Recipient, db

# What a provider says is kept for people to read, not as an archive.
MAX_TEXT = 2000

Row = dict[str, Any]

_CLOSE_ATTEMPT = update(Attempt).where(Attempt.id == bindparam("key")).values(end_time=bindparam("end_time"))
# The first evidence of an outcome stands: a webhook may have told it before the call's own answer came.
_CLOSE_ENTRY = (
    update(Ledger)
    .where(Ledger.attempt_id == bindparam("attempt"), Ledger.recipient_id == bindparam("recipient"))
    .values(
        outcome=func.coalesce(Ledger.outcome, bindparam("outcome", type_=Text)),
        **{name: bindparam(name) for name in ("error", "status", "code", "text", "provider_message_id")},
    )
)
# What a webhook or a look-up tells overrides what the call seemed to say.
_LEARN = (
    update(Ledger)
    .where(Ledger.attempt_id == bindparam("attempt"), Ledger.recipient_id == bindparam("recipient"))
    .values(
        outcome=bindparam("outcome"),
        fate=bindparam("fate"),
        action=func.coalesce(bindparam("action", type_=Text), Ledger.action),
    )
)
_MOVE_RECIPIENT = (
    update(Recipient)
    .where(Recipient.id == bindparam("key"))
    .values(state=bindparam("state"), update_time=bindparam("update_time"))
)
# A recipient may have been queued again by a bounce while a worker had the mail in its hands.
_QUEUED_AGAIN = (
    select(func.now())
    .where(Recipient.email_id == Email.id, Recipient.state == State.QUEUED)
    .limit(1)
    .scalar_subquery()
)
_SET_DUE = (
    update(Email)
    .where(Email.id == bindparam("key"))
    .values(
        due_time=func.coalesce(bindparam("due_time", type_=DateTime(timezone=True)), _QUEUED_AGAIN),
        round=bindparam("round"),
    )
)
_DIVERT = insert_once(Diversion).on_conflict_do_nothing()
_HURRY = update(Email).where(Email.id == bindparam("key")).values(due_time=func.now())


@dataclass(slots=True)
class Writes:
    """Rows to write, table by table. Nothing is written before `flush`."""

    now: datetime
    attempts: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    closed_attempts: list[Row] = field(default_factory=list)
    closed_entries: list[Row] = field(default_factory=list)
    learned: list[Row] = field(default_factory=list)
    moves: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    due: dict[uuid.UUID, Row] = field(default_factory=dict)
    hurried: list[Row] = field(default_factory=list)
    diversions: list[Row] = field(default_factory=list)

    def close(self, attempt_id: uuid.UUID) -> None:
        self.closed_attempts.append({"key": attempt_id, "end_time": self.now})

    def enter(self, attempt_id: uuid.UUID, recipient_id: int, outcome: Outcome, reply: Reply) -> None:
        """The ledger's word on one recipient of an attempt."""
        self.closed_entries.append(
            {
                "attempt": attempt_id,
                "recipient": recipient_id,
                "outcome": outcome,
                "error": reply.kind or "",
                "status": _clean(reply.status),
                "code": _clean(reply.code),
                "text": _clean(reply.text),
                "provider_message_id": _clean(reply.provider_message_id),
            }
        )

    def learn(
        self,
        attempt_id: uuid.UUID,
        recipient_id: int,
        outcome: Outcome | None,
        fate: Fate | None,
        action: Action | None = None,
    ) -> None:
        """What is known of an attempt from somebody else than the call itself."""
        self.learned.append(
            {
                "attempt": attempt_id,
                "recipient": recipient_id,
                "outcome": outcome,
                "fate": fate,
                "action": action,
            }
        )

    def move(self, recipient_id: int, state: State) -> None:
        self.moves.append({"key": recipient_id, "state": state, "update_time": self.now})

    def tell(
        self,
        email_id: uuid.UUID,
        type_: EventType,
        text: str,
        recipient_id: int | None = None,
        attempt_id: uuid.UUID | None = None,
        *,
        time: datetime | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """A line on the email's timeline. time: when it happened, if that was not now."""
        self.events.append(
            {
                "email_id": email_id,
                "recipient_id": recipient_id,
                "attempt_id": attempt_id,
                "type": type_,
                "time": time or self.now,
                "text": _clean(text),
                "detail": detail,
            }
        )

    def look_again(self, email_id: uuid.UUID, due: datetime | None, round_: int) -> None:
        """When the email is due next; None for never."""
        self.due[email_id] = {"key": email_id, "due_time": due, "round": round_}

    def hurry(self, email_id: uuid.UUID) -> None:
        """Make the email due at once."""
        self.hurried.append({"key": email_id})

    def divert(self, drill_id: uuid.UUID, recipient_ids: Iterable[int]) -> None:
        """Note for the drill's report that but for the drill, these would have gone another way."""
        self.diversions += [{"drill_id": drill_id, "recipient_id": id_} for id_ in recipient_ids]

    def flush(self) -> None:
        """Write everything into the session's transaction, and begin with empty lists."""
        self._place_events()
        # On the connection, since these are statements over rows and not objects that the ORM would track.
        connection = db.session.connection()
        for statement, rows in (
            (_CLOSE_ATTEMPT, self.closed_attempts),
            (_CLOSE_ENTRY, self.closed_entries),
            (_LEARN, self.learned),
            (_MOVE_RECIPIENT, self.moves),
            (_SET_DUE, list(self.due.values())),
            (_HURRY, self.hurried),
            (insert(Attempt), self.attempts),
            (insert(Ledger), self.entries),
            (insert(Event), self.events),
            (_DIVERT, self.diversions),
        ):
            if rows:
                connection.execute(statement, rows)
        for rows in (self.attempts, self.entries, self.closed_attempts, self.closed_entries, self.learned):
            rows.clear()
        for rows in (self.moves, self.events, self.hurried, self.diversions):
            rows.clear()
        self.due.clear()

    def _place_events(self) -> None:
        """Name the environment of each event, by which events are listed."""
        if not self.events:
            return
        query = select(Email.id, Email.environment_id).where(
            Email.id.in_({e["email_id"] for e in self.events})
        )
        environments = {id_: environment_id for id_, environment_id in db.session.execute(query)}
        for event in self.events:
            event["environment_id"] = environments[event["email_id"]]


def still_ours(claims: Collection[tuple[uuid.UUID, int]]) -> dict[uuid.UUID, datetime | None]:
    """Which of these (email, lease) are still held, and until when; locked until the transaction ends.

    A worker that was away for longer than its lease may have lost them to another, and must not decide
    any more.
    """
    if not claims:
        return {}
    rows = lock(email_id for email_id, _ in claims)
    return {email_id: rows[email_id].due_time for email_id, lease in claims if rows[email_id].lease == lease}


def lock(email_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Any]:
    """Lock these emails, in one order for all; gives their id, lease and due_time."""
    query = select(Email.id, Email.lease, Email.due_time).where(Email.id.in_(set(email_ids)))
    return {row.id: row for row in db.session.execute(query.order_by(Email.id).with_for_update())}


@dataclass(frozen=True, slots=True)
class OnRecord:
    """What the database says of one recipient of an attempt."""

    outcome: Outcome | None
    state: State


def on_record(attempt_ids: Collection[uuid.UUID]) -> dict[tuple[uuid.UUID, int], OnRecord]:
    """By attempt and recipient: what others may have written since the attempt began."""
    if not attempt_ids:
        return {}
    query = (
        select(Ledger.attempt_id, Ledger.recipient_id, Ledger.outcome, Recipient.state)
        .join(Recipient, Recipient.id == Ledger.recipient_id)
        .where(Ledger.attempt_id.in_(attempt_ids))
    )
    return {
        (attempt_id, recipient_id): OnRecord(Outcome(outcome) if outcome else None, State(state))
        for attempt_id, recipient_id, outcome, state in db.session.execute(query)
    }


def _clean(text: str) -> str:
    return text.replace("\0", "")[:MAX_TEXT]
