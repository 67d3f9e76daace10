"""`python -m tests.bench.overview`: what an account's overview costs with much mail behind it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from sqlalchemy import text

from flute_server.local.embedded import temporary
from flute_server.models import Dimension, db
from flute_server.sending import attention, overview
from flute_server.sending.overview import Period
from tests.bench.__main__ import say
from tests.bench.health import median_ms
from tests.integration.places import Place, fresh_app

ENVIRONMENTS = 10
ACCOUNTS = 5
MAILS = 1_000_000
DAYS = 400

_ENVIRONMENTS = """
INSERT INTO environment (id, account_id, name, domain, allow_subdomains, on_ambiguous, ambiguity_wait_s,
    give_up_after_s, on_delay)
SELECT gen_random_uuid(), :tenant, 'e' || n, 'e.example', false, 'resend', 3600, 3600, 'wait'
FROM generate_series(2, :environments) n
"""
# As much as mail in every hour of more than a year to every key leaves behind.
_TALLIES = """
INSERT INTO tally (environment_id, dimension, grain, start, key, type, count)
SELECT e.id, d.dimension, t.grain, t.start, d.key, type, 100
FROM environment e, (
    SELECT 'day' AS grain, date_trunc('day', now(), 'UTC') - n * interval '1 day' AS start
    FROM generate_series(0, :days) n
    UNION ALL
    SELECT 'hour', date_trunc('hour', now(), 'UTC') - n * interval '1 hour' FROM generate_series(0, 24 * 60) n
) t, (
    SELECT :all AS dimension, '' AS key
    UNION ALL SELECT :by_account, id::text FROM provider_account WHERE account_id = :tenant
) d, unnest(ARRAY['accepted', 'emails', 'sent', 'delivered', 'bounced', 'failed', 'deferred', 'rescued']) type
WHERE e.account_id = :tenant
"""
_MAILS = """
WITH mail AS (
    INSERT INTO email (id, environment_id, create_time, lease, round, content, has_attachments)
    SELECT gen_random_uuid(), :environment, now() - n * interval '2 s', 1, 0, '{}', false
    FROM generate_series(1, :mails) n RETURNING id, create_time
)
INSERT INTO recipient (email_id, environment_id, email_time, kind, address, name, state)
SELECT id, :environment, create_time, 'to', 'a@d.example', '',
    CASE WHEN random() < 0.001 THEN 'queued' ELSE 'sent' END
FROM mail
"""


def main() -> None:
    with temporary() as services, fresh_app(services, "bench_overview") as app, app.app_context():
        place = Place.create(routes=ACCOUNTS)
        values = {
            "tenant": place.tenant_id,
            "environment": place.environment_id,
            "environments": ENVIRONMENTS,
            "days": DAYS,
            "mails": MAILS,
            "all": Dimension.ALL,
            "by_account": Dimension.PROVIDER_ACCOUNT,
        }
        for statement in (_ENVIRONMENTS, _TALLIES, _MAILS):
            db.session.execute(text(statement), values)
        db.session.commit()
        db.session.execute(text("ANALYZE"))
        db.session.commit()
        now = datetime.now(UTC)
        for period in Period:
            took = median_ms(partial(overview.read, place.tenant_id, period, now), 30)
            say(f"figures of a {period}, {ENVIRONMENTS} environments", f"{took:.1f} ms", "< 20 ms")
        took = median_ms(lambda: attention.read(place.tenant_id, now), 30)
        say(f"what needs attention among {MAILS:,} mails", f"{took:.1f} ms", "< 20 ms")


if __name__ == "__main__":
    main()
