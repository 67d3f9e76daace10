"""`python -m tests.bench.feedback`: what providers tell, taken in and acted on, and claims from a long queue.

Everything runs at once on this machine: the poster, web, server, worker and databases. Arguments: the parts
to run (taking, claims, breakers), or none for all.
"""

from __future__ import annotations

import base64
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection as PipeEnd
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flute.v1 import provider_account_service_pb2
from sqlalchemy import text

from flute_server import sandbox as sandboxes
from flute_server.local.embedded import temporary
from flute_server.models import db
from flute_server.sending.claim import claim
from tests.bench import health
from tests.bench.__main__ import say
from tests.bench.load import Connection
from tests.integration.places import Place, fresh_app
from tests.stack import Stack, Tenant, running, until

CLIENTS = 8
BATCH = 50
SENDGRID_MAILS = 15_000  # two events each
POSTMARK_MAILS = 4_000  # one event each, one call an event
PASSWORD = "a-webhook-password"
QUEUES = (1_000, 100_000)
CLAIMS = 50
CLAIMED = 32
LEASE = timedelta(seconds=150)

# An email, its recipient, the attempt and the ledger's row that each event is about.
Mail = tuple[str, int, str, str]

_TAKEN = """
WITH mail AS (
    INSERT INTO email (id, environment_id, create_time, lease, round, content, has_attachments)
    SELECT gen_random_uuid(), %(environment)s, now(), 1, 0, '{}', false FROM generate_series(1, %(mails)s)
    RETURNING id
), addressed AS (
    INSERT INTO recipient (email_id, environment_id, email_time, kind, address, name, state, update_time)
    SELECT id, %(environment)s, now(), 'to',
        substr(md5(random()::text), 1, 12) || '@d' || floor(random() * 20) || '.example', '', 'sent', now()
    FROM mail RETURNING id, email_id, address
), tried AS (
    INSERT INTO attempt (id, email_id, environment_id, email_time, provider_account_id, round, start_time,
        end_time, candidates)
    SELECT gen_random_uuid(), email_id, %(environment)s, now(), %(account)s, 0, now(), now(), '[]'
    FROM addressed
    RETURNING id, email_id
), entered AS (
    INSERT INTO ledger (attempt_id, recipient_id, outcome, error, status, code, text, provider_message_id)
    SELECT t.id, a.id, 'accepted', '', '202', '', '', t.id::text
    FROM tried t JOIN addressed a USING (email_id)
)
SELECT t.email_id::text, a.id, a.address, t.id::text FROM tried t JOIN addressed a USING (email_id)
"""


def taken_mails(stack: Stack, tenant: Tenant, slug: str, mails: int) -> list[Mail]:
    """So many mails that a provider has taken and that nothing was told of yet."""
    values = {
        "environment": tenant.environment_id,
        "account": tenant.provider_accounts[slug],
        "mails": mails,
    }
    with psycopg.connect(stack.services.database_url, autocommit=True) as database:
        rows = database.execute(_TAKEN, values).fetchall()
        database.execute("ANALYZE")
    return [tuple(row) for row in rows]


# ----- what the providers post


def request(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    given = {"Host": parts.netloc, "Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**given, **headers}.items())
    return f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def sendgrid_posts(url: str, mails: Sequence[Mail], key: ec.EllipticCurvePrivateKey) -> list[bytes]:
    """Signed batches: `processed` and `delivered` of each mail."""
    now = int(time.time())
    events = [_sendgrid_event(mail, name, now) for mail in mails for name in ("processed", "delivered")]
    posts = []
    for begin in range(0, len(events), BATCH):
        body = json.dumps(events[begin : begin + BATCH]).encode()
        signature = key.sign(f"{now}".encode() + body, ec.ECDSA(hashes.SHA256()))
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": str(now),
        }
        posts.append(request(url, body, headers))
    return posts


def _sendgrid_event(mail: Mail, name: str, now: int) -> dict[str, Any]:
    email_id, recipient_id, address, attempt_id = mail
    return {
        "flute_email": email_id,
        "flute_attempt": attempt_id,
        "flute_recipient": str(recipient_id),
        "email": address,
        "event": name,
        "timestamp": now,
        "smtp-id": f"<{attempt_id}@example.com>",
        "sg_event_id": f"{name}-{attempt_id}",
        "sg_message_id": f"{attempt_id}.recvd-5f5c-1",
        "response": "250 2.0.0 OK  1700000000 d2e1a72fcca58-6cb8b3e3c6csi123456b3a.1 - gsmtp",
        "ip": "192.0.2.7",
        "tls": 1,
    }


def postmark_posts(url: str, mails: Sequence[Mail]) -> list[bytes]:
    """One `Delivery` a call."""
    basic = base64.b64encode(f"flute:{PASSWORD}".encode()).decode()
    return [
        request(url, json.dumps(_postmark_event(mail)).encode(), {"Authorization": f"Basic {basic}"})
        for mail in mails
    ]


def _postmark_event(mail: Mail) -> dict[str, Any]:
    email_id, recipient_id, address, attempt_id = mail
    return {
        "RecordType": "Delivery",
        "ServerID": 23,
        "MessageStream": "outbound",
        "MessageID": attempt_id,
        "Recipient": address,
        "Tag": "",
        "DeliveredAt": datetime.now(UTC).isoformat(),
        "Details": "smtp;250 2.0.0 OK",
        "Metadata": {
            "flute_email": email_id,
            "flute_attempt": attempt_id,
            "flute_recipient": str(recipient_id),
        },
    }


def post_all(url: str, requests: Sequence[bytes]) -> float:
    """Seconds that it takes to post all, from a process of its own; every answer must be 200."""
    context = get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_post, args=(send, url, list(requests)))
    process.start()
    taken: float | str = receive.recv()
    process.join()
    if isinstance(taken, str):
        sys.exit(taken)
    return taken


def _post(pipe: PipeEnd, url: str, requests: list[bytes]) -> None:
    parts = urlsplit(url)
    left, lock, refused = iter(requests), threading.Lock(), list[str]()

    def work() -> None:
        connection = Connection((parts.hostname or "", parts.port or 80))
        while True:
            with lock:
                mine = next(left, None)
            if mine is None:
                return
            status, body = connection.call(mine)
            if status != 200:
                refused.append(f"a webhook was refused with {status}: {body.decode(errors='replace')}")

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(refused[0] if refused else time.monotonic() - begin)


# ----- taking in


def taking() -> None:
    """Events taken in through web and server until they are stored, and then read and acted on."""
    with (
        tempfile.TemporaryDirectory() as folder,
        temporary() as services,
        sandboxes.start() as sandbox,
        running(services, sandbox, Path(folder), workers=0) as stack,
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        tenant = stack.tenant("sendgrid", "postmark")
        urls = {
            slug: _set_up(stack, tenant, slug, credentials(slug, key)) for slug in ("sendgrid", "postmark")
        }

        def sendgrid(mails: int) -> list[bytes]:
            return sendgrid_posts(urls["sendgrid"], taken_mails(stack, tenant, "sendgrid", mails), key)

        def postmark(mails: int) -> list[bytes]:
            return postmark_posts(urls["postmark"], taken_mails(stack, tenant, "postmark", mails))

        name = f"SendGrid, signed batches of {BATCH}"
        measure(stack, Voice(name, urls["sendgrid"], 2, sendgrid), SENDGRID_MAILS)
        measure(stack, Voice("Postmark, one event a call", urls["postmark"], 1, postmark), POSTMARK_MAILS)


def credentials(slug: str, key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_key().public_bytes(serialization.Encoding.DER, form)
    public = base64.b64encode(der).decode()
    return {"webhook_public_key": public} if slug == "sendgrid" else {"webhook_password": PASSWORD}


def _set_up(stack: Stack, tenant: Tenant, slug: str, given: Mapping[str, str]) -> str:
    """The address to which this account's provider posts."""
    account = provider_account_service_pb2.ProviderAccount(
        id=tenant.provider_accounts[slug], credentials=given
    )
    request = provider_account_service_pb2.UpdateProviderAccountRequest(provider_account=account)
    row = stack.client.call(stack.client.provider_accounts.UpdateProviderAccount, request)
    return f"{stack.web_address}{row.webhook_path}"


@dataclass(frozen=True)
class Voice:
    """One provider's way of posting. events: how many it tells of each mail; posts: for so many mails."""

    name: str
    url: str
    events: int
    posts: Callable[[int], list[bytes]]


def measure(stack: Stack, voice: Voice, mails: int) -> None:
    """First with the worker asleep, then the worker alone, then both at once."""
    post_all(voice.url, voice.posts(mails // 10))
    stored = post_all(voice.url, voice.posts(mails))
    say(f"{voice.name}: stored", f"{mails * voice.events / stored:.0f}/s", ">= 1,000/s")
    with psycopg.connect(stack.services.database_url, autocommit=True) as database:
        before = events(database)
        stack.add_worker()
        until(lambda: events(database) > before, "the first batch is read", 30)
        begin, count = time.monotonic(), events(database)
        until(lambda: not is_behind(database), "all is read", 300)
        rate = (events(database) - count) / (time.monotonic() - begin)
        say("  read and acted on, one worker", f"{rate:.0f}/s", ">= 1,000/s")
        posts = voice.posts(mails)
        begin = time.monotonic()
        post_all(voice.url, posts)
        until(lambda: not is_behind(database), "all is read", 300)
        rate = mails * voice.events / (time.monotonic() - begin)
        say("  both at once, until the last is acted on", f"{rate:.0f}/s", "-")
    stack.workers.pop().stop()


Database = psycopg.Connection[tuple[Any, ...]]


def is_behind(database: Database) -> bool:
    """Asked often, hence on an open connection and by an index."""
    query = "SELECT EXISTS (SELECT FROM inbound WHERE due_time IS NOT NULL)"
    return bool(database.execute(query).fetchall()[0][0])


def events(database: Database) -> int:
    """How many events were read; what each proves is written in the same transaction."""
    return int(database.execute("SELECT count(*) FROM provider_event").fetchall()[0][0])


# ----- claims

_QUEUE = text(
    """
    WITH mail AS (
        INSERT INTO email (id, environment_id, create_time, due_time, lease, round, content, has_attachments)
        SELECT gen_random_uuid(), :environment, now(), now() - random() * interval '1 hour', 0, 0,
            jsonb_build_object('from', jsonb_build_array('hello@flutemail.io', ''), 'subject', 'Hello',
                'text', repeat('How are you? ', 40)), false
        FROM generate_series(1, :mails) RETURNING id
    )
    INSERT INTO recipient (email_id, environment_id, email_time, kind, address, name, state, update_time)
    SELECT id, :environment, now(), 'to', substr(md5(random()::text), 1, 12) || '@example.com', '', 'queued',
        now()
    FROM mail
    """
)


def claims() -> None:
    """What a claim costs with few and with many mails waiting; each is rolled back."""
    with temporary() as services, fresh_app(services, "bench_claim") as app, app.app_context():
        place = Place.create()
        waiting = 0
        for size in QUEUES:
            values = {"environment": place.environment_id, "mails": size - waiting}
            db.session.execute(_QUEUE, values)
            db.session.commit()
            waiting = size
            with psycopg.connect(db.engine.url.render_as_string(False).replace("+psycopg", "")) as database:
                database.autocommit = True
                database.execute("VACUUM ANALYZE")
            times = [_claim_ms() for _ in range(CLAIMS)]
            middle, worst = statistics.median(times), max(times)
            say(f"claim {CLAIMED} of {size:,} mails that wait, median", f"{middle:.2f} ms", "flat")
            say("  slowest", f"{worst:.2f} ms", "-")


def _claim_ms() -> float:
    now = datetime.now(UTC)
    begin = time.perf_counter()
    found = claim(CLAIMED, now, LEASE)
    taken = time.perf_counter() - begin
    db.session.rollback()
    if len(found) != CLAIMED:
        sys.exit(f"only {len(found)} of {CLAIMED} were claimed")
    return taken * 1000


# ----- breakers


def breakers() -> None:
    """See tests.bench.health, which measures more."""
    now = datetime.now(UTC)
    with temporary() as services, fresh_app(services, "bench_breakers") as app, app.app_context():
        place = Place.create(routes=health.ROUTES)
        health.trouble(place, now)
        health.checking(place, now)


PARTS: tuple[Callable[[], None], ...] = (taking, claims, breakers)


def main() -> None:
    """Run the parts named on the command line, or all."""
    wanted = sys.argv[1:]
    for part in PARTS:
        if not wanted or part.__name__ in wanted:
            part()


if __name__ == "__main__":
    main()
