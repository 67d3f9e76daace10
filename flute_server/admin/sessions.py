"""Who is logged in, by the token that their browser shows."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flute_server.errors import Unauthenticated
from flute_server.models import Role, autocommit
from flute_server.vault import token_hash

# A session that is used lives on; one that is not used for so long ends.
IDLE = timedelta(days=14)
# Writing the last use with every page would be a write for every read.
TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in. account_id, role: where they act, and as what; None in no account."""

    session_id: uuid.UUID
    user_id: uuid.UUID
    email: str
    operator: bool
    account_id: uuid.UUID | None
    role: Role | None

    @property
    def actor(self) -> str:
        """For the audit log."""
        return self.email


# `account_id` is told only while they are a member: who was removed acts nowhere, from this call on.
_PERSON = """
SELECT s.id, s.user_id, m.account_id, m.role, s.last_used_time, s.expire_time <= now() AS expired, u.email,
    u.operator
FROM session s
JOIN "user" u ON u.id = s.user_id
LEFT JOIN member m ON m.user_id = s.user_id AND m.account_id = s.account_id
WHERE s.hash = %(hash)s
"""
_TOUCH = "UPDATE session SET last_used_time = now(), expire_time = now() + %(idle)s WHERE id = %(id)s"


def by_token(token: str) -> Person:
    """The person behind a session's token. Raises Unauthenticated when it is unknown, revoked or expired."""
    with autocommit() as connection:
        row = connection.exec_driver_sql(_PERSON, {"hash": token_hash(token)}).one_or_none()
        if row is None or row.expired:
            raise Unauthenticated("SESSION_ENDED", "you are not logged in any more; please log in again")
        if datetime.now(UTC) - row.last_used_time > TOUCH_EVERY:
            connection.exec_driver_sql(_TOUCH, {"idle": IDLE, "id": row.id})
    return Person(
        session_id=row.id,
        user_id=row.user_id,
        email=row.email,
        operator=row.operator,
        account_id=row.account_id,
        role=Role(row.role) if row.role else None,
    )
