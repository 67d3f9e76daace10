"""Events as endpoints are told of them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from flute_server.domain.webhook import Told, event_id

_EVENTS = """
SELECT e.id, e.type, e.time, e.text, e.email_id, e.environment_id, e.attempt_id, r.address, p.name, m.test,
    m.content->>'subject' AS subject, m.content->'tags' AS tags, m.content->'metadata' AS metadata
FROM event e
JOIN email m ON m.id = e.email_id
LEFT JOIN recipient r ON r.id = e.recipient_id
LEFT JOIN attempt a ON a.id = e.attempt_id
LEFT JOIN provider_account p ON p.id = a.provider_account_id
WHERE e.id = ANY(%(ids)s)
"""


def told(connection: Connection, ids: Collection[int]) -> dict[int, Told]:
    """The events with these ids."""
    rows = connection.exec_driver_sql(_EVENTS, {"ids": list(ids)})
    return {
        row.id: Told(
            id=event_id(row.id),
            type=row.type,
            time=row.time,
            email_id=str(row.email_id),
            environment_id=str(row.environment_id),
            recipient=row.address or "",
            provider_account=row.name or "",
            text=row.text,
            attempt_id=str(row.attempt_id or ""),
            subject=row.subject or "",
            tags=row.tags or (),
            metadata=row.metadata or {},
            test=row.test,
        )
        for row in rows
    }
