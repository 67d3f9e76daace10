"""When events last came for a provider account, or were refused, so that people can check that they arrive.

To the minute: what is newer is not written again, so that a flood of events, or of forgeries, costs nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, or_, select, update

from flute_server.models import ProviderAccount, db

EXACT_TO = timedelta(minutes=1)
MAX_REASON = 500


def proven(connection: Connection, account_id: uuid.UUID, last: datetime | None) -> None:
    """A genuine call came. last: the time on record. Commits nothing."""
    now = datetime.now(UTC)
    if _is_old(last, now):
        mine = update(ProviderAccount).where(ProviderAccount.id == account_id)
        connection.execute(mine.values(last_event_time=now))


def rejected(connection: Connection, account_id: uuid.UUID, last: datetime | None, reason: str) -> None:
    """A call was refused. last: the time on record. Commits nothing."""
    now = datetime.now(UTC)
    if _is_old(last, now):
        mine = update(ProviderAccount).where(ProviderAccount.id == account_id)
        text = reason.replace("\0", "")[:MAX_REASON]
        connection.execute(mine.values(rejected_time=now, rejected_reason=text))


def by_mail(account_ids: Collection[uuid.UUID], now: datetime) -> None:
    """Genuine bounce mails of these accounts came. In the session's transaction."""
    if not account_ids:
        return
    known = ProviderAccount.last_event_time
    stale = (
        select(ProviderAccount.id)
        .where(ProviderAccount.id.in_(account_ids), or_(known.is_(None), known < now - EXACT_TO))
        # Another worker that has it just now writes the same.
        .with_for_update(skip_locked=True, key_share=True)
    )
    mine = update(ProviderAccount).where(ProviderAccount.id.in_(stale))
    db.session.execute(mine.values(last_event_time=now), execution_options={"synchronize_session": False})


def _is_old(last: datetime | None, now: datetime) -> bool:
    return last is None or last < now - EXACT_TO
