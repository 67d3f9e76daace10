"""What waits for a person: one open alert for each thing, which counts how often it came up."""

from __future__ import annotations

import uuid

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert

from flute_server.models import Alert, AlertKind, db


def tell(account_id: uuid.UUID, kind: AlertKind, subject: str, text: str) -> None:
    """Open an alert, or count it once more if it is open. In the session's transaction."""
    new = insert(Alert).values(
        id=uuid.uuid4(), account_id=account_id, kind=kind, subject=subject, text=text, count=1
    )
    db.session.execute(
        new.on_conflict_do_update(
            index_elements=["account_id", "kind", "subject"],
            index_where=Alert.resolve_time.is_(None),
            set_={"count": Alert.count + 1, "text": new.excluded.text},
        )
    )


def settle(account_id: uuid.UUID, kind: AlertKind, subject: str) -> None:
    """Close the open alert about this subject, if there is one."""
    db.session.execute(
        update(Alert)
        .where(
            Alert.account_id == account_id,
            Alert.kind == kind,
            Alert.subject == subject,
            Alert.resolve_time.is_(None),
        )
        .values(resolve_time=func.now())
    )
