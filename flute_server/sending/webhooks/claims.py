"""What the delivery loop of webhooks reads and writes: claims, and what came of the calls."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from flute_server.domain.webhook import FAILURES_TO_PROBE, ORDERED_TRIES, Answer, Standing, Told, why_paused
from flute_server.domain.webhook import after as standing_after
from flute_server.models import AlertKind, Environment, WebhookEndpoint, autocommit, db
from flute_server.sending import alerts
from flute_server.sending.webhooks import events
from flute_server.sending.webhooks.retention import KEPT_DAYS
from flute_server.vault import Vault

# Of what is due for a failing endpoint, some may have to wait for others; more than one is looked at.
CANDIDATES = 16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to call. secrets: the newest first."""

    id: uuid.UUID
    url: str
    secrets: tuple[str, ...]
    failures: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery in this process's hands. lease: its fencing number; tries: before this one.

    claimed: when, on the monotonic clock.
    """

    id: uuid.UUID
    endpoint_id: uuid.UUID
    lease: int
    tries: int
    told: Told
    claimed: float


@dataclass(frozen=True, slots=True)
class Result:
    """A call that ended. url: where it went; begin: when it began."""

    delivery: Delivery
    url: str
    answer: Answer
    begin: datetime
    took: timedelta
    draw: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a delivery; due: None for never again."""

    delivery: Delivery
    state: str
    tries: int
    due: datetime | None


def any_due() -> bool:
    """Whether there is anything to claim: a look that costs less than a claim."""
    with autocommit() as connection:
        return bool(connection.exec_driver_sql(_ANY_DUE).scalar_one())


def claim(rooms: Mapping[uuid.UUID, int], room: int, lease: timedelta) -> list[Delivery]:
    """Due deliveries: for the endpoints in `rooms` at most so many, for each other one at most `room`.

    A failing endpoint gets CANDIDATES for its one call, and nobody else calls it before the lease is over. An
    event of an email is left where it is while an earlier one of the same email waits for its first tries.
    """
    connection = db.session.connection()
    probes = connection.exec_driver_sql(_PROBES, {"lease": lease, "failures": FAILURES_TO_PROBE})
    values = {
        "ids": list(rooms),
        "rooms": list(rooms.values()),
        "room": room,
        "candidates": CANDIDATES,
        "probing": [row.id for row in probes],
        "lease": lease,
        "failures": FAILURES_TO_PROBE,
        "tries": ORDERED_TRIES,
    }
    rows = [row for row in connection.exec_driver_sql(_CLAIM, values) if row.taken]
    if not rows:
        return []
    told = events.told(connection, {row.event_id for row in rows})
    tick = time.monotonic()
    return [
        Delivery(row.id, row.endpoint_id, row.lease, row.tries, told[row.event_id], tick)
        for row in sorted(rows, key=lambda row: row.event_id)
    ]


def endpoints(ids: Collection[uuid.UUID], vault: Vault) -> dict[uuid.UUID, Endpoint]:
    """Those of these endpoints that may be called, as they are now."""
    if not ids:
        return {}
    rows = db.session.connection().exec_driver_sql(_ENDPOINTS, {"ids": list(ids)})
    return {
        row.id: Endpoint(row.id, row.url, opened(vault, row.secret, row.previous_secret), row.failures)
        for row in rows
    }


def opened(vault: Vault, secret: bytes, previous: bytes | None) -> tuple[str, ...]:
    """The secrets to sign with."""
    return tuple(vault.open(sealed)["secret"] for sealed in (secret, previous) if sealed)


def write(verdicts: Sequence[Verdict]) -> None:
    """Write down what becomes of deliveries, unless they are not ours any more."""
    values = {
        "ids": [verdict.delivery.id for verdict in verdicts],
        "leases": [verdict.delivery.lease for verdict in verdicts],
        "states": [verdict.state for verdict in verdicts],
        "tries": [verdict.tries for verdict in verdicts],
        "dues": [verdict.due for verdict in verdicts],
    }
    db.session.connection().exec_driver_sql(_WRITE, values)


def keep(results: Sequence[Result]) -> None:
    """Keep the calls on record, also those of deliveries that are not ours any more: they were made."""
    values = {
        "ids": [result.delivery.id for result in results],
        "begins": [result.begin for result in results],
        "durations": [round(result.took.total_seconds() * 1000) for result in results],
        "statuses": [result.answer.status for result in results],
        "texts": [result.answer.text for result in results],
        "urls": [result.url for result in results],
    }
    db.session.connection().exec_driver_sql(_KEEP, values)


def judge(results: Sequence[Result], now: datetime) -> set[uuid.UUID]:
    """Move the standing of the endpoints that were called; those that are to be left alone for a while.

    An endpoint that was well and is well costs no write.
    """
    failed = {result.delivery.endpoint_id for result in results if not result.answer.taken}
    called = {result.delivery.endpoint_id for result in results}
    table = WebhookEndpoint
    query = (
        select(table)
        .where(table.id.in_(called), table.id.in_(failed) | (table.failures > 0))
        .order_by(table.id)
        .with_for_update(key_share=True)  # new deliveries refer to the row meanwhile
    )
    left_alone = set()
    for row in db.session.scalars(query):
        _judge(row, [result for result in results if result.delivery.endpoint_id == row.id], now)
        if row.paused or row.failures >= FAILURES_TO_PROBE or (row.retry_time and row.retry_time > now):
            left_alone.add(row.id)
    db.session.flush()
    return left_alone


def _judge(row: WebhookEndpoint, results: Sequence[Result], now: datetime) -> None:
    standing = Standing(row.failures, row.failing_since, row.retry_time)
    for result in results:
        standing = standing_after(standing, result.answer, now, result.draw)
        why = why_paused(standing, result.answer, now)
        if why and not row.paused:
            row.paused, row.pause_reason = True, why
            _alert(row, why)
    row.failures, row.failing_since, row.retry_time = (
        standing.failures,
        standing.failing_since,
        standing.retry_time,
    )


def _alert(row: WebhookEndpoint, why: str) -> None:
    account = db.session.scalars(
        select(Environment.account_id).where(Environment.id == row.environment_id)
    ).one()
    wait = f"Events wait for {KEPT_DAYS} days; unpause it when it is mended"
    text = f"the webhook endpoint {row.url} was paused: {why}. {wait}"
    alerts.tell(account, AlertKind.WEBHOOK, str(row.id), text)


_ANY_DUE = """
SELECT EXISTS (
    SELECT FROM webhook_endpoint w
    WHERE NOT w.paused AND (w.retry_time IS NULL OR w.retry_time <= now())
      AND EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint_id = w.id AND d.due_time <= now())
)
"""
_PROBES = """
UPDATE webhook_endpoint SET retry_time = now() + %(lease)s WHERE id IN (
    SELECT id FROM webhook_endpoint w
    WHERE w.failures >= %(failures)s AND NOT w.paused AND (w.retry_time IS NULL OR w.retry_time <= now())
      AND EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint_id = w.id AND d.due_time <= now())
    FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING id
"""
# What must wait for an earlier event is due again with it, or looked at again in a second if a worker has it.
_CLAIM = """
WITH endpoint AS (
    SELECT w.id, CASE WHEN w.failures < %(failures)s THEN coalesce(asked.room, %(room)s)
        ELSE %(candidates)s END AS room
    FROM webhook_endpoint w
    LEFT JOIN unnest(%(ids)s::uuid[], %(rooms)s::int[]) AS asked (id, room) ON asked.id = w.id
    WHERE NOT w.paused AND (
        w.id = ANY(%(probing)s::uuid[])
        OR w.failures < %(failures)s AND (w.retry_time IS NULL OR w.retry_time <= now())
    )
), picked AS MATERIALIZED (
    SELECT d.* FROM endpoint e CROSS JOIN LATERAL (
        SELECT id, endpoint_id, email_id, event_id FROM webhook_delivery
        WHERE endpoint_id = e.id AND due_time <= now()
        ORDER BY due_time, event_id LIMIT e.room
        FOR UPDATE SKIP LOCKED
    ) AS d
), judged AS (
    SELECT p.id, (
        SELECT max(least(b.due_time, now() + interval '1 s')) FROM webhook_delivery b
        WHERE b.endpoint_id = p.endpoint_id AND b.email_id = p.email_id AND b.event_id < p.event_id
          AND b.due_time IS NOT NULL AND b.tries < %(tries)s AND b.id NOT IN (SELECT id FROM picked)
    ) AS until
    FROM picked p
)
UPDATE webhook_delivery d SET
    due_time = coalesce(j.until, now() + %(lease)s),
    lease = d.lease + CASE WHEN j.until IS NULL THEN 1 ELSE 0 END
FROM judged j WHERE d.id = j.id
RETURNING d.id, d.endpoint_id, d.event_id, d.lease, d.tries, j.until IS NULL AS taken
"""
_ENDPOINTS = """
SELECT id, url, failures, secret,
    CASE WHEN previous_secret_expire_time > now() THEN previous_secret END AS previous_secret
FROM webhook_endpoint WHERE id = ANY(%(ids)s) AND NOT paused
"""
_WRITE = """
UPDATE webhook_delivery d SET state = v.state, tries = v.tries, due_time = v.due
FROM unnest(%(ids)s::uuid[], %(leases)s::int[], %(states)s::text[], %(tries)s::int[], %(dues)s::timestamptz[])
    AS v (id, lease, state, tries, due)
WHERE d.id = v.id AND d.lease = v.lease
"""
_KEEP = """
INSERT INTO webhook_try (delivery_id, start_time, duration_ms, status, text, url)
SELECT v.id, v.begin, v.duration, v.status, v.text, v.url
FROM unnest(
    %(ids)s::uuid[], %(begins)s::timestamptz[], %(durations)s::int[], %(statuses)s::int[], %(texts)s::text[],
    %(urls)s::text[]
) AS v (id, begin, duration, status, text, url)
JOIN webhook_delivery d ON d.id = v.id
"""
