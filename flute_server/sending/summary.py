"""The lines of a list of mails: all lines together with three queries."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Text, column, func, select, true
from sqlalchemy.dialects.postgresql import JSONB

from flute_server.domain.message import Address
from flute_server.domain.state import State, email_state
from flute_server.models import Attempt, Email, Ledger, ProviderAccount, Recipient, db


@dataclass(frozen=True, slots=True)
class Addressee:
    """One recipient of a mail; `state` as the mail's story tells it."""

    address: Address
    kind: str
    state: State
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """One line. provider_accounts: the names of those that were tried, in the order of the first try."""

    id: uuid.UUID
    state: State
    create_time: datetime
    send_time: datetime | None
    test: bool
    sender: Address
    subject: str
    tags: Sequence[str]
    recipients: Sequence[Addressee]
    provider_accounts: Sequence[str]


# The content is unpacked once a mail, and its bodies stay in the database.
_PARTS = (
    func.jsonb_to_record(Email.content)
    .table_valued(column("from", JSONB), column("subject", Text), column("tags", JSONB), name="parts")
    .render_derived(with_types=True)
)


def summaries(ids: Sequence[uuid.UUID]) -> list[Summary]:
    """A line for each of these mails, in this order."""
    if not ids:
        return []
    columns = (Email.id, Email.create_time, Email.send_time, Email.test)
    query = select(*columns, _PARTS).select_from(Email).join(_PARTS, true()).where(Email.id.in_(ids))
    emails = {row.id: row for row in db.session.execute(query)}
    accounts, called = _tried(ids)
    recipients = _recipients(ids, called)
    return [_summary(emails[id_], recipients[id_], accounts[id_]) for id_ in ids]


def _summary(row: Row[Any], recipients: list[Addressee], accounts: dict[str, None]) -> Summary:
    return Summary(
        id=row.id,
        state=email_state(recipient.state for recipient in recipients),
        create_time=row.create_time,
        send_time=row.send_time,
        test=row.test,
        sender=Address(*getattr(row, "from")),
        subject=row.subject,
        tags=row.tags or (),
        recipients=recipients,
        provider_accounts=list(accounts),
    )


def _recipients(ids: Sequence[uuid.UUID], called: set[int]) -> dict[uuid.UUID, list[Addressee]]:
    found: dict[uuid.UUID, list[Addressee]] = defaultdict(list)
    rows = Recipient.__table__
    for row in db.session.execute(select(rows).where(rows.c.email_id.in_(ids)).order_by(rows.c.id)):
        state = State.SENDING if row.id in called else State(row.state)
        addressee = Addressee(Address(row.address, row.name), row.kind, state, row.update_time)
        found[row.email_id].append(addressee)
    return found


def _tried(ids: Sequence[uuid.UUID]) -> tuple[dict[uuid.UUID, dict[str, None]], set[int]]:
    """Through which accounts each mail was tried, and the recipients for whom a call is under way."""
    query = (
        select(Attempt.email_id, ProviderAccount.name, Ledger.recipient_id)
        .join(ProviderAccount, ProviderAccount.id == Attempt.provider_account_id)
        .outerjoin(Ledger, (Ledger.attempt_id == Attempt.id) & Ledger.outcome.is_(None))
        .where(Attempt.email_id.in_(ids))
        .order_by(Attempt.start_time, Attempt.id)
    )
    accounts: dict[uuid.UUID, dict[str, None]] = defaultdict(dict)
    called = set()
    for email_id, name, recipient_id in db.session.execute(query):
        accounts[email_id][name] = None
        called.add(recipient_id)
    return accounts, called - {None}
