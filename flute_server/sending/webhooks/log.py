"""What was told to an endpoint, and telling it again."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row

from flute_server.admin.find import as_uuid, is_own_environment
from flute_server.admin.paging import checked_size
from flute_server.domain.webhook import body, event_id
from flute_server.errors import Violation, invalid, not_found
from flute_server.models import WebhookEndpoint, db
from flute_server.sending.webhooks import events

DEFAULT_PAGE = 50
LARGEST_PAGE = 200
MAX_REPLAYED_IDS = 1000
# More than this would keep the database busy for long; several smaller ranges do the same.
MAX_REPLAYED = 100_000
REPLAY_DAYS = 30


@dataclass(frozen=True, slots=True)
class Try:
    """One call that was made. status: 0 when no answer came; url: where it went, if that was kept."""

    begin: datetime
    took: timedelta
    status: int
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A delivery as it is shown. next_try: None when it is not tried.

    body: with names as they are now; empty in lists.
    """

    id: uuid.UUID
    endpoint_id: uuid.UUID
    event_id: str
    event_type: str
    email_id: uuid.UUID
    state: str
    time: datetime
    next_try: datetime | None
    tries: Sequence[Try]
    body: str = ""


def list_page(endpoint_id: uuid.UUID, state: str, size: int, token: str) -> tuple[list[Entry], str]:
    """An endpoint's deliveries, newest first, each with its last try; state: empty for all.

    Raises InvalidArgument for a size or token that is none.
    """
    limit = checked_size(size, DEFAULT_PAGE, LARGEST_PAGE)
    values = {
        "endpoint": endpoint_id,
        "state": state,
        "before": _before(token) if token else 2**63 - 1,
        "limit": limit + 1,
    }
    query = _LIST.format(where="AND d.state = %(state)s" if state else "")
    rows = db.session.connection().exec_driver_sql(query, values).all()
    entries = [_entry(row, [_try(row)] if row.start_time else []) for row in rows[:limit]]
    return entries, _token(rows[limit - 1].event_id) if len(rows) > limit else ""


def list_of_email(email_id: uuid.UUID, state: str, size: int, token: str) -> tuple[list[Entry], str]:
    """What was told of an email, to whichever endpoint; as list_page otherwise."""
    limit = checked_size(size, DEFAULT_PAGE, LARGEST_PAGE)
    event, _, last = _place(token).partition(" ") if token else (str(2**63 - 1), "", "")
    values = {"email": email_id, "state": state, "before": int(event), "limit": limit + 1}
    values["last"] = as_uuid(last) or uuid.UUID(int=0)
    query = _LIST_OF_EMAIL.format(where="AND d.state = %(state)s" if state else "")
    rows = db.session.connection().exec_driver_sql(query, values).all()
    entries = [_entry(row, [_try(row)] if row.start_time else []) for row in rows[:limit]]
    end = rows[limit - 1] if len(rows) > limit else None
    return entries, _token(f"{end.event_id} {end.id}") if end else ""


def _token(place: object) -> str:
    return base64.urlsafe_b64encode(f"before {place}".encode()).decode()


def _before(token: str) -> int:
    return int(_place(token).partition(" ")[0])


def _place(token: str) -> str:
    """An event's number; where several endpoints may have been told of it, with the delivery's id."""
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        text = ""
    found = re.fullmatch(r"before ([0-9]{1,18}( [0-9a-f-]{36})?)", text)
    if not found:
        raise invalid([Violation("page_token", "not a token that a list gave")])
    return found[1]


def get(id_: str, environment_id: uuid.UUID | None) -> Entry:
    """A delivery with its body and all calls, of this environment if one is given. Raises NotFound."""
    connection = db.session.connection()
    row = connection.exec_driver_sql(_GET, {"id": as_uuid(id_)}).one_or_none()
    if row is None or not is_own_environment(row.environment_id, environment_id):
        raise not_found("webhook delivery", id_)
    tries = [_try(found) for found in connection.exec_driver_sql(_TRIES, {"id": row.id})]
    told = events.told(connection, [row.event_id])[row.event_id]
    return _entry(row, tries, body(told).decode())


def _try(row: Row[Any]) -> Try:
    return Try(row.start_time, timedelta(milliseconds=row.duration_ms), row.status, row.text, row.url)


def _entry(row: Row[Any], tries: Sequence[Try], content: str = "") -> Entry:
    return Entry(
        id=row.id,
        endpoint_id=row.endpoint_id,
        event_id=event_id(row.event_id),
        event_type=row.type,
        email_id=row.email_id,
        state=row.state,
        time=row.time,
        next_try=None if row.paused else row.next_try,
        tries=tries,
        body=content,
    )


def replay_named(endpoint_id: uuid.UUID, given: Sequence[str]) -> int:
    """Make these deliveries of the endpoint again; how many they are. In the session's transaction.

    Raises InvalidArgument for one that there is not.
    """
    if len(given) > MAX_REPLAYED_IDS:
        raise invalid(
            [Violation("delivery_ids", f"at most {MAX_REPLAYED_IDS:,}; this request has {len(given):,}")]
        )
    ids = [as_uuid(id_) for id_ in given]
    values = {"endpoint": endpoint_id, "ids": [id_ for id_ in ids if id_]}
    found = {row.id for row in db.session.connection().exec_driver_sql(_REPLAY_NAMED, values)}
    faults = [
        Violation(f"delivery_ids[{index}]", "the endpoint has no such delivery")
        for index, id_ in enumerate(ids)
        if id_ not in found
    ]
    if faults:
        raise invalid(faults[:10])
    return len(found)


def replay_range(
    endpoint: WebhookEndpoint, start: datetime, end: datetime | None, *, only_failed: bool
) -> int:
    """Tell of the events of a range (the end exclusive; None for now) again; how many they are.

    Those that there was no delivery for, such as from before the endpoint existed, are told for the first
    time. only_failed: without those that the endpoint has taken. In the session's transaction. Raises
    InvalidArgument.
    """
    now = datetime.now(UTC)
    end = end or now
    if now - start > timedelta(days=REPLAY_DAYS):
        raise invalid([Violation("start_time", f"at most {REPLAY_DAYS} days ago")])
    if end <= start:
        raise invalid([Violation("end_time", "must be after start_time, and start_time in the past")])
    values = {
        "endpoint": endpoint.id,
        "environment": endpoint.environment_id,
        "types": endpoint.event_types,
        "start": start,
        "end": end,
        "only_failed": only_failed,
        "limit": MAX_REPLAYED + 1,
    }
    count = db.session.connection().exec_driver_sql(_REPLAY_RANGE, values).rowcount
    if count > MAX_REPLAYED:
        text = f"the range holds more than {MAX_REPLAYED:,} events; replay it in smaller ranges"
        raise invalid([Violation("end_time", text)])
    return count


_COLUMNS = """
d.id, d.endpoint_id, d.event_id, e.type, d.email_id, d.state, e.time, w.paused, w.environment_id,
CASE WHEN d.due_time IS NOT NULL THEN greatest(d.due_time, w.retry_time) END AS next_try
"""
_WITH_LAST_TRY = f"""
SELECT {_COLUMNS}, t.start_time, t.duration_ms, t.status, t.text, t.url
FROM webhook_delivery d
JOIN webhook_endpoint w ON w.id = d.endpoint_id
JOIN event e ON e.id = d.event_id
LEFT JOIN LATERAL (
    SELECT * FROM webhook_try WHERE delivery_id = d.id ORDER BY id DESC LIMIT 1
) AS t ON true
"""  # noqa: S608  constants
# By the email's few events, which have an index, and the deliveries of each, which have another.
_LIST_OF_EMAIL = f"""
{_WITH_LAST_TRY}
WHERE e.email_id = %(email)s AND (d.event_id, d.id) < (%(before)s, %(last)s) {{where}}
ORDER BY d.event_id DESC, d.id DESC LIMIT %(limit)s
"""
_LIST = f"""
{_WITH_LAST_TRY}
WHERE d.endpoint_id = %(endpoint)s AND d.event_id < %(before)s {{where}}
ORDER BY d.event_id DESC LIMIT %(limit)s
"""
_GET = f"""
SELECT {_COLUMNS}
FROM webhook_delivery d JOIN webhook_endpoint w ON w.id = d.endpoint_id JOIN event e ON e.id = d.event_id
WHERE d.id = %(id)s
"""  # noqa: S608  constants
_TRIES = """
SELECT start_time, duration_ms, status, text, url FROM webhook_try WHERE delivery_id = %(id)s ORDER BY id
"""
# A new lease number: a call under way must not settle what is to be told again.
_REPLAY_NAMED = """
UPDATE webhook_delivery SET state = 'pending', tries = 0, due_time = now(), lease = lease + 1
WHERE endpoint_id = %(endpoint)s AND id = ANY(%(ids)s)
RETURNING id
"""
_REPLAY_RANGE = """
INSERT INTO webhook_delivery AS d (endpoint_id, event_id, email_id, due_time)
SELECT %(endpoint)s, e.id, e.email_id, now() FROM event e
WHERE e.environment_id = %(environment)s AND e.time >= %(start)s AND e.time < %(end)s
  AND (cardinality(%(types)s::text[]) = 0 OR e.type = ANY(%(types)s::text[]))
  AND NOT (%(only_failed)s AND EXISTS (
      SELECT FROM webhook_delivery t
      WHERE t.endpoint_id = %(endpoint)s AND t.event_id = e.id AND t.state = 'delivered'
  ))
LIMIT %(limit)s
ON CONFLICT (endpoint_id, event_id) DO UPDATE
SET state = 'pending', tries = 0, due_time = now(), lease = d.lease + 1
"""
