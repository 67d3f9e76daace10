"""What a failover drill did, counted from the ledger of the recipients that it led elsewhere."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from flute_server.domain.outcome import Fate, Outcome
from flute_server.domain.state import State
from flute_server.models import Drill, db

# So many of the mails that went the usual way are looked at for how long that takes.
LOOKED_AT = 5000


@dataclass(frozen=True, slots=True)
class Destination:
    """A provider account that took over, and the mail of how many recipients."""

    account_id: uuid.UUID
    account: str
    recipients: int


@dataclass(frozen=True, slots=True)
class Report:
    """Numbers of recipients; see DrillReport in the contract. Latencies in seconds; None: there is none."""

    moved: int
    returned: int
    waiting: int
    failed: int
    dropped: int
    bounced: int
    duplicates: int
    destinations: list[Destination]
    moved_latency_s: float | None
    usual_latency_s: float | None

    @property
    def recipients(self) -> int:
        return self.moved + self.returned + self.waiting + self.failed + self.dropped


def report(drill: Drill) -> Report:
    """As far as it is known now. Costs as much as the drill has led elsewhere, whatever else was sent."""
    values = {
        "drill": drill.id,
        "account": drill.provider_account_id,
        "start": drill.create_time,
        "end": drill.end_time,
        "hour_before": drill.create_time - timedelta(hours=1),
        "looked_at": LOOKED_AT,
    }
    counts = db.session.execute(_COUNTS, values).one()
    destinations = [Destination(*row) for row in db.session.execute(_DESTINATIONS, values)]
    usual = db.session.scalar(_USUAL, values)
    return Report(**counts._mapping, destinations=destinations, usual_latency_s=usual)


_UNSETTLED = f"('{State.SCHEDULED}', '{State.QUEUED}', '{State.SENDING}')"
_IN_VAIN = f"('{State.FAILED}', '{State.BOUNCED}')"
# Who took the mail of each recipient since the drill began, and how that stands.
_ENDS = f"""
WITH taken AS MATERIALIZED (
    SELECT d.recipient_id, r.email_id, r.state, l.fate, a.provider_account_id AS account_id, a.end_time,
        a.id IS NOT NULL AND a.start_time >= :start AS since
    FROM diversion d
    JOIN recipient r ON r.id = d.recipient_id
    LEFT JOIN ledger l ON l.recipient_id = d.recipient_id AND l.outcome = '{Outcome.ACCEPTED}'
    LEFT JOIN attempt a ON a.id = l.attempt_id
    WHERE d.drill_id = :drill
), summed AS (
    SELECT recipient_id, email_id, state,
        bool_or(since AND account_id <> :account) AS elsewhere,
        bool_or(since AND account_id = :account) AS here,
        min(end_time) FILTER (WHERE since AND account_id <> :account) AS took_time,
        count(account_id) FILTER (WHERE fate IS DISTINCT FROM '{Fate.BOUNCED}') AS copies
    FROM taken GROUP BY recipient_id, email_id, state
), ends AS (
    SELECT *, CASE
        WHEN state IN {_UNSETTLED} THEN 'waiting'
        WHEN elsewhere THEN 'moved'
        WHEN here THEN 'returned'
        WHEN state IN {_IN_VAIN} THEN 'failed'
        ELSE 'dropped' END AS word
    FROM summed
)
"""  # noqa: S608  constants only
_COUNTS = text(
    _ENDS
    + f"""
SELECT count(*) FILTER (WHERE word = 'moved') AS moved,
    count(*) FILTER (WHERE word = 'returned') AS returned,
    count(*) FILTER (WHERE word = 'waiting') AS waiting,
    count(*) FILTER (WHERE word = 'failed') AS failed,
    count(*) FILTER (WHERE word = 'dropped') AS dropped,
    count(*) FILTER (WHERE word = 'moved' AND state IN {_IN_VAIN}) AS bounced,
    count(*) FILTER (WHERE word = 'moved' AND copies > 1) AS duplicates,
    percentile_cont(0.5) WITHIN GROUP (
        ORDER BY extract(epoch FROM took_time - greatest(e.send_time, e.create_time))::float8
    ) FILTER (WHERE word = 'moved') AS moved_latency_s
FROM ends JOIN email e ON e.id = email_id
"""  # noqa: S608  constants only
)
_DESTINATIONS = text(
    _ENDS
    + """
SELECT p.id, p.name, count(DISTINCT taken.recipient_id) AS recipients
FROM taken JOIN ends USING (recipient_id) JOIN provider_account p ON p.id = taken.account_id
WHERE ends.word = 'moved' AND taken.since AND p.id <> :account
GROUP BY p.id ORDER BY recipients DESC, p.name
"""
)
_USUAL = text(
    f"""
WITH usual AS (
    SELECT a.end_time - greatest(e.send_time, e.create_time) AS latency
    FROM attempt a JOIN email e ON e.id = a.email_id
    WHERE a.provider_account_id = :account AND a.start_time >= :hour_before AND a.start_time < :end
        AND a.end_time IS NOT NULL AND NOT a.simulated
        AND a.environment_id IN (
            SELECT r.environment_id FROM diversion d JOIN recipient r ON r.id = d.recipient_id
            WHERE d.drill_id = :drill
        )
        AND EXISTS (
            SELECT FROM ledger l WHERE l.attempt_id = a.id AND l.outcome = '{Outcome.ACCEPTED}'
                AND NOT EXISTS (
                    SELECT FROM diversion d WHERE d.drill_id = :drill AND d.recipient_id = l.recipient_id
                )
        )
    ORDER BY a.start_time DESC LIMIT :looked_at
)
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM latency)::float8) FROM usual
"""  # noqa: S608  constants only
)
