"""What waits to be done, and for how long: narrow looks into the database, whose cost does not grow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from flute_server.checkup.check import Ask, Check, Status, judged
from flute_server.domain.spans import in_words

# Counting ends here.
MOST = 10_000
LATE_S = 60.0
VERY_LATE_S = 600.0
_MORE_WORKERS = "start more workers (`flute worker`), and read their logs"


def backlog(ask: Ask) -> Iterator[Check]:
    """Mail, events of providers, calls of webhooks, and the follower of all events."""
    yield _waiting("queue", "Mail that is due", ask(_DUE), _MORE_WORKERS)
    yield _waiting("events", "Provider events to read", ask(_UNREAD), _MORE_WORKERS)
    yield _waiting("webhooks", "Webhook calls to make", ask(_CALLS), _MORE_WORKERS)
    yield _waiting("follower", "Events to count and tell", ask(_BEHIND), _MORE_WORKERS)


def _waiting(name: str, title: str, rows: Sequence[Sequence[Any]], fix: str) -> Check:
    [(count, age_s)] = rows
    if not count:
        return Check(name, title, Status.OK, "none")
    age = float(age_s or 0)
    number = f"{count:,}" if count < MOST else f"{MOST:,} or more"
    text = f"{number}, the oldest for {in_words(age)}"
    status = Status.FAILING if age > VERY_LATE_S else Status.WARNING
    return judged(name, title, text, fix, bad=age > LATE_S, status=status)


_DUE = f"""
SELECT count(*), extract(epoch FROM now() - min(due_time))::float8
FROM (SELECT due_time FROM email WHERE due_time <= now() ORDER BY due_time LIMIT {MOST}) due
"""  # noqa: S608  constants only
_UNREAD = f"""
SELECT count(*), extract(epoch FROM now() - min(due_time))::float8
FROM (SELECT due_time FROM inbound WHERE due_time <= now() ORDER BY due_time LIMIT {MOST}) unread
"""  # noqa: S608  constants only
# Of endpoints that are well; calls to others wait for these, as they should.
_CALLS = f"""
SELECT count(*), extract(epoch FROM now() - min(due_time))::float8
FROM webhook_endpoint w CROSS JOIN LATERAL (
    SELECT due_time FROM webhook_delivery WHERE endpoint_id = w.id AND due_time <= now()
    ORDER BY due_time LIMIT {MOST}
) due
WHERE NOT w.paused AND w.failures = 0
"""  # noqa: S608  constants only
# What is not visible to all yet cannot be followed yet.
_BEHIND = f"""
SELECT count(*), extract(epoch FROM now() - min(behind.time))::float8
FROM follower f CROSS JOIN LATERAL (
    SELECT e.time FROM event e
    WHERE (e.xid, e.id) > (f.xid, f.event_id) AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY e.xid, e.id LIMIT {MOST}
) behind
WHERE f.name = 'events'
"""  # noqa: S608  constants only
