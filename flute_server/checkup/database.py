"""PostgreSQL: answers, new enough, durable, with room, at the newest schema."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from flute_server.checkup.check import Ask, Check, Status, clock, judged, size

OLDEST = 140000
# As a share of what the server allows.
MANY_CONNECTIONS = 0.9
SLOW_MS = 500.0
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
# Read instead of Alembic, which would cost a server 11 MB.
REVISIONS = Path(__file__).parent.parent / "migrations" / "versions"

_ABOUT = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int,
    pg_database_size(current_database()), (SELECT count(*) FROM pg_stat_activity),
    current_setting('max_connections')::int, extract(epoch FROM clock_timestamp())::float8
"""


def database(ask: Ask) -> Iterator[Check]:
    """The server itself. Raises what asking raises."""
    begin = time.perf_counter()
    ask("SELECT 1")
    took_ms = (time.perf_counter() - begin) * 1000
    [(version, number, octets, used, limit, theirs)] = ask(_ABOUT)
    text = f"version {version}, answers in {took_ms:.1f} ms, {size(octets)}"
    if number < OLDEST:
        yield Check("database", "PostgreSQL", Status.FAILING, text, "use 14 or newer")
    else:
        fix = "it is overloaded, or far away: look at its load and disk"
        yield judged("database", "PostgreSQL", text, fix, bad=took_ms > SLOW_MS, status=Status.WARNING)
    yield from _durability(ask)
    yield judged(
        "connections",
        "Connections",
        f"{used} of {limit}",
        "raise max_connections, or put a pooler such as PgBouncer before it",
        bad=used > MANY_CONNECTIONS * limit,
    )
    yield clock("database_clock", "Clock of PostgreSQL", theirs)


def _durability(ask: Ask) -> Iterator[Check]:
    off = [name for name in DURABLE if ask(f"SHOW {name}")[0][0] == "off"]
    text = f"{', '.join(off)} is off: accepted mail can be lost in a power cut"
    fix = "switch it on in postgresql.conf and reload"
    yield judged(
        "durability", "Durability", text if off else "what is committed is on disk", fix, bad=bool(off)
    )


def schema(ask: Ask) -> Iterator[Check]:
    """Whether the newest migration is applied, as the database and the names of the files say."""
    known = sorted(file.name.partition("_")[0] for file in REVISIONS.glob("[0-9]*_*.py"))
    applied = ""
    if ask("SELECT to_regclass('alembic_version')")[0][0]:
        applied = next((row[0] for row in ask("SELECT version_num FROM alembic_version")), "")
    pending = [revision for revision in known if revision > applied]
    if applied and applied not in known:
        text = f"the database is at revision {applied}, which this version of Flute does not know"
        yield Check("schema", "Schema", Status.FAILING, text, "run the same version of Flute everywhere")
    else:
        count = len(pending)
        text = f"{count} migration{'s' * (count != 1)} behind" if pending else f"up to date ({applied})"
        yield judged("schema", "Schema", text, "run: flute migrate", bad=bool(pending))
