"""`python -m tests.bench.statistics`: what following events costs, and reading a year of figures."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial

from flask import Flask
from sqlalchemy import text

from flute_server.local.embedded import temporary
from flute_server.models import Dimension, db
from flute_server.sending import feed, statistics
from flute_server.sending.follow import BATCH, follow
from flute_server.sending.position import BEGINNING
from flute_server.sending.statistics import Interval, Span
from tests.bench.__main__ import say
from tests.bench.health import median_ms
from tests.integration.places import Place, fresh_app

MAILS = 20_000
EVENTS = 1_000_000
DAYS = 365
ACCOUNTS = 5
TAGS = 50
DOMAINS = 60
SPANS = (
    (Interval.HOUR, 7),
    (Interval.DAY, 7),
    (Interval.DAY, 30),
    (Interval.DAY, DAYS),
    (Interval.TOTAL, DAYS),
)

# Mails with two tags each to fifty domains, with the events that a mail has which is delivered.
_MAILS = """
WITH mail AS (
    INSERT INTO email (id, environment_id, create_time, lease, round, content, has_attachments, terms)
    SELECT gen_random_uuid(), :environment, now() - interval '2 s', 1, 0, '{}', false,
        ARRAY['to:a@example.com', 'tag:t' || n % 50, 'tag:all', 'word:hello', 'word:world']
    FROM generate_series(1, :mails) n RETURNING id, create_time
), addressed AS (
    INSERT INTO recipient (email_id, environment_id, email_time, kind, address, name, state)
    SELECT id, :environment, create_time, 'to', 'a@d' || floor(random() * 50) || '.example', '', 'sent'
    FROM mail
    RETURNING id, email_id
), tried AS (
    INSERT INTO attempt (id, email_id, environment_id, email_time, provider_account_id, round, start_time,
        candidates)
    SELECT gen_random_uuid(), email_id, :environment, now(), :account, 0, now(), '[]' FROM addressed
    RETURNING id, email_id
), written AS (
    INSERT INTO ledger (attempt_id, recipient_id, outcome, error, status, code, text, provider_message_id)
    SELECT t.id, a.id, 'accepted', '', '', '', '', '' FROM tried t JOIN addressed a USING (email_id)
)
INSERT INTO event (email_id, environment_id, recipient_id, attempt_id, type, time, text)
SELECT a.email_id, :environment, CASE WHEN type <> 'accepted' THEN a.id END,
    CASE WHEN type <> 'accepted' THEN t.id END, type, now() - random() * interval '1 s', 'as it happens'
FROM addressed a JOIN tried t USING (email_id), unnest(ARRAY['accepted', 'sent', 'delivered']) type
"""
_MORE_EVENTS = """
INSERT INTO event (email_id, environment_id, type, text)
SELECT (SELECT id FROM email LIMIT 1), :environment, 'opened', 'opened' FROM generate_series(1, :events)
"""
_TIME = """
WITH time (grain, start) AS (
    SELECT 'day', date_trunc('day', now(), 'UTC') - n * interval '1 day' FROM generate_series(0, :days) n
    UNION ALL
    SELECT 'hour', date_trunc('hour', now(), 'UTC') - n * interval '1 hour' FROM generate_series(0, 24 * 30) n
)
"""
_YEAR = f"""
{_TIME}
INSERT INTO tally (environment_id, dimension, grain, start, key, type, count)
SELECT :environment, :dimension, grain, start, 'k' || key, type, 9 FROM time, generate_series(1, :keys) key,
    unnest(ARRAY['accepted', 'emails', 'sent', 'delivered', 'bounced']) type
"""
_YEAR_OF_TIMES = f"""
{_TIME}
INSERT INTO timing (environment_id, dimension, grain, start, key, measure, bucket, count)
SELECT :environment, :dimension, grain, start, 'k' || key, measure, bucket, 2
FROM time, generate_series(1, :keys) key, unnest(ARRAY['send', 'deliver']) measure,
    generate_series(30, CASE grain WHEN 'day' THEN 45 ELSE 36 END) bucket
"""


def following(app: Flask, place: Place) -> None:
    """Everything in the backlog, then nothing."""
    values = {"environment": place.environment_id, "account": place.accounts[0], "mails": MAILS}
    db.session.execute(text(_MAILS), values)
    db.session.commit()
    db.session.execute(text("ANALYZE"))
    db.session.commit()
    begin, cpu = time.monotonic(), time.process_time()
    while follow(app):
        pass
    took, cpu = time.monotonic() - begin, time.process_time() - cpu
    events = 3 * MAILS
    say(f"follow {events:,} events, {BATCH:,} in a batch", f"{events / took:,.0f}/s", ">> 5,000/s")
    say("  of which the CPU of the worker", f"{cpu / took:.1%}", "small")
    begin, cpu = time.monotonic(), time.process_time()
    idle = median_ms(lambda: follow(app), 300)
    cpu = (time.process_time() - cpu) / 300
    say("  a look when there is nothing", f"{idle:.2f} ms", "-")
    say("    of which the CPU of the worker", f"{cpu * 1000:.2f} ms", "-")


def feeding(place: Place) -> None:
    """Pages at the end of many events, and a look for what is not there."""
    values = {"environment": place.environment_id, "events": EVENTS}
    db.session.execute(text(_MORE_EVENTS), values)
    db.session.commit()
    db.session.execute(text("ANALYZE event"))
    db.session.commit()
    environment = place.environment_id
    page = median_ms(lambda: feed.read(environment, BEGINNING, [], 100), 50)
    say(f"100 of {EVENTS:,} events", f"{page:.1f} ms", "< 20 ms")
    passed = median_ms(lambda: feed.read(environment, BEGINNING, ["bounced"], 100), 20)
    say(f"  a look that passes {feed.SCAN:,} of other types", f"{passed:.1f} ms", "< 50 ms")
    end = feed.latest()
    say("  a look at the end", f"{median_ms(lambda: feed.read(environment, end, [], 100), 100):.2f} ms", "-")


def reading(place: Place) -> None:
    """A year with many keys, each of which has mail in every hour."""
    for dimension, keys in (
        (Dimension.ALL, 1),
        (Dimension.PROVIDER_ACCOUNT, ACCOUNTS),
        (Dimension.TAG, TAGS),
        (Dimension.DOMAIN, DOMAINS),
    ):
        values = {
            "environment": place.environment_id,
            "dimension": dimension,
            "days": DAYS,
            "keys": keys,
        }
        db.session.execute(text(_YEAR), values)
        db.session.execute(text(_YEAR_OF_TIMES), values)
    db.session.commit()
    db.session.execute(text("ANALYZE"))
    db.session.commit()
    now = datetime.now(UTC)
    for interval, days in SPANS:
        span = Span(now - timedelta(days=days), now)
        for dimension in Dimension:
            took = median_ms(partial(statistics.read, place.environment_id, span, interval, dimension), 3)
            say(f"{days} days by {interval}, {dimension}", f"{took:.1f} ms", "-")


def main() -> None:
    with temporary() as services, fresh_app(services, "bench_statistics") as app, app.app_context():
        place = Place.create(routes=ACCOUNTS)
        following(app, place)
        feeding(place)
        reading(place)


if __name__ == "__main__":
    main()
