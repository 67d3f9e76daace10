"""Events to the endpoints that are to be told of them."""

from __future__ import annotations

from sqlalchemy import Connection

from flute_server.sending.position import Position


def fan_out(connection: Connection, first: Position, last: Position) -> None:
    """Make the deliveries of the events from `first` (exclusive) to `last` (inclusive).

    In the caller's transaction, and once however often it is called. An endpoint is told of what is stored
    after it was created.
    """
    values = {"first_xid": first.xid, "first_id": first.id, "last_xid": last.xid, "last_id": last.id}
    connection.exec_driver_sql(_FAN_OUT, values)


# The EXISTS is looked at once and first: without any endpoint no event is read.
_FAN_OUT = """
INSERT INTO webhook_delivery (endpoint_id, event_id, email_id, due_time)
SELECT w.id, e.id, e.email_id, now()
FROM event e
JOIN webhook_endpoint w ON w.environment_id = e.environment_id
WHERE EXISTS (SELECT FROM webhook_endpoint)
  AND (e.xid, e.id) > (%(first_xid)s::xid8, %(first_id)s)
  AND (e.xid, e.id) <= (%(last_xid)s::xid8, %(last_id)s)
  AND (cardinality(w.event_types) = 0 OR e.type = ANY(w.event_types))
  AND e.xid > w.xid
ON CONFLICT DO NOTHING
"""
