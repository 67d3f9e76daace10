"""`python -m tests.bench.search [--plans] [MAILS ...]`: what listing costs with few and many stored mails.

Fills a database with 20 environments of very different size, the largest with 30 % of the mails, and asks
that one and the smallest: each filter alone, and some together. MAILS: 10000 100000 1000000 if not given.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event, text

from flute_server.domain.state import State
from flute_server.local.embedded import Services, temporary
from flute_server.models import db
from flute_server.sending.search import Filters, search
from flute_server.sending.senders import Sender, by_environment
from flute_server.sending.summary import summaries
from tests.integration.places import Place, fresh_app

SIZES = (10_000, 100_000, 1_000_000)
ENVIRONMENTS = 20
PAGE = 50
REPEATS = 9

# The n-th environment gets 0.7 of what the one before it gets.
CHUNK = 100_000
_FILL = text(
    r"""
    WITH given AS (
        SELECT gen_random_uuid() AS id, n, random() AS luck, random() AS fate, random() AS way,
            least(floor(ln(1 - random()) / ln(0.7)), CAST(:environments AS int) - 1)::int + 1 AS place,
            now() - n * interval '2 seconds' AS time
        FROM generate_series(CAST(:first AS int), CAST(:last AS int)) n
    ), mail AS (
        SELECT given.*, (CAST(:environment_ids AS uuid[]))[place] AS environment_id,
            (CAST(:account_ids AS uuid[]))[
                3 * place - CASE WHEN way < 0.7 THEN 2 WHEN way < 0.9995 THEN 1 ELSE 0 END
            ] AS account_id,
            'user' || n % (CAST(:mails AS int) / 5 + 1) || '@example.com' AS address,
            ARRAY['app'] || CASE WHEN luck < 0.5 THEN ARRAY['half'] ELSE '{}' END
                || CASE WHEN luck < 0.01 THEN ARRAY['percent'] ELSE '{}' END
                || CASE WHEN luck BETWEEN 0.6 AND 0.601 THEN ARRAY['permille'] ELSE '{}' END
                || CASE WHEN luck BETWEEN 0.7 AND 0.7001 THEN ARRAY['rare'] ELSE '{}' END
                || CASE WHEN n > CAST(:mails AS int) * 0.8 THEN ARRAY['formerly'] ELSE '{}' END AS tags,
            CASE WHEN luck < 0.3 THEN 'Your invoice ' ELSE 'News of ' END
                || 'number ' || n || ' from us' AS subject,
            CASE WHEN fate < 0.97 THEN 'delivered' WHEN fate < 0.99 THEN 'bounced'
                WHEN fate < 0.9999 THEN 'sent' ELSE 'failed' END AS state
        FROM given
    ), stored AS (
        INSERT INTO email (id, environment_id, create_time, lease, round, content, has_attachments, terms)
        SELECT id, environment_id, time, 1, 0,
            jsonb_build_object('from', ARRAY['hello@flutemail.io', 'Flute'], 'subject', subject, 'tags', tags,
                'text', repeat(md5(n::text), 12), 'metadata', jsonb_build_object('order', n::text)),
            false,
            ARRAY['to:' || address, 'meta:order=' || n]
                || ARRAY(SELECT 'tag:' || tag FROM unnest(tags) tag)
                || ARRAY(SELECT 'word:' || word FROM unnest(string_to_array(lower(subject), ' ')) word)
        FROM mail
    ), addressed AS (
        INSERT INTO recipient (email_id, environment_id, email_time, kind, address, name, state, update_time)
        SELECT id, environment_id, time, 'to', address, '', state, time FROM mail
    )
    INSERT INTO attempt (id, email_id, environment_id, email_time, provider_account_id, round, start_time,
        end_time, candidates)
    SELECT gen_random_uuid(), id, environment_id, time, account_id, 0, time, time, '[]' FROM mail
    """
)


@dataclass
class Watch:
    """The statements that run, with their values."""

    seen: list[tuple[str, Any]] = field(default_factory=list)

    @contextmanager
    def watching(self) -> Iterator[None]:
        def note(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
            self.seen.append((statement, values))

        event.listen(db.engine, "before_cursor_execute", note)
        try:
            yield
        finally:
            event.remove(db.engine, "before_cursor_execute", note)


def fill(mails: int) -> list[Sender]:
    """The environments, the largest first."""
    places = [Place.create(3) for _ in range(ENVIRONMENTS)]
    values = {
        "environments": ENVIRONMENTS,
        "environment_ids": [place.environment_id for place in places],
        "account_ids": [account for place in places for account in place.accounts],
        "mails": mails,
    }
    for first in range(1, mails + 1, CHUNK):
        db.session.execute(_FILL, {**values, "first": first, "last": min(first + CHUNK - 1, mails)})
        db.session.commit()
    connection = db.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    with connection:
        connection.execute(text("VACUUM ANALYZE"))
    return [by_environment(str(place.environment_id)) for place in places]


def cases(mails: int) -> dict[str, Filters]:
    now = datetime.now(UTC)
    middle = now - timedelta(seconds=mails)
    return {
        "no filter": Filters(),
        "status delivered (97 %)": Filters(state=State.DELIVERED),
        "status bounced (2 %)": Filters(state=State.BOUNCED),
        "status failed (0.01 %)": Filters(state=State.FAILED),
        "status queued (none)": Filters(state=State.QUEUED),
        "recipient (5 mails)": Filters(recipient="user77@example.com"),
        "recipient unknown": Filters(recipient="nobody@example.com"),
        "metadata (1 mail)": Filters(metadata={"order": "4711"}),
        "tag 50 %": Filters(tag="half"),
        "tag 1 %": Filters(tag="percent"),
        "tag 0.1 %": Filters(tag="permille"),
        "tag 0.01 %": Filters(tag="rare"),
        "tag of the oldest fifth": Filters(tag="formerly"),
        "subject, two words (30 %)": Filters(subject="your INVOICE"),
        "subject, number (1 mail)": Filters(subject="invoice 4712"),
        "provider, usual (70 %)": Filters(provider_account="p0"),
        "provider, rare (0.05 %)": Filters(provider_account="p2"),
        "a time in the middle": Filters(start=middle - timedelta(hours=1), end=middle),
        "bounced, tag 1 %": Filters(state=State.BOUNCED, tag="percent"),
        "delivered, rare provider": Filters(state=State.DELIVERED, provider_account="p2"),
        "bounced, rare provider": Filters(state=State.BOUNCED, provider_account="p2"),
        "delivered, tag 50 %, words 30 %": Filters(state=State.DELIVERED, tag="half", subject="invoice"),
    }


def measure(sender: Sender, filters: Filters) -> str:
    """The median ms of the first page, the blocks of the database it looks at, and the mails on it."""
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        ids, token = search(sender, filters, PAGE, "")
        summaries(ids)
        times.append((time.perf_counter() - begin) * 1000)
        db.session.rollback()
    blocks = sum(
        plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans(sender, filters, "JSON")
    )
    more = " and more" if token else ""
    return f"{statistics.median(times):6.1f} ms {blocks:>6} blocks {len(ids):>3}{more}"


def plans(sender: Sender, filters: Filters, kind: str) -> Iterator[Any]:
    """How each statement of a page ran."""
    watch = Watch()
    with watch.watching():
        ids, _ = search(sender, filters, PAGE, "")
        summaries(ids)
    for statement, values in watch.seen:
        if "set_config" not in statement and not statement.startswith("EXPLAIN"):
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT {kind}) {statement}"
            rows = [row[0] for row in db.session.connection().exec_driver_sql(explain, values)]
            yield rows[0][0]["Plan"] if kind == "JSON" else rows
    db.session.rollback()


def run(services: Services, mails: int, *, show_plans: bool) -> None:
    with fresh_app(services, f"search_{mails}") as app, app.app_context():
        begin = time.monotonic()
        senders = fill(mails)
        filled = time.monotonic() - begin
        sys.stdout.write(
            f"\n{mails:,} mails, filled in {filled:.0f} s. The first page: time, blocks, mails\n"
        )
        sys.stdout.write(f"{'':<33}{'largest environment':<38}smallest environment\n")
        for name, filters in cases(mails).items():
            cells = [measure(sender, filters) for sender in (senders[0], senders[-1])]
            sys.stdout.write(f"{name:<33}{cells[0]:<38}{cells[1]}\n")
            sys.stdout.flush()
            if show_plans:
                for rows in plans(senders[0], filters, "TEXT"):
                    sys.stdout.write("\n".join(f"      {row}" for row in rows) + "\n\n")


def main() -> None:
    arguments = sys.argv[1:]
    sizes = [int(size) for size in arguments if size != "--plans"] or list(SIZES)
    with temporary() as services:
        for mails in sizes:
            run(services, mails, show_plans="--plans" in arguments)


if __name__ == "__main__":
    main()
