"""What waits for a person, as people read it."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select

from flute_server.admin.find import find
from flute_server.admin.paging import page
from flute_server.models import Account, Alert, db


def resolve(id_: str) -> Alert:
    """Dealt with; the first time stands."""
    alert = find(Alert, id_)
    alert.resolve_time = alert.resolve_time or datetime.now(UTC)
    db.session.commit()
    return alert


def list_page(account_id: str, size: int, token: str, *, resolved: bool) -> tuple[list[Alert], str]:
    account = find(Account, account_id)
    query = select(Alert).where(Alert.account_id == account.id)
    if not resolved:
        query = query.where(Alert.resolve_time.is_(None))
    return page(query, Alert, size, token)
