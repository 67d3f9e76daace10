"""Write accepted mail down: one statement, so one round trip and one transaction, for any number of mails."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from flute_server.domain.message import Message, RecipientKind
from flute_server.domain.state import State
from flute_server.domain.terms import terms
from flute_server.domain.wording import to_be_sent
from flute_server.models import autocommit
from flute_server.sending import idempotency
from flute_server.sending.answer import Accepted, Answer, Problem, Result
from flute_server.sending.content import packed
from flute_server.sending.idempotency import Once
from flute_server.sending.senders import Sender

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail as it was asked for. send_at: not to be sent before; None or past for at once."""

    message: Message
    send_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The call that brings mail. request_id: for the timeline; once: if the call may be repeated."""

    request_id: str = ""
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """The email whose content and files a new one repeats."""

    email_id: uuid.UUID
    has_attachments: bool


_STORED = """
mail AS MATERIALIZED (
    SELECT given.* FROM {claimed} jsonb_to_recordset(%(mails)s::jsonb)
        AS given (
            id uuid, content jsonb, has_attachments boolean, send_time timestamptz, terms text[], due text
        )
), stored AS (
    INSERT INTO email (id, environment_id, create_time, due_time, lease, round, content, has_attachments,
        send_time, test, resent_from, terms)
    SELECT id, %(environment_id)s, %(now)s, coalesce(send_time, %(now)s), 0, 0, content, has_attachments,
        send_time, %(test)s, %(source)s, terms
    FROM mail
), addressed AS (
    INSERT INTO recipient (email_id, environment_id, email_time, kind, address, name, state, update_time)
    SELECT email_id, %(environment_id)s, %(now)s, kind, address, name, state, %(now)s
    FROM {claimed} ROWS FROM (
        jsonb_to_recordset(%(recipients)s::jsonb)
        AS (email_id uuid, kind text, address text, name text, state text)
    ) WITH ORDINALITY AS given (email_id, kind, address, name, state, place)
    ORDER BY place
)"""
_ATTACHED = """, attached AS (
    INSERT INTO attachment (email_id, position, filename, content_type, content_id, content)
    SELECT email_id, place, filename, content_type, content_id, content
    FROM {claimed} unnest(
        %(file_emails)s::uuid[], %(places)s::int[], %(filenames)s::text[], %(content_types)s::text[],
        %(content_ids)s::text[], %(files)s::bytea[]
    ) AS given (email_id, place, filename, content_type, content_id, content)
)"""
_COPIED = """, attached AS (
    INSERT INTO attachment (email_id, position, filename, content_type, content_id, content)
    SELECT mail.id, position, filename, content_type, content_id, attachment.content
    FROM mail, attachment WHERE attachment.email_id = %(source)s
)"""
_TOLD = """
INSERT INTO event (email_id, environment_id, type, time, text)
SELECT id, %(environment_id)s, type, %(now)s, text FROM (
    SELECT 1 AS place, id, 'accepted' AS type, %(text)s::text AS text FROM mail
    UNION ALL
    SELECT 2, id, 'scheduled', due FROM mail WHERE due IS NOT NULL
) AS moment
ORDER BY place
"""


@cache
def _statement(files: str, *, once: bool) -> str:
    parts = (_STORED + files).format(claimed="claimed," if once else "")
    return f"WITH {idempotency.CLAIMED + ',' if once else ''} {parts} {_TOLD}"


@dataclass(frozen=True, slots=True)
class _Mail:
    """A draft on its way into the database. send_time: None for at once."""

    id: uuid.UUID
    message: Message
    send_time: datetime | None

    @property
    def state(self) -> State:
        return State.SCHEDULED if self.send_time else State.QUEUED

    def row(self, source: Source | None) -> Row:
        due = (
            {"send_time": self.send_time.isoformat(), "due": to_be_sent(self.send_time)}
            if self.send_time
            else {}
        )
        return {
            "id": str(self.id),
            "content": packed(self.message),
            "has_attachments": source.has_attachments if source else bool(self.message.attachments),
            "terms": terms(self.message, source.email_id if source else None),
            **due,
        }

    def recipients(self) -> Iterator[Row]:
        id_, state, message = str(self.id), self.state, self.message
        for kind, addresses in (
            (RecipientKind.TO, message.to),
            (RecipientKind.CC, message.cc),
            (RecipientKind.BCC, message.bcc),
        ):
            for address in addresses:
                yield {
                    "email_id": id_,
                    "kind": kind,
                    "address": address.email,
                    "name": address.name,
                    "state": state,
                }


def store(
    sender: Sender,
    drafts: Sequence[Draft | Problem],
    origin: Origin,
    source: Source | None = None,
) -> Answer:
    """Store all that is no problem; when this returns, it is durable. Without any, nothing is written.

    source: the email that they repeat, whose files they get. Raises Aborted while another call with the same
    key is under way, AlreadyExists if that asks something else, RateLimited beyond the month's quota.
    """
    now = datetime.now(UTC)
    mails, results = _mails(drafts, now)
    answer = Answer(now, results)
    if not mails:
        return answer
    if sender.refusal:
        raise sender.refusal
    values = {
        "environment_id": sender.environment_id,
        "now": now,
        "test": sender.test,
        "source": source.email_id if source else None,
        "text": "accepted and stored" + (f" (request {origin.request_id})" if origin.request_id else ""),
        "mails": _json([mail.row(source) for mail in mails]),
        "recipients": _json([row for mail in mails for row in mail.recipients()]),
    }
    files = _file_values(mails)
    clause = _COPIED if source and source.has_attachments else _ATTACHED if files else ""
    if origin.once:
        return _store_once(sender, clause, values | files, origin.once, answer)
    with autocommit() as connection:
        connection.exec_driver_sql(_statement(clause, once=False), values | files)
    return answer


def _store_once(sender: Sender, clause: str, values: dict[str, Any], once: Once, answer: Answer) -> Answer:
    values |= idempotency.values(once, answer)
    try:
        with autocommit() as connection:
            stored = connection.exec_driver_sql(_statement(clause, once=True), values).rowcount
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise idempotency.in_flight() from error
        raise
    if stored:
        return answer
    # Another call was quicker. If its answer is forgotten by now, a repetition finds the key free.
    if known := idempotency.recall(sender.environment_id, once):
        return known
    raise idempotency.in_flight()


def _mails(drafts: Sequence[Draft | Problem], now: datetime) -> tuple[list[_Mail], list[Result]]:
    mails: list[_Mail] = []
    results: list[Result] = []
    for draft in drafts:
        if isinstance(draft, Problem):
            results.append(draft)
            continue
        send_time = draft.send_at if draft.send_at and draft.send_at > now else None
        mail = _Mail(uuid.uuid4(), draft.message, send_time)
        mails.append(mail)
        results.append(Accepted(mail.id, mail.state))
    return mails, results


def _file_values(mails: Sequence[_Mail]) -> dict[str, Any]:
    """The files as columns; nothing when there are none."""
    rows = [
        (mail.id, place, file) for mail in mails for place, file in enumerate(mail.message.attachments, 1)
    ]
    if not rows:
        return {}
    return {
        "file_emails": [id_ for id_, _, _ in rows],
        "places": [place for _, place, _ in rows],
        "filenames": [file.filename for _, _, file in rows],
        "content_types": [file.content_type for _, _, file in rows],
        "content_ids": [file.content_id for _, _, file in rows],
        "files": [file.content for _, _, file in rows],
    }


def _json(rows: Sequence[Row]) -> str:
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"), check_circular=False)
