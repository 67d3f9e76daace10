"""How far an account has come with its mail: a few rows of an index for each of its environments, for any
amount of mail."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import text

from flute_server.domain.outcome import Outcome
from flute_server.domain.state import State
from flute_server.models import db
from flute_server.providers.registry import PROVIDERS

# Of the calls to an account in an environment.
_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Progress:
    """last_email: the id of what was accepted last. handed_over: one was taken by an account that tells of
    failures alone; looked for where none was delivered."""

    last_email: uuid.UUID | None = None
    delivered: bool = False
    handed_over: bool = False


def read(account_id: uuid.UUID) -> Progress:
    """In all environments, at any time."""
    last = db.session.scalar(_LAST, {"account": account_id})
    if last is None:
        return Progress()
    if db.session.scalar(_DELIVERED, {"account": account_id, "state": State.DELIVERED}):
        return Progress(last, delivered=True)
    values = {
        "account": account_id,
        "kinds": [slug for slug, kind in PROVIDERS.items() if not kind.webhooks and not kind.simulated],
        "most": _LOOKED_AT,
        "outcome": Outcome.ACCEPTED,
    }
    return Progress(last, handed_over=db.session.scalar(_TAKEN, values) is not None)


_LAST = text("""
SELECT last.id FROM environment e CROSS JOIN LATERAL (
    SELECT id, create_time FROM email WHERE environment_id = e.id
    ORDER BY create_time DESC, id DESC LIMIT 1) AS last
WHERE e.account_id = :account ORDER BY last.create_time DESC, last.id DESC LIMIT 1
""")
# The order is that of the index: without it, the planner might read the table until it meets such a row.
_DELIVERED = text("""
SELECT one.email_id FROM environment e CROSS JOIN LATERAL (
    SELECT email_id FROM recipient WHERE environment_id = e.id AND state = :state
    ORDER BY email_time, email_id LIMIT 1) AS one
WHERE e.account_id = :account LIMIT 1
""")
_TAKEN = text("""
SELECT l.attempt_id FROM environment e
JOIN provider_account p ON p.account_id = e.account_id AND p.provider = ANY(:kinds)
CROSS JOIN LATERAL (
    SELECT id FROM attempt WHERE environment_id = e.id AND provider_account_id = p.id
    ORDER BY email_time DESC, email_id DESC LIMIT :most) AS a
JOIN ledger l ON l.attempt_id = a.id AND l.outcome = :outcome
WHERE e.account_id = :account LIMIT 1
""")
