"""How long it is kept what was told, and what a paused endpoint still has to be told."""

from __future__ import annotations

from flask import Flask

from flute_server.models import autocommit

KEPT_DAYS = 30
PORTION = 500


def forget_old(app: Flask) -> bool:
    """Delete a small portion of what is older than KEPT_DAYS; True when nothing more is."""
    with app.app_context(), autocommit() as connection:
        values = {"days": KEPT_DAYS, "portion": PORTION}
        return connection.exec_driver_sql(_FORGET, values).rowcount < PORTION


# The oldest of each endpoint and state, which an index has at hand.
_FORGET = """
DELETE FROM webhook_delivery WHERE id IN (
    SELECT old.id FROM webhook_endpoint w
    CROSS JOIN unnest(ARRAY['pending', 'delivered', 'failed']) AS s (state)
    CROSS JOIN LATERAL (
        SELECT id, create_time FROM webhook_delivery
        WHERE endpoint_id = w.id AND state = s.state ORDER BY event_id LIMIT %(portion)s
    ) AS old
    WHERE old.create_time < now() - make_interval(days => %(days)s)
    LIMIT %(portion)s
)
"""
