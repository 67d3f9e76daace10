"""Count a batch of events into the figures that are kept by the hour and by the day."""

from __future__ import annotations

from sqlalchemy import Connection

from flute_server.domain.histogram import BOUNDS_US
from flute_server.domain.state import EventType
from flute_server.models import Dimension, Grain, Measure
from flute_server.sending.position import Position

# Types besides those of events: accepted mails (`accepted` counts their recipients), and recipients whose
# mail a provider took after another had failed.
EMAILS = "emails"
RESCUED = "rescued"
# Of the dimension of calls: calls, besides their outcomes by recipient; and bounces, by their cause.
CALLS = "calls"
BOUNCE = "bounce:"


def count(connection: Connection, first: Position, last: Position, limit: int) -> None:
    """Add the events after `first` up to and including `last` to the figures; they are at most `limit`.

    Test mail is left out. An event without a recipient concerns all recipients of its mail.
    """
    values = {
        "first_xid": first.xid,
        "first_id": first.id,
        "last_xid": last.xid,
        "last_id": last.id,
        "limit": limit,
        "bounds": list(BOUNDS_US),
    }
    connection.exec_driver_sql(_COUNT, values)


# The limit is there for the planner: it must not mistake the range for a great part of the table. Only an
# event without a recipient looks for all those of its mail. Tags come from the terms, since the content of a
# mail may be large. Nobody else writes these tables, so that the order of the rows does not matter.
_COUNT = f"""
WITH batch AS MATERIALIZED (
    SELECT id, email_id, recipient_id, attempt_id, environment_id, type, time,
        detail->'verdict'->>'cause' AS cause, coalesce(jsonb_typeof(detail), 'null') = 'null' AS plain
    FROM event
    WHERE (xid, id) > (%(first_xid)s::xid8, %(first_id)s) AND (xid, id) <= (%(last_xid)s::xid8, %(last_id)s)
    ORDER BY xid, id
    LIMIT %(limit)s
), happened AS MATERIALIZED (
    SELECT b.id, b.environment_id, b.type, b.cause, b.attempt_id, answer.outcome,
        CASE WHEN answer.outcome IS NOT NULL THEN width_bucket(
            (extract(epoch FROM a.end_time - a.start_time) * 1000000)::bigint, %(bounds)s::bigint[]
        ) END AS call_bucket,
        date_trunc('hour', b.time, 'UTC') AS hour,
        a.provider_account_id::text AS provider_account,
        lower(split_part(coalesce(one.address, every.address), '@', -1)) AS domain,
        ARRAY(SELECT substr(term, 5) FROM unnest(m.terms) AS term WHERE term LIKE 'tag:%%') AS tags,
        CASE b.type WHEN '{EventType.SENT}' THEN '{Measure.SEND}'
            WHEN '{EventType.DELIVERED}' THEN '{Measure.DELIVER}' END AS measure,
        width_bucket(
            (extract(epoch FROM b.time - greatest(m.create_time, m.send_time)) * 1000000)::bigint,
            %(bounds)s::bigint[]) AS bucket,
        b.type = '{EventType.SENT}' AND EXISTS (
            SELECT FROM ledger o JOIN attempt other ON other.id = o.attempt_id
            WHERE o.recipient_id = b.recipient_id AND other.start_time < a.start_time
              AND other.provider_account_id <> a.provider_account_id) AS rescued
    FROM batch b
    JOIN email m ON m.id = b.email_id AND NOT m.test
    LEFT JOIN recipient one ON one.id = b.recipient_id
    LEFT JOIN recipient every ON every.email_id = CASE WHEN b.recipient_id IS NULL THEN b.email_id END
    LEFT JOIN attempt a ON a.id = b.attempt_id
    LEFT JOIN ledger answer ON b.plain AND b.time = a.end_time
        AND answer.attempt_id = b.attempt_id AND answer.recipient_id = b.recipient_id
), spread AS MATERIALIZED (
    SELECT h.environment_id, d.dimension, h.hour, d.key, h.id, h.type, h.measure, h.bucket, h.rescued
    FROM happened h CROSS JOIN LATERAL (
        SELECT '{Dimension.ALL}', ''
        UNION ALL SELECT '{Dimension.PROVIDER_ACCOUNT}', h.provider_account
        UNION ALL SELECT '{Dimension.DOMAIN}', h.domain
        UNION ALL SELECT '{Dimension.TAG}', tag FROM unnest(h.tags) AS tag
    ) AS d (dimension, key)
    WHERE d.key IS NOT NULL
), counts AS MATERIALIZED (
    SELECT environment_id, dimension, hour, key, type, count(*) FROM spread GROUP BY 1, 2, 3, 4, 5
    UNION ALL
    SELECT environment_id, dimension, hour, key, '{RESCUED}', count(*) FROM spread WHERE rescued
    GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT environment_id, dimension, hour, key, '{EMAILS}', count(DISTINCT id) FROM spread
    WHERE type = '{EventType.ACCEPTED}' GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT environment_id, '{Dimension.CALL}', hour, provider_account, '{CALLS}', count(DISTINCT attempt_id)
    FROM happened WHERE outcome IS NOT NULL GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT environment_id, '{Dimension.CALL}', hour, provider_account, outcome, count(*)
    FROM happened WHERE outcome IS NOT NULL GROUP BY 1, 2, 3, 4, 5
    UNION ALL
    SELECT environment_id, '{Dimension.CALL}', hour, provider_account, '{BOUNCE}' || cause, count(*)
    FROM happened WHERE cause IS NOT NULL AND provider_account IS NOT NULL GROUP BY 1, 2, 3, 4, 5
), times AS MATERIALIZED (
    SELECT environment_id, dimension, hour, key, measure, bucket, count(*) FROM spread
    WHERE measure IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6
    UNION ALL
    SELECT environment_id, '{Dimension.CALL}', hour, provider_account, '{Measure.CALL}', call_bucket,
        count(DISTINCT attempt_id)
    FROM happened WHERE call_bucket IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6
), domains AS (
    INSERT INTO domain_tally AS t (provider_account_id, day, domain, sent, delivered, bounced, deferred)
    SELECT provider_account::uuid, date_trunc('day', hour, 'UTC'), domain,
        count(*) FILTER (WHERE type = '{EventType.SENT}'),
        count(*) FILTER (WHERE type = '{EventType.DELIVERED}'),
        count(*) FILTER (WHERE type = '{EventType.BOUNCED}'
            OR type IN ('{EventType.FAILOVER}', '{EventType.FAILED}') AND cause IS NOT NULL),
        count(*) FILTER (WHERE type = '{EventType.DEFERRED}')
    FROM happened
    WHERE provider_account IS NOT NULL AND domain IS NOT NULL AND type IN (
        '{EventType.SENT}', '{EventType.DELIVERED}', '{EventType.BOUNCED}', '{EventType.FAILOVER}',
        '{EventType.FAILED}', '{EventType.DEFERRED}')
    GROUP BY 1, 2, 3
    ON CONFLICT (provider_account_id, day, domain) DO UPDATE
    SET sent = t.sent + excluded.sent, delivered = t.delivered + excluded.delivered,
        bounced = t.bounced + excluded.bounced, deferred = t.deferred + excluded.deferred
), tallied AS (
    INSERT INTO tally AS t (environment_id, dimension, grain, start, key, type, count)
    SELECT environment_id, dimension, '{Grain.HOUR}', hour, key, type, count FROM counts
    UNION ALL
    SELECT environment_id, dimension, '{Grain.DAY}', date_trunc('day', hour, 'UTC'), key, type, sum(count)
    FROM counts GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (environment_id, dimension, grain, start, key, type)
    DO UPDATE SET count = t.count + excluded.count
)
INSERT INTO timing AS t (environment_id, dimension, grain, start, key, measure, bucket, count)
SELECT environment_id, dimension, '{Grain.HOUR}', hour, key, measure, bucket, count FROM times
UNION ALL
SELECT environment_id, dimension, '{Grain.DAY}', date_trunc('day', hour, 'UTC'), key, measure, bucket,
    sum(count)
FROM times GROUP BY 1, 2, 3, 4, 5, 6, 7
ON CONFLICT (environment_id, dimension, grain, start, key, measure, bucket)
DO UPDATE SET count = t.count + excluded.count
"""  # noqa: S608  constants only
