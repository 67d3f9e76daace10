"""An environment's events in the order in which they were stored, from any place on."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flute_server.domain.webhook import EVENT_TYPES
from flute_server.errors import Violation, invalid
from flute_server.models import autocommit
from flute_server.sending.position import Position

# How many events one look passes at the most in search of those of certain types.
SCAN = 10_000


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it is told. recipient: empty when it concerns all of them; account: its name, or empty."""

    position: Position
    email_id: uuid.UUID
    type: str
    time: datetime
    recipient: str
    account: str
    text: str
    attempt_id: uuid.UUID | None


def checked_types(given: Sequence[str]) -> list[str]:
    """The types to tell. Raises InvalidArgument for one that no event has."""
    known = ", ".join(EVENT_TYPES)
    faults = [
        Violation(f"types[{index}]", f"no event is of this type; the types are {known}")
        for index, type_ in enumerate(given)
        if type_ not in EVENT_TYPES
    ]
    if faults:
        raise invalid(faults[:10])
    return list(given)


def latest() -> Position:
    """Before everything that is stored from now on. Of what came a moment ago a little may follow as well."""
    with autocommit() as connection:
        return Position(str(connection.exec_driver_sql(_LATEST).scalar_one()), 0)


@dataclass(frozen=True, slots=True)
class Page:
    """What one look found. end: where to go on; more: there is more to see already."""

    events: list[Told]
    end: Position
    more: bool


def read(environment_id: uuid.UUID, after: Position, types: Sequence[str], limit: int) -> Page:
    """At most `limit` events of these types, of all if there are none.

    The end may be another place although nothing is told: after SCAN events of other types a look ends.
    """
    values = {
        "environment": environment_id,
        "xid": after.xid,
        "id": after.id,
        "types": list(types),
        "limit": limit,
        "scan": SCAN if types else limit,
    }
    with autocommit() as connection:
        rows = connection.exec_driver_sql(_READ, values).all()
    if not rows:
        return Page([], after, more=False)
    events = [_told(row) for row in rows if row.id is not None]
    if len(events) == limit:
        return Page(events, events[-1].position, more=True)
    last = rows[0]
    return Page(events, Position(last.last_xid, last.last_id), more=last.scanned == values["scan"])


def _told(row: Any) -> Told:  # noqa: ANN401  a row
    return Told(
        position=Position(row.xid, row.id),
        email_id=row.email_id,
        type=row.type,
        time=row.time,
        recipient=row.address,
        account=row.name,
        text=row.text,
        attempt_id=row.attempt_id,
    )


_LATEST = "SELECT event_order(pg_snapshot_xmin(pg_current_snapshot()))::text"
_READ = """
WITH scanned AS MATERIALIZED (
    SELECT xid, id, type, email_id, recipient_id, attempt_id, time, text
    FROM event
    WHERE environment_id = %(environment)s AND (xid, id) > (%(xid)s::xid8, %(id)s)
      AND xid < event_order(pg_snapshot_xmin(pg_current_snapshot()))
    ORDER BY xid, id LIMIT %(scan)s
), found AS (
    SELECT * FROM scanned
    WHERE cardinality(%(types)s::text[]) = 0 OR type = ANY(%(types)s::text[])
    ORDER BY xid, id LIMIT %(limit)s
), last AS (
    SELECT xid, id, count(*) OVER () AS scanned FROM scanned ORDER BY xid DESC, id DESC LIMIT 1
)
SELECT f.xid::text AS xid, f.id, f.email_id, f.type, f.time, coalesce(r.address, '') AS address,
    coalesce(p.name, '') AS name, f.text, f.attempt_id, last.xid::text AS last_xid, last.id AS last_id,
    last.scanned
FROM last
LEFT JOIN found f ON true
LEFT JOIN recipient r ON r.id = f.recipient_id
LEFT JOIN attempt a ON a.id = f.attempt_id
LEFT JOIN provider_account p ON p.id = a.provider_account_id
ORDER BY f.xid, f.id
"""
