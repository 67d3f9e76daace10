"""Keep the order of events when the database moves to another PostgreSQL.

Events are read in the order of the transactions that wrote them (see models/email.py Event), and each
PostgreSQL counts its own transactions. After a dump was restored into one that has counted less far, what
happens from now on would come before all that is on record: readers would wait until the numbers have caught
up. So each number passes through the SQL function event_order(), which adds what it takes to go on after the
last one on record. Places that callers keep, page and resume tokens, stay right.
"""

from __future__ import annotations

import logging

from flask import Flask
from sqlalchemy import Connection

from flute_server.models import autocommit, db

log = logging.getLogger(__name__)

# Room for what was counted after the dump was made: whoever was told of it is told of all that happens now,
# under ids that were never used.
GAP = 2**32
_LOCK_S = 10


def succeed(app: Flask) -> bool:
    """Go on after the last number on record if this PostgreSQL has not come so far; whether that was so.

    Cheap where there is nothing to do. Raises OperationalError while somebody's long transaction is in the
    way; nothing is changed then.
    """
    with app.app_context():
        with autocommit() as connection:
            if _last_behind(connection) is None:
                return False
        connection = db.session.connection()
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_S}s'")
        connection.exec_driver_sql("LOCK TABLE event, webhook_endpoint IN SHARE ROW EXCLUSIVE MODE")
        last = _last_behind(connection)
        if last is not None:
            _go_on_after(connection, last)
        db.session.commit()
    log.warning("the database was restored into another PostgreSQL: the order of events goes on")
    return True


def _last_behind(connection: Connection) -> int | None:
    """The last number on record, if it is one that this PostgreSQL has not reached."""
    last, reached = connection.exec_driver_sql(_LAST).one()
    return int(last) if int(last) >= int(reached) else None


def _go_on_after(connection: Connection, last: int) -> None:
    """Under a lock that lets nobody write events."""
    before = int(connection.exec_driver_sql("SELECT event_order('0')::text").scalar_one())
    connection.exec_driver_sql(_MOVE, {"before": before, "after": last + GAP})
    connection.exec_driver_sql(_LEAVE_ROOM, {"gap": GAP})
    connection.exec_driver_sql(_FUNCTION.format(int(last + GAP)))


# Of events by the index, hence first by id among the largest; there are few endpoints.
_LAST = """
SELECT greatest(
    (SELECT xid FROM event ORDER BY xid DESC, id DESC LIMIT 1),
    (SELECT xid FROM webhook_endpoint ORDER BY xid DESC LIMIT 1),
    (SELECT xid FROM follower ORDER BY xid DESC LIMIT 1),
    '0'
)::text, event_order(pg_snapshot_xmax(pg_current_snapshot()))::text
"""
# What was written here before we came stands behind the last one that came along, too.
_MOVE = """
UPDATE event SET xid = (xid::text::bigint - %(before)s + %(after)s)::text::xid8
WHERE id > (SELECT id FROM event ORDER BY xid DESC, id DESC LIMIT 1)
  AND xid < event_order(pg_snapshot_xmax(pg_current_snapshot()))
"""
_LEAVE_ROOM = """
SELECT setval(pg_get_serial_sequence('event', 'id'), nextval(pg_get_serial_sequence('event', 'id')) + %(gap)s)
"""
_FUNCTION = """
CREATE OR REPLACE FUNCTION event_order(transaction xid8) RETURNS xid8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (transaction::text::bigint + {})::text::xid8
"""
