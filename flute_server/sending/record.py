"""What a turn of the delivery loop writes, gathered so that each table is written once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, tuple_, update

from flute_server.domain.outcome import Outcome, Reply
from flute_server.domain.state import EventType, State
from flute_server.models import Attempt, Email, Event, Ledger, Recipient, db

# What a provider says is kept for people to read, not as an archive.
MAX_TEXT = 2000

Row = dict[str, Any]

_CLOSE_ATTEMPT = update(Attempt).where(Attempt.id == bindparam("key")).values(end_time=bindparam("end_time"))
_CLOSE_ENTRY = (
    update(Ledger)
    .where(Ledger.attempt_id == bindparam("attempt"), Ledger.recipient_id == bindparam("recipient"))
    .values(
        {
            name: bindparam(name)
            for name in ("outcome", "error", "status", "code", "text", "provider_message_id")
        }
    )
)
_MOVE_RECIPIENT = (
    update(Recipient)
    .where(Recipient.id == bindparam("key"))
    .values(state=bindparam("state"), update_time=bindparam("update_time"))
)
_SET_DUE = (
    update(Email)
    .where(Email.id == bindparam("key"))
    .values(due_time=bindparam("due_time"), round=bindparam("round"))
)


@dataclass(slots=True)
class Writes:
    """Rows to write, table by table. Nothing is written before `flush`."""

    now: datetime
    attempts: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    closed_attempts: list[Row] = field(default_factory=list)
    closed_entries: list[Row] = field(default_factory=list)
    moves: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    due: dict[uuid.UUID, Row] = field(default_factory=dict)

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

    def move(self, recipient_id: int, state: State) -> None:
        self.moves.append({"key": recipient_id, "state": state, "update_time": self.now})

    def tell(
        self,
        email_id: uuid.UUID,
        type_: EventType,
        text: str,
        recipient_id: int | None = None,
        attempt_id: uuid.UUID | None = None,
    ) -> None:
        """A line on the email's timeline."""
        self.events.append(
            {
                "email_id": email_id,
                "recipient_id": recipient_id,
                "attempt_id": attempt_id,
                "type": type_,
                "time": self.now,
                "text": _clean(text),
            }
        )

    def look_again(self, email_id: uuid.UUID, due: datetime | None, round_: int) -> None:
        """When the email is due next; None for never."""
        self.due[email_id] = {"key": email_id, "due_time": due, "round": round_}

    def flush(self) -> None:
        """Write everything into the session's transaction."""
        # On the connection, since these are statements over rows and not objects that the ORM would track.
        connection = db.session.connection()
        for statement, rows in (
            (_CLOSE_ATTEMPT, self.closed_attempts),
            (_CLOSE_ENTRY, self.closed_entries),
            (_MOVE_RECIPIENT, self.moves),
            (_SET_DUE, list(self.due.values())),
            (insert(Attempt), self.attempts),
            (insert(Ledger), self.entries),
            (insert(Event), self.events),
        ):
            if rows:
                connection.execute(statement, rows)


def still_ours(claims: set[tuple[uuid.UUID, int]]) -> set[uuid.UUID]:
    """Which of these (email, lease) are still held, locked until the transaction ends.

    A worker that was away for longer than its lease has lost them to another, and must not write.
    """
    if not claims:
        return set()
    query = Email.__table__.select().with_only_columns(Email.id)
    held = query.where(tuple_(Email.id, Email.lease).in_(claims)).order_by(Email.id).with_for_update()
    return set(db.session.scalars(held))


def _clean(text: str) -> str:
    return text.replace("\0", "")[:MAX_TEXT]
