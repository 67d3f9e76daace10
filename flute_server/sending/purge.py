"""Taking away what is left of accounts that their owners ended, a portion at a time."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import text

from flute_server.models import db

PORTION = 500

# Mail that a worker still has in its hands is left until it is done with.
_EMAILS = text("""
DELETE FROM email WHERE id IN (
    SELECT e.id FROM email e
    JOIN environment v ON v.id = e.environment_id JOIN account a ON a.id = v.account_id
    WHERE a.delete_time IS NOT NULL AND e.due_time IS NULL
    LIMIT :most FOR UPDATE OF e SKIP LOCKED
)
""")
# In this order: a route refers to its environment and to its provider account.
_REST = (
    text("""
DELETE FROM environment v USING account a
WHERE a.id = v.account_id AND a.delete_time IS NOT NULL
  AND NOT EXISTS (SELECT FROM email e WHERE e.environment_id = v.id)
"""),
    text("""
DELETE FROM account a
WHERE a.delete_time IS NOT NULL AND NOT EXISTS (SELECT FROM environment v WHERE v.account_id = a.id)
"""),
)
_ANY = text("SELECT EXISTS (SELECT FROM account WHERE delete_time IS NOT NULL)")


def sweep(app: Flask) -> None:
    """Take away a portion of what is left."""
    with app.app_context():
        if not db.session.scalar(_ANY):
            return
        db.session.execute(_EMAILS, {"most": PORTION})
        for statement in _REST:
            db.session.execute(statement)
        db.session.commit()
