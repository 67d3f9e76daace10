"""Mail under fire: parts are killed with -9 and providers fail at random, then the books are compared.

`make chaos` runs it with 10,000 mails, the tests with fewer. The books are what the sandbox's providers got,
what they told of it, and Flute's own ledger.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import requests

from flute_server.local.embedded import Services
from flute_server.local.postgres import Postgres
from flute_server.local.process import spawn, wait_until
from flute_server.local.valkey import Valkey
from flute_server.sandbox import Sandbox
from tests.stack import Stack, Tenant, until

PROVIDERS = ("sendgrid", "postmark", "mailgun")
POSTERS = 4
# What a provider does for a while, and to which share of the calls.
MOODS: tuple[dict[str, Any], ...] = (
    {"mode": "ok"},
    {"mode": "ok", "duplicate_events": True, "shuffle_events": True},
    {"mode": "error", "share": 0.5},
    {"mode": "drop_answer", "share": 0.2, "shuffle_events": True},
    {"mode": "block", "share": 0.3, "duplicate_events": True},
    {"mode": "bounce", "share": 0.1},
    {"mode": "rate_limited", "share": 0.5},
    {"mode": "down"},
)


@dataclass
class Books:
    """What was promised and what came of it. Lists hold ids of mails that break a promise."""

    accepted: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    held: int = 0
    doubled: list[str] = field(default_factory=list)
    doubled_without_ambiguity: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)


class Databases:
    """PostgreSQL and Valkey that can be killed and come back at the same addresses."""

    def __init__(self, folder: Path) -> None:
        self._parts: dict[str, Postgres | Valkey] = {
            "postgres": Postgres(folder),
            "valkey": Valkey(folder),
        }
        self._folder = folder
        self._running: dict[str, Any] = {}
        self.services = Services(self._parts["postgres"].url, self._parts["valkey"].url)

    def start(self, name: str) -> None:
        part = self._parts[name]
        with (self._folder / f"{name}.log").open("ab") as output:
            process = spawn(part.prepare(), output)
        self._running[name] = process
        assert wait_until(lambda: part.is_ready(process.pid), 60), f"{name} did not come back"

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def __enter__(self) -> Databases:
        for name in self._parts:
            self.start(name)
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            self.kill(name)


@contextlib.contextmanager
def under_fire(stack: Stack, dice: random.Random) -> Iterator[None]:
    """Give the providers new moods for the length of the block; all are well at its end."""
    stop = threading.Event()

    def moods() -> None:
        while not stop.wait(0.7):
            mood = dict(dice.choice(MOODS))
            stack.sandbox.set_mode(dice.choice(PROVIDERS), mood.pop("mode"), **mood)

    thread = threading.Thread(target=moods)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for provider in PROVIDERS:
            stack.sandbox.set_mode(provider, "ok")


def kill_something(stack: Stack, databases: Databases, books: Books, dice: random.Random) -> None:
    """Kill one part with -9 and start it again."""
    victim = dice.choice(["worker", "worker", "worker", "server", "valkey", "postgres"])
    books.kills[victim] += 1
    if victim == "worker":
        worker = dice.choice(stack.workers)
        worker.kill()
        worker.start()
    elif victim == "server":
        stack.server.kill()
        stack.server.start()
    else:
        databases.kill(victim)
        databases.start(victim)


def post_all(tenant: Tenant, mails: int, between: Callable[[], None]) -> list[str]:
    """Post so many mails, whatever happens; the ids of those that were accepted."""
    ids: list[str] = []
    lock, left = threading.Lock(), iter(range(mails))

    def work() -> None:
        session = requests.Session()
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            id_ = _post(session, tenant, number)
            with lock:
                ids.append(id_)

    threads = [threading.Thread(target=work) for _ in range(POSTERS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(1.5)
        between()
    return ids


def _post(session: requests.Session, tenant: Tenant, number: int) -> str:
    """Post one mail until it is accepted, as a patient app would."""
    body = tenant.body(to=[{"email": f"user{number}@{('gmail', 'outlook', 'example')[number % 3]}.com"}])
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(requests.RequestException):
            answer = session.post(f"{tenant.stack.web_address}/v1/email", json=body, timeout=15)
            if answer.status_code == 202:
                return str(answer.json()["id"])
            assert answer.status_code == 503, answer.text
        assert time.monotonic() < deadline, "no mail is accepted any more"
        time.sleep(0.1)


def compare(stack: Stack, ids: list[str], books: Books, patience_s: float) -> None:
    """Wait until every mail has ended, then compare the books."""
    wanted = set(ids)
    books.accepted = len(wanted)
    with contextlib.suppress(AssertionError):
        until(lambda: not _unfinished(stack, wanted, _MOVING), "every mail ends or is held", patience_s)
        books.held = len(_unfinished(stack, wanted, ("sending",)))
        _let_time_pass(stack)
        until(lambda: not _unfinished(stack, wanted), "every mail ends", patience_s)
    books.unfinished = sorted(_unfinished(stack, wanted))
    copies = _copies(stack.sandbox)
    with psycopg.connect(stack.services.database_url) as database:
        for id_, address, state in database.execute("SELECT email_id, address, state FROM recipient"):
            if str(id_) not in wanted:
                continue
            books.states[state] += 1
            arrived = copies[str(id_), address]
            if state == "delivered" and arrived == 0:
                books.lost.append(str(id_))
            if arrived > 1:
                books.doubled.append(str(id_))
        _check_ledger(database, wanted, books)


_MOVING = ("queued", "sent", "deferred")


def _unfinished(stack: Stack, wanted: set[str], states: tuple[str, ...] = (*_MOVING, "sending")) -> set[str]:
    query = "SELECT email_id FROM recipient WHERE state = ANY(%s)"
    with (
        contextlib.suppress(psycopg.OperationalError),
        psycopg.connect(stack.services.database_url) as database,
    ):
        return {str(id_) for (id_,) in database.execute(query, [list(states)])} & wanted
    return wanted


def _let_time_pass(stack: Stack) -> None:
    """Two hours, for what is held: by now every provider has told what it had, so that the rest never left.

    A provider's "not found" is believed only after up to half an hour, and the hold itself ends after one.
    """
    with psycopg.connect(stack.services.database_url) as database:
        database.execute(
            "UPDATE attempt SET start_time = start_time - interval '2 hours',"
            " end_time = end_time - interval '2 hours' WHERE email_id IN"
            " (SELECT email_id FROM recipient WHERE state = 'sending')"
        )
        database.execute(
            "UPDATE email SET due_time = now() WHERE id IN"
            " (SELECT email_id FROM recipient WHERE state = 'sending')"
        )


def _copies(sandbox: Sandbox) -> Counter[tuple[str, str]]:
    """How many copies of each mail reached each recipient."""
    found: Counter[tuple[str, str]] = Counter()
    for mail in sandbox.inbox():
        for address, outcome in mail["outcomes"].items():
            if outcome == "delivered":
                found[mail["metadata"]["flute_email"], address] += 1
    return found


def _check_ledger(database: psycopg.Connection[Any], wanted: set[str], books: Books) -> None:
    """Every attempt but the last must be one that cannot deliver any more, or an ambiguity on record."""
    rows = database.execute(
        "SELECT a.email_id, l.recipient_id, l.outcome, l.error, l.fate, l.action FROM attempt a"
        " JOIN ledger l ON l.attempt_id = a.id ORDER BY a.start_time"
    )
    by_recipient: dict[tuple[str, int], list[tuple[Any, ...]]] = defaultdict(list)
    for email_id, recipient_id, *entry in rows:
        if str(email_id) in wanted:
            by_recipient[str(email_id), recipient_id].append(tuple(entry))
    ambiguous = set()
    for (email_id, _), entries in by_recipient.items():
        books.attempts += len(entries)
        for outcome, error, fate, action in entries[:-1]:
            if error == "ambiguous" or outcome == "ambiguous":
                ambiguous.add(email_id)
            elif outcome == "accepted" and not (fate == "bounced" and action in {"failover", "retry"}):
                books.unproven.append(email_id)
    books.doubled_without_ambiguity = [id_ for id_ in books.doubled if id_ not in ambiguous]
