"""Mail that was accepted and of which nothing more is heard: find out where, and send it again if wanted."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import exists, select, text, tuple_

from flute_server.domain import delay
from flute_server.domain.breaker import BreakerState
from flute_server.domain.outcome import Outcome
from flute_server.domain.state import EventType, State
from flute_server.domain.verdict import Action
from flute_server.models import Attempt, DelayPolicy, Ledger, Recipient, db
from flute_server.sending.record import Writes, lock
from flute_server.sending.routing import WHOLE

# How far back silence is looked for, in how many of an account's latest hand-overs.
WATCHED = timedelta(hours=1)
WATCHED_CALLS = 5000
# How many recipients are resent at once.
RESENT = 500
# Where events wait for longer than this to be read, it is Flute that is late, and nobody's silence counts.
LATE_READING = timedelta(minutes=1)


def found(now: datetime) -> list[tuple[uuid.UUID, str, str]]:
    """The accounts and receiving domains at which too much is overdue, with the reason in words."""
    if db.session.scalar(_READING_IS_LATE, {"before": now - LATE_READING}):
        return []
    rows = db.session.execute(_SILENT, _times(now) | {"calls": WATCHED_CALLS})
    return [
        (row.provider_account_id, row.domain, delay.silence(row.overdue, row.judged, row.domain, row.edge_s))
        for row in rows
        if delay.too_many(row.overdue, row.judged)
    ]


def _times(now: datetime) -> dict[str, object]:
    return {"now": now, "floor": timedelta(seconds=delay.FLOOR_S), "watched": WATCHED}


def resend(now: datetime) -> None:
    """Queue overdue mail again, once for each recipient, at domains whose breaker silence has opened."""
    found = db.session.execute(_OVERDUE, _times(now) | {"most": RESENT}).all()
    if not found:
        return
    lock(row.email_id for row in found)
    entries = [(row.attempt_id, row.recipient_id) for row in found]
    still = _still_silent(entries)
    writes = Writes(now)
    for row in found:
        if row.recipient_id not in still:
            continue
        age = timedelta(seconds=round((now - row.start_time).total_seconds()))
        words = f"nothing was heard of the mail since {row.account} took it {age} ago ({row.reason})"
        words += "; sending it again through another provider, as the environment's on_delay says"
        detail = {"silence": row.reason, "age_s": age.total_seconds()}
        writes.learn(row.attempt_id, row.recipient_id, Outcome.ACCEPTED, None, Action.FAILOVER)
        writes.move(row.recipient_id, State.QUEUED)
        writes.tell(row.email_id, EventType.FAILOVER, words, row.recipient_id, row.attempt_id, detail=detail)
        # While a call is under way, the worker that made it looks again when it ends.
        if not still[row.recipient_id]:
            writes.hurry(row.email_id)
    writes.flush()


def _still_silent(entries: Sequence[tuple[uuid.UUID, int]]) -> dict[int, bool]:
    """The recipients of these entries that are still not heard of; True where a call is under way."""
    under_way = exists().where(Attempt.email_id == Recipient.email_id, Attempt.end_time.is_(None))
    query = (
        select(Recipient.id, under_way)
        .join(Ledger, Ledger.recipient_id == Recipient.id)
        .where(tuple_(Ledger.attempt_id, Ledger.recipient_id).in_(entries))
        .where(Ledger.fate.is_(None), Ledger.action.is_distinct_from(Action.NONE))
        .where(Recipient.state == State.SENT)
    )
    return {row_id: busy for row_id, busy in db.session.execute(query)}


_READING_IS_LATE = text("SELECT EXISTS (SELECT FROM inbound WHERE due_time < :before)")

_EDGE_S = f"greatest({delay.FLOOR_S}, mean_s + {delay.DEVIATIONS} * deviation_s)"  # Band.edge_s
_DOMAIN = "lower(split_part(r.address, '@', -1))"  # Address.domain

# Of the latest hand-overs of accounts that tell of deliveries: how many of those beyond the edge of the
# domain's band (or of the account's average, where the domain is new) have not been heard of. What was handed
# over before a breaker closed is not held against it again.
_SILENT = text(
    f"""
    WITH account AS (
        SELECT provider_account_id AS id, avg({_EDGE_S}) AS edge_s FROM delay GROUP BY provider_account_id
    ), handed AS (
        SELECT provider_account_id, {_DOMAIN} AS domain, start_time, l.fate, account.edge_s AS usual_s
        FROM account
        CROSS JOIN LATERAL (
            SELECT id, provider_account_id, start_time FROM attempt
            WHERE provider_account_id = account.id AND NOT simulated
              AND start_time > :now - :watched AND start_time <= :now - :floor
            ORDER BY start_time DESC LIMIT :calls
        ) latest
        JOIN ledger l ON l.attempt_id = latest.id AND l.outcome = '{Outcome.ACCEPTED}'
        JOIN recipient r ON r.id = l.recipient_id
    ), banded AS (
        SELECT handed.*, coalesce(d.edge_s, usual_s) AS edge_s
        FROM handed
        LEFT JOIN (SELECT provider_account_id, domain, {_EDGE_S} AS edge_s FROM delay) d
            USING (provider_account_id, domain)
    )
    SELECT provider_account_id, domain, max(edge_s) AS edge_s,
           count(*) AS judged, count(*) FILTER (WHERE fate IS NULL) AS overdue
    FROM banded
    LEFT JOIN breaker b USING (provider_account_id, domain)
    WHERE start_time <= :now - edge_s * interval '1 second'
      AND (b.state IS NULL
           OR b.state = '{BreakerState.CLOSED}' AND start_time >= coalesce(b.retry_at, '-infinity'))
    GROUP BY provider_account_id, domain
    HAVING count(*) FILTER (WHERE fate IS NULL) >= {delay.OVERDUE_TO_OPEN}
    ORDER BY provider_account_id, domain
    """  # noqa: S608  constants only
)

# What is overdue at domains that silence has opened, in environments that want it resent, if there is another
# provider that has not taken the mail before.
_OVERDUE = text(
    f"""
    SELECT r.email_id, r.id AS recipient_id, a.id AS attempt_id, a.start_time, p.name AS account, b.reason
    FROM breaker b
    JOIN provider_account p ON p.id = b.provider_account_id
    CROSS JOIN LATERAL (
        SELECT coalesce(min({_EDGE_S}) FILTER (WHERE domain = b.domain), avg({_EDGE_S})) AS edge_s
        FROM delay WHERE provider_account_id = b.provider_account_id
    ) d
    JOIN attempt a ON a.provider_account_id = b.provider_account_id AND NOT a.simulated
        AND a.start_time > :now - :watched AND a.start_time <= :now - :floor
        AND a.start_time <= :now - d.edge_s * interval '1 second'
    JOIN ledger l ON l.attempt_id = a.id AND l.outcome = '{Outcome.ACCEPTED}' AND l.fate IS NULL
        AND l.action IS DISTINCT FROM '{Action.NONE}'
    JOIN recipient r ON r.id = l.recipient_id AND r.state = '{State.SENT}' AND {_DOMAIN} = b.domain
    JOIN email e ON e.id = r.email_id
    JOIN environment n ON n.id = e.environment_id AND n.on_delay = '{DelayPolicy.RESEND}'
    WHERE b.domain <> '{WHOLE}' AND b.state <> '{BreakerState.CLOSED}' AND b.failures = 0
      AND NOT EXISTS (
          SELECT FROM ledger o WHERE o.recipient_id = r.id AND o.outcome = '{Outcome.ACCEPTED}'
              AND o.fate IS NULL AND o.action = '{Action.FAILOVER}')
      AND EXISTS (
          SELECT FROM route t JOIN provider_account u ON u.id = t.provider_account_id AND u.pause_time IS NULL
          WHERE t.environment_id = n.id AND NOT t.disabled AND NOT EXISTS (
              SELECT FROM ledger o JOIN attempt s ON s.id = o.attempt_id
              WHERE o.recipient_id = r.id AND o.outcome = '{Outcome.ACCEPTED}'
                AND s.provider_account_id = t.provider_account_id))
    ORDER BY a.start_time LIMIT :most
    """  # noqa: S608  constants only
)
