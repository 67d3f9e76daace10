"""Read all events once, in order, for those who need each: the figures, and the webhooks of the owners."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import Connection

from flute_server.models import autocommit, db
from flute_server.sending import tally
from flute_server.sending.position import Position
from flute_server.sending.webhooks.fan_out import fan_out

# How many events are taken in one transaction.
BATCH = 2000


def follow(app: Flask) -> int:
    """Take in the next events, if no other process does so now; how many they were.

    In one transaction with how far it has come, so that each event is taken in once, whatever is killed.
    """
    with app.app_context():
        if not _more():
            return 0
        connection = db.session.connection()
        batch = _next_batch(connection)
        if batch is None:
            return 0
        first, last, count = batch
        tally.count(connection, first, last, BATCH)
        fan_out(connection, first, last)
        connection.exec_driver_sql(_MOVE, {"xid": last.xid, "id": last.id})
        db.session.commit()
        return count


def _more() -> bool:
    """Whether there are events to take in. Looked at first, since asking for the lock writes to disk."""
    with autocommit() as connection:
        found = connection.exec_driver_sql(_LOOK).one_or_none()
        if found is None:
            connection.exec_driver_sql(_PLACE)
        return found is None or bool(found[0])


def _next_batch(connection: Connection) -> tuple[Position, Position, int] | None:
    """Where the next events begin (exclusive) and end (inclusive), and how many they are.

    None if there are none, or if another process has the lock. Nothing that commits later comes in between.
    """
    place = connection.exec_driver_sql(_LOCK).one_or_none()
    if place is None:
        return None
    values = {"xid": place.xid, "id": place.event_id, "limit": BATCH}
    last = connection.exec_driver_sql(_BATCH, values).one_or_none()
    if last is None:
        return None
    return Position(place.xid, place.event_id), Position(last.xid, last.id), last.size


# All sorted, which makes the planner take the index: without an order it expects to meet the first match soon
# in the table itself.
_LOOK = """
SELECT (
    SELECT true FROM event e
    WHERE (e.xid, e.id) > (f.xid, f.event_id) AND e.xid < event_order(pg_snapshot_xmin(pg_current_snapshot()))
    ORDER BY e.xid, e.id LIMIT 1
)
FROM follower f WHERE f.name = 'events'
"""
_PLACE = "INSERT INTO follower (name, xid, event_id) VALUES ('events', '0', 0) ON CONFLICT DO NOTHING"
_LOCK = """
SELECT xid::text AS xid, event_id FROM follower WHERE name = 'events' FOR UPDATE SKIP LOCKED
"""
_BATCH = """
SELECT xid::text AS xid, id, count(*) OVER () AS size
FROM (
    SELECT xid, id FROM event
    WHERE (xid, id) > (%(xid)s::xid8, %(id)s) AND xid < event_order(pg_snapshot_xmin(pg_current_snapshot()))
    ORDER BY xid, id LIMIT %(limit)s
) AS batch
ORDER BY batch.xid DESC, batch.id DESC LIMIT 1
"""
_MOVE = "UPDATE follower SET xid = %(xid)s::xid8, event_id = %(id)s WHERE name = 'events'"
