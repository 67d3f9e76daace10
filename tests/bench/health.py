"""`python -m tests.bench.health`: what a breaker check costs (target < 1 ms), and caps, events, silence."""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from flute_server.domain import route
from flute_server.local.embedded import temporary
from flute_server.models import Breaker as Row
from flute_server.models import db
from flute_server.sending import caps, health
from flute_server.sending.routing import _healths as healths
from flute_server.sending.routing import load
from tests.bench.__main__ import say
from tests.integration.places import Place, fresh_app

ROUTES = 20
DOMAINS = 50
MAILS = 500_000
DAYS = 20


def median_ms(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def checking(place: Place, now: datetime) -> None:
    """The breakers of all routes read and judged: for one mail, and for a turn of 32."""
    accounts, domains = set(place.accounts), {f"d{n}.example" for n in range(DOMAINS)}
    read = median_ms(lambda: healths(accounts, {"d1.example"}), 300)
    known = healths(accounts, {"d1.example"})
    candidates = [
        route.Candidate(account, "p", position, troubles=known.get(account, {}))
        for position, account in enumerate(place.accounts)
    ]
    judged = median_ms(lambda: route.plan(candidates, now, random.random()), 500)
    say(f"check the breakers of {ROUTES} routes for one mail", f"{read + judged:.2f} ms", "< 1 ms")
    say("  of which judging", f"{judged:.3f} ms", "-")
    read = median_ms(lambda: healths(accounts, domains), 300)
    say(f"  for each of 32 mails of a turn to {DOMAINS} domains", f"{read / 32 + judged:.2f} ms", "< 1 ms")
    turn = [place.task(f"a@d{n}.example") for n in range(32)]
    say("load routes and health for a turn of 32 mails", f"{median_ms(lambda: load(turn), 200):.2f} ms", "-")


def trouble(place: Place, now: datetime) -> None:
    """Every second route is blocked at every domain, so that there is something to load."""
    for account in place.accounts[::2]:
        for n in range(DOMAINS):
            db.session.add(
                Row(
                    provider_account_id=account,
                    domain=f"d{n}.example",
                    state="open",
                    failures=3,
                    opened=1,
                    retry_at=now + timedelta(hours=1),
                    reason="550 blocked",
                )
            )
    db.session.commit()


def metering(place: Place) -> None:
    """One round trip for a route with a cap, none for one without."""
    capped = Place.create(caps={"max_per_second": 1_000_000, "max_per_day": 100_000_000}).route()
    free = place.route()
    say("count a mail under a cap", f"{median_ms(lambda: caps.take(capped, 1), 1000):.3f} ms", "-")
    say("  on a route without a cap", f"{median_ms(lambda: caps.take(free, 1), 1000):.4f} ms", "0")


def hearing(place: Place) -> None:
    """A batch of events: deliveries at fifty domains that teach, and the same once they are known."""
    deliveries = [(place.accounts[1], f"d{n % DOMAINS}.example", 2.0) for n in range(200)]

    def hear() -> None:
        health.delivered_many(deliveries, datetime.now(UTC))
        db.session.commit()

    say("a batch of 200 deliveries", f"{median_ms(hear, 50):.2f} ms", "-")


_FILL = text(
    """
    WITH mail AS (
        INSERT INTO email (id, environment_id, create_time, lease, round, content, has_attachments)
        SELECT gen_random_uuid(), :environment, now() - n * :step * interval '1 second', 1, 0, '{}', false
        FROM generate_series(1, :mails) n RETURNING id, create_time
    ), addressed AS (
        INSERT INTO recipient (email_id, environment_id, email_time, kind, address, name, state, update_time)
        SELECT id, :environment, create_time, 'to', 'a@d' || floor(random() * 50) || '.example', '', 'sent',
            create_time
        FROM mail
        RETURNING id, email_id, update_time
    ), tried AS (
        INSERT INTO attempt (id, email_id, environment_id, email_time, provider_account_id, round, start_time,
            end_time, candidates)
        SELECT gen_random_uuid(), email_id, :environment, update_time, :account, 0, update_time, update_time,
            '[]'
        FROM addressed
        RETURNING id, email_id
    )
    INSERT INTO ledger
        (attempt_id, recipient_id, outcome, error, status, code, text, provider_message_id, fate)
    SELECT t.id, a.id, 'accepted', '', '', '', '', '', CASE WHEN random() < 0.99 THEN 'delivered' END
    FROM tried t JOIN addressed a USING (email_id)
    """
)


def watching(place: Place) -> None:
    """The look at silence every fifteen seconds, over many stored mails of two accounts."""
    step = 86400 * DAYS / MAILS
    for account in place.accounts[:2]:
        values = {"environment": place.environment_id, "account": account, "mails": MAILS, "step": step}
        db.session.execute(_FILL, values)
        health.delivered_many([(account, f"d{n}.example", 2.0) for n in range(DOMAINS)], datetime.now(UTC))
    db.session.commit()
    db.session.execute(text("ANALYZE"))
    db.session.commit()

    def watch() -> None:
        health.watch(datetime.now(UTC))
        db.session.commit()

    say(f"look at silence over {2 * MAILS:,} mails in {DAYS} days", f"{median_ms(watch, 9):.1f} ms", "-")
    recent = {
        "environment": place.environment_id,
        "account": place.accounts[0],
        "mails": MAILS,
        "step": 0.005,
    }
    db.session.execute(_FILL, recent)
    db.session.commit()
    db.session.execute(text("ANALYZE"))
    db.session.commit()
    say(f"  and {MAILS:,} more in the last 40 minutes", f"{median_ms(watch, 9):.1f} ms", "-")


def main() -> None:
    sys.stdout.write(f"{ROUTES} routes, {DOMAINS} receiving domains\n")
    now = datetime.now(UTC)
    with temporary() as services, fresh_app(services, "bench_health") as app, app.app_context():
        place = Place.create(routes=ROUTES)
        checking(place, now)
        trouble(place, now)
        sys.stdout.write(f"every second route blocked at all {DOMAINS} domains\n")
        checking(place, now)
        metering(place)
        hearing(place)
        watching(place)


if __name__ == "__main__":
    main()
