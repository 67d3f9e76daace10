"""The addresses that an account must not mail, whichever provider would carry it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from flute_server.domain.state import State
from flute_server.models import Email, Environment, Recipient, Suppression, SuppressionReason, db


def add(account_id: uuid.UUID, address: str, reason: SuppressionReason, text: str) -> None:
    """Put an address on the list; the first reason stands. In the session's transaction."""
    row = insert(Suppression).values(
        id=uuid.uuid4(), account_id=account_id, address=address.lower(), reason=reason, text=text
    )
    db.session.execute(row.on_conflict_do_nothing(index_elements=["account_id", "address"]))


def listed(account_id: uuid.UUID, addresses: Iterable[str]) -> dict[str, str]:
    """Which of these addresses are on the account's list, in lower case, and why."""
    query = select(Suppression.address, Suppression.reason, Suppression.text).where(
        Suppression.account_id == account_id,
        Suppression.address.in_({address.lower() for address in addresses}),
    )
    return {address: _why(reason, text) for address, reason, text in db.session.execute(query)}


def among(email_ids: Sequence[uuid.UUID]) -> dict[int, str]:
    """Which waiting recipients of these emails are on their account's list, and why."""
    query = (
        select(Recipient.id, Suppression.reason, Suppression.text)
        .join(Email, Email.id == Recipient.email_id)
        .join(Environment, Environment.id == Email.environment_id)
        .join(
            Suppression,
            (Suppression.account_id == Environment.account_id)
            & (Suppression.address == func.lower(Recipient.address)),
        )
        .where(Recipient.email_id.in_(email_ids), Recipient.state.in_([State.QUEUED, State.SENDING]))
    )
    return {id_: _why(reason, text) for id_, reason, text in db.session.execute(query)}


def _why(reason: str, text: str) -> str:
    return f"the address is suppressed ({reason}: {text})"
