"""Remove the content of mail that is finished, so many days after, where the environment says so.

With it goes what came back: bounce mails, and what providers said in full. Verdict and evidence stay.

A place in the order of acceptance moves on over all mail of an environment that is old enough. What is not
finished when the place comes by is noted down, and looked at again each day.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from flask import Flask

from flute_server.domain.effect import RESEND_WITHIN
from flute_server.domain.state import State
from flute_server.models import autocommit, db

# How much is looked at in one transaction, and how long one sweep goes on.
PORTION = 500
SHIFT_S = 1.0
LOOK_AGAIN = "1 day"
# In the content of a mail: after how many days it was removed. What else is left of it can be found by.
REMOVED = "removed_after_days"
PARTS = ("text", "html", "headers")


def removed(content: Mapping[str, Any]) -> str:
    """That content was removed, in words; empty while it is there."""
    days = content.get(REMOVED)
    if not days:
        return ""
    after = f"{days} day{'s' * (days != 1)} after the mail was finished"
    return f"text, HTML, headers and attachments were removed {after}"


def sweep(app: Flask) -> int:
    """Remove what is to be removed, a portion of it; how many mails were looked at."""
    end, seen = time.monotonic() + SHIFT_S, 0
    with app.app_context():
        for environment_id, days in _environments():
            while portion := step(environment_id, days):
                seen += portion
                if time.monotonic() > end:
                    return seen
    return seen


def _environments() -> list[tuple[uuid.UUID, int]]:
    """Those that want it, the one that waited for longest first."""
    with autocommit() as connection:
        return [(id_, days) for id_, days in connection.exec_driver_sql(_WANTING)]


def step(environment_id: uuid.UUID, days: int) -> int:
    """One transaction, if no other process is at this environment; how many mails were looked at."""
    connection = db.session.connection()
    values: dict[str, object] = {
        "environment": environment_id,
        "days": days,
        "late_days": max(days, RESEND_WITHIN.days),
        "portion": PORTION,
    }
    seen = 0
    if connection.exec_driver_sql(_LOCK, values).one_or_none():
        for look in (_NEXT, _AGAIN):
            found = connection.exec_driver_sql(look, values).all()
            seen += len(found)
            ids = [row.id for row in found]
            if ids:
                connection.exec_driver_sql(_REMOVE, values | {"ids": ids})
            if found and look is _NEXT:
                last = found[-1]
                place = {"time": last.create_time, "id": last.id}
                connection.exec_driver_sql(_MOVE, values | place)
    db.session.commit()
    return seen


def look_again(email_ids: Collection[uuid.UUID]) -> None:
    """Something came back of these mails: remove it too, where the sweep has passed them already.

    In the session's transaction.
    """
    if email_ids:
        values = {"ids": list(email_ids)}
        db.session.connection().exec_driver_sql(_LOOK_AGAIN, values)


_LOOK_AGAIN = f"""
INSERT INTO content_kept (email_id, environment_id, look_time)
SELECT m.id, m.environment_id, now() + interval '{LOOK_AGAIN}'
FROM email m JOIN environment e ON e.id = m.environment_id
WHERE m.id = ANY(%(ids)s::uuid[]) AND e.retention_days > 0
  AND (m.create_time, m.id) <= (e.content_place_time, e.content_place_id)
ON CONFLICT (email_id) DO NOTHING
"""  # noqa: S608  constants only
_WANTING = """
SELECT id, retention_days FROM environment WHERE retention_days > 0
ORDER BY content_place_time NULLS FIRST, id
"""
_LOCK = "SELECT id FROM environment WHERE id = %(environment)s FOR NO KEY UPDATE SKIP LOCKED"
# The next mails in the order of acceptance that are old enough to be finished for long.
_NEXT = """
SELECT m.id, m.create_time
FROM email m JOIN environment e ON e.id = m.environment_id
WHERE m.environment_id = %(environment)s
  AND (m.create_time, m.id) > (coalesce(e.content_place_time, '-infinity'), coalesce(
      e.content_place_id, '00000000-0000-0000-0000-000000000000'))
  AND m.create_time < now() - make_interval(days => %(days)s)
ORDER BY m.create_time, m.id LIMIT %(portion)s
"""
_AGAIN = """
SELECT email_id AS id FROM content_kept
WHERE environment_id = %(environment)s AND look_time <= now() ORDER BY look_time LIMIT %(portion)s
"""
_MOVE = """
UPDATE environment SET content_place_time = %(time)s, content_place_id = %(id)s WHERE id = %(environment)s
"""
# What is still under way, or may still have to be sent again since a provider tells of a bounce, is kept.
_REMOVE = f"""
WITH seen AS MATERIALIZED (
    SELECT m.id, m.due_time IS NULL AND NOT EXISTS (
        SELECT FROM recipient r WHERE r.email_id = m.id AND (
            r.state IN ('{State.SCHEDULED}', '{State.QUEUED}', '{State.SENDING}')
            OR r.update_time > now() - make_interval(days => %(late_days)s))
    ) AS finished
    FROM email m WHERE m.id = ANY(%(ids)s::uuid[]) FOR NO KEY UPDATE
), emptied AS (
    UPDATE email SET has_attachments = false,
        content = (content - ARRAY[{", ".join(repr(part) for part in PARTS)}])
            || jsonb_build_object('{REMOVED}', %(days)s)
    FROM seen WHERE seen.id = email.id AND seen.finished AND NOT content ? '{REMOVED}'
), without_files AS (
    DELETE FROM attachment USING seen WHERE seen.id = attachment.email_id AND seen.finished
), without_bounces AS (
    DELETE FROM inbound USING seen
    WHERE seen.id = inbound.email_id AND seen.finished AND inbound.due_time IS NULL
), without_words AS (
    UPDATE provider_event SET event = event - 'raw'
    FROM seen WHERE seen.id = provider_event.email_id AND seen.finished AND event ? 'raw'
), done AS (
    DELETE FROM content_kept USING seen WHERE seen.id = content_kept.email_id AND seen.finished
)
INSERT INTO content_kept (email_id, environment_id, look_time)
SELECT id, %(environment)s, now() + interval '{LOOK_AGAIN}' FROM seen WHERE NOT finished
ON CONFLICT (email_id) DO UPDATE SET look_time = excluded.look_time
"""  # noqa: S608  constants only
