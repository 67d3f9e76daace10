"""`python -m tests.bench.pages [MAILS ...]`: how long pages of the dashboard take with few and many mails.

Everything is in one account: that of the largest environment in tests.bench.search. Asked over loopback with
the session of somebody who is logged in, one request at a time. MAILS: 10000 1000000 if not given.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import requests
from flask import Flask
from flute.v1.account_service_pb2 import CreateAccountRequest

from flute_server import sandbox as sandboxes
from flute_server.app import create_app
from flute_server.local.embedded import Services, temporary
from flute_server.models import db
from flute_server.sandbox import Sandbox
from flute_server.vault import vault
from tests.bench.search import fill
from tests.stack import Stack, fresh_database, running

SIZES = (10_000, 1_000_000)
REPEATS = 30
TARGET_MS = 100
PASSWORD = "correct horse battery"
OWNER = "owner@acme.example"

# The figures that so much mail leaves behind, roughly: a month of hours, by account and domain.
_TALLIES = """
INSERT INTO tally (environment_id, dimension, grain, start, key, type, count)
SELECT e.id, d.dimension, t.grain, t.start, d.key, type, 100
FROM environment e, (
    SELECT 'day' AS grain, date_trunc('day', now(), 'UTC') - n * interval '1 day' AS start
    FROM generate_series(0, 30) n
    UNION ALL
    SELECT 'hour', date_trunc('hour', now(), 'UTC') - n * interval '1 hour' FROM generate_series(0, 24 * 30) n
) t, LATERAL (
    SELECT 'all' AS dimension, '' AS key
    UNION ALL SELECT dimension, p.id::text
    FROM provider_account p, unnest(ARRAY['provider_account', 'call']) dimension
    WHERE p.account_id = e.account_id
) d, unnest(ARRAY['accepted', 'emails', 'sent', 'delivered', 'bounced', 'deferred', 'rescued', 'calls']) type
"""
_EVENTS = """
INSERT INTO event (email_id, environment_id, type, text, time)
SELECT id, environment_id, type, 'as it happens', create_time
FROM email, unnest(ARRAY['accepted', 'sent', 'delivered']) type WHERE environment_id = %(environment)s
"""
_MORE = """
INSERT INTO member (account_id, user_id, role)
SELECT account_id, (SELECT id FROM "user" WHERE email = %(owner)s), 'owner'
FROM environment WHERE id = %(environment)s;
INSERT INTO suppression (id, account_id, address, reason, text)
SELECT gen_random_uuid(), account_id, 'gone' || n || '@example.com', 'bounce', '550 no such user'
FROM environment, generate_series(1, %(suppressions)s) n WHERE environment.id = %(environment)s;
UPDATE session SET account_id = (SELECT account_id FROM environment WHERE id = %(environment)s);
"""


def logged_in(stack: Stack) -> requests.Session:
    """Whoever owns an account of their own; they are put into the filled one afterwards."""
    session = requests.Session()
    form = session.get(f"{stack.web_address}/login", timeout=30).text
    found = re.search(r'name="csrf_token" value="([^"]+)"', form)
    assert found
    data = {"email": OWNER, "password": PASSWORD, "csrf_token": found[1]}
    answer = session.post(f"{stack.web_address}/login", data=data, timeout=30)
    assert "/login" not in answer.url, answer.url
    return session


def prepared(stack: Stack, app: Flask, mails: int) -> tuple[requests.Session, str, list[str]]:
    """Somebody who is logged in to the filled account, the largest environment, and ids of its mails."""
    request = CreateAccountRequest(name="Acme", owner_email=OWNER, owner_password=PASSWORD)
    stack.client.call(stack.client.accounts.CreateAccount, request)
    session = logged_in(stack)
    with app.app_context():
        environment = str(fill(mails)[0].environment_id)
        db.session.remove()
    with psycopg.connect(stack.services.database_url, autocommit=True) as database:
        values = {"owner": OWNER, "environment": environment, "suppressions": mails // 50}
        for statement in filter(str.strip, _MORE.split(";")):
            database.execute(statement, values)
        sealed = vault(stack.config.secret_keys).seal({"api_key": "SG.none"})
        database.execute("UPDATE provider_account SET credentials = %s", [sealed])
        database.execute(_TALLIES)
        database.execute(_EVENTS, values)
        database.execute("VACUUM ANALYZE")
        query = "SELECT id::text FROM email WHERE environment_id = %s ORDER BY create_time LIMIT %s"
        ids = [row[0] for row in database.execute(query, [environment, REPEATS])]
    return session, environment, ids


def paths(session: requests.Session, stack: Stack, environment: str, ids: list[str]) -> dict[str, list[str]]:
    """What is asked for, by what it is called; in turn where there are several."""
    emails = f"/emails?environment={environment}"
    following = re.search(r'rel="next" href="([^"]+)"', _text(session, stack, emails))
    assert following, "no second page"
    second = following[1].replace("&amp;", "&")
    return {
        "/overview": ["/overview"],
        "/overview, 30 days": ["/overview?period=month"],
        "/emails": [emails],
        "/emails, bounced": [f"{emails}&status=bounced"],
        "/emails, by recipient": [f"{emails}&q=user77@example.com"],
        "/emails, second page": [second],
        "/emails/<id>": [f"/emails/{id_}" for id_ in ids],
        "/environments": ["/environments"],
        "/environments/<id>": [f"/environments/{environment}"],
        "/providers": ["/providers"],
        "/statistics": [f"/statistics?environment={environment}"],
        "/statistics, 30 days": [f"/statistics?environment={environment}&range=30d&group=provider"],
        "/suppressions": ["/suppressions"],
        "/webhooks": ["/webhooks"],
        "/drills": ["/drills"],
        "/team": ["/team"],
        "/audit": ["/audit"],
    }


def _text(session: requests.Session, stack: Stack, path: str) -> str:
    answer = session.get(stack.web_address + path, timeout=60, allow_redirects=False)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.text


def measure(session: requests.Session, stack: Stack, ways: list[str]) -> tuple[float, float, float]:
    """The fastest, median and 95th percentile in ms. On a busy machine the fastest says most."""
    times = []
    for number in range(-3, REPEATS):  # the first three warm up
        begin = time.perf_counter()
        _text(session, stack, ways[number % len(ways)])
        if number >= 0:
            times.append((time.perf_counter() - begin) * 1000)
    return min(times), statistics.median(times), statistics.quantiles(times, n=20)[-1]


def run(services: Services, sandbox: Sandbox, mails: int) -> None:
    own = replace(services, database_url=fresh_database(services, f"pages_{mails}"))
    with tempfile.TemporaryDirectory() as folder, running(own, sandbox, Path(folder), 0) as stack:
        session, environment, ids = prepared(stack, create_app(stack.config), mails)
        load = os.getloadavg()[0]
        sys.stdout.write(f"\n{mails:,} mails, load {load:.1f}: fastest, median, 95th percentile\n")
        for name, ways in paths(session, stack, environment, ids).items():
            fastest, middle, worst = measure(session, stack, ways)
            sys.stdout.write(f"{name:<38} {fastest:8.1f} {middle:8.1f} {worst:7.1f} ms   < {TARGET_MS} ms\n")
            sys.stdout.flush()


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or list(SIZES)
    with temporary() as services, sandboxes.start() as sandbox:
        for mails in sizes:
            run(services, sandbox, mails)


if __name__ == "__main__":
    main()
