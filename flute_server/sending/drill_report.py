"""What a failover drill did, counted from the ledger of the recipients that it led elsewhere."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, text

from flute_server.domain.outcome import Fate, Outcome
from flute_server.domain.state import State
from flute_server.models import Drill, ProviderAccount, db

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
    *groups, whole = db.session.execute(_ENDS, values).all()
    counts: Counter[str] = Counter()
    taken: Counter[uuid.UUID] = Counter()
    for row in groups:
        counts[row.word] += row.recipients
        if row.word == "moved":
            taken.update(dict.fromkeys(row.others, row.recipients))
    return Report(
        moved=counts["moved"],
        returned=counts["returned"],
        waiting=counts["waiting"],
        failed=counts["failed"],
        dropped=counts["dropped"],
        bounced=whole.bounced,
        duplicates=whole.duplicates,
        destinations=_destinations(taken),
        moved_latency_s=whole.latency_s,
        usual_latency_s=db.session.scalar(_USUAL, values),
    )


def _destinations(taken: Mapping[uuid.UUID, int]) -> list[Destination]:
    query = select(ProviderAccount.id, ProviderAccount.name).where(ProviderAccount.id.in_(taken))
    found = [Destination(id_, name, taken[id_]) for id_, name in db.session.execute(query)]
    return sorted(found, key=lambda item: (-item.recipients, item.account))


_UNSETTLED = f"('{State.SCHEDULED}', '{State.QUEUED}', '{State.SENDING}')"
_IN_VAIN = f"('{State.FAILED}', '{State.BOUNCED}')"
# How it ended, by the accounts that took the mail since the drill began; the sum of all last.
_ENDS = text(
    f"""
WITH summed AS (
    SELECT d.recipient_id, r.email_id, r.state,
        array_agg(DISTINCT a.provider_account_id) FILTER (
            WHERE a.start_time >= :start AND a.provider_account_id <> :account
        ) AS others,
        bool_or(a.start_time >= :start AND a.provider_account_id = :account) AS here,
        min(a.end_time) FILTER (
            WHERE a.start_time >= :start AND a.provider_account_id <> :account
        ) AS took_time,
        count(a.id) FILTER (WHERE l.fate IS DISTINCT FROM '{Fate.BOUNCED}') AS copies
    FROM diversion d
    JOIN recipient r ON r.id = d.recipient_id
    LEFT JOIN ledger l ON l.recipient_id = d.recipient_id AND l.outcome = '{Outcome.ACCEPTED}'
    LEFT JOIN attempt a ON a.id = l.attempt_id
    WHERE d.drill_id = :drill
    GROUP BY d.recipient_id, r.email_id, r.state
), ends AS (
    SELECT *, CASE
        WHEN state IN {_UNSETTLED} THEN 'waiting'
        WHEN others IS NOT NULL THEN 'moved'
        WHEN here THEN 'returned'
        WHEN state IN {_IN_VAIN} THEN 'failed'
        ELSE 'dropped' END AS word
    FROM summed
)
SELECT word, others, count(*) AS recipients,
    count(*) FILTER (WHERE word = 'moved' AND state IN {_IN_VAIN}) AS bounced,
    count(*) FILTER (WHERE word = 'moved' AND copies > 1) AS duplicates,
    percentile_cont(0.5) WITHIN GROUP (
        ORDER BY extract(epoch FROM took_time - greatest(e.send_time, e.create_time))::float8
    ) FILTER (WHERE word = 'moved') AS latency_s
FROM ends JOIN email e ON e.id = email_id
GROUP BY GROUPING SETS ((word, others), ()) ORDER BY grouping(word)
"""  # noqa: S608  constants only
)
_USUAL = text(
    f"""
WITH usual AS (
    SELECT a.end_time - greatest(e.send_time, e.create_time) AS latency
    FROM attempt a JOIN email e ON e.id = a.email_id
    WHERE a.provider_account_id = :account AND a.start_time >= :hour_before AND a.start_time < :end
        AND a.end_time IS NOT NULL AND NOT e.test
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
