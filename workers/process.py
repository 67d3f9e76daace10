"""What one worker process keeps between jobs: its app, its deliverer with live connections, its sweep."""

from __future__ import annotations

import logging
import threading
import time
from functools import cache

from flask import Flask

from flute_server.app import create_app
from flute_server.config import Config
from flute_server.sending import deliver, health, idempotency, ingest, purge, retention, succession
from flute_server.sending.deliver import DATABASE_ERRORS, Deliverer
from flute_server.sending.follow import BATCH, follow
from flute_server.sending.ingest import Reader
from flute_server.sending.system_mail import Postman
from flute_server.sending.wake import swept
from flute_server.sending.webhooks.deliver import Teller

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 1.0
# How often the health of accounts is looked at whose mail is not heard of, and for a database that was moved.
WATCH_EVERY_S = 15.0
# How often idempotency keys and deleted accounts are forgotten, a portion each time.
FORGET_EVERY_S = 5.0
# How often the content of old mail is removed where that is wanted, a portion each time.
REMOVE_EVERY_S = 60.0
# How long to wait for more events: while some come, and when none do.
FOLLOW_EVERY_S = 0.5
FOLLOW_IDLE_EVERY_S = 1.0
stop = threading.Event()


@cache
def app() -> Flask:
    return create_app(Config.from_env())


@cache
def reader() -> Reader:
    return Reader(app())


@cache
def deliverer() -> Deliverer:
    return Deliverer(app(), stop)


def sweep_forever() -> None:
    """Look for due mail every second until the process stops; a missing database is said once."""
    away = False
    next_watch = next_forget = next_removal = 0.0
    while not stop.wait(SWEEP_EVERY_S):
        try:
            deliver.sweep(app())
            ingest.sweep(app())
            if time.monotonic() > next_watch:
                next_watch = time.monotonic() + WATCH_EVERY_S
                succession.succeed(app())
                health.sweep(app())
                swept(app().config["FLUTE"].redis_url)
            if time.monotonic() > next_forget:
                next_forget = time.monotonic() + FORGET_EVERY_S
                idempotency.sweep(app())
                purge.sweep(app())
            if time.monotonic() > next_removal:
                next_removal = time.monotonic() + REMOVE_EVERY_S
                retention.sweep(app())
            away = False
        except DATABASE_ERRORS as error:
            if not away:
                log.warning("the sweep cannot reach the database: %s", str(error).splitlines()[0])
            away = True


def follow_forever() -> None:
    """Take in events until the process stops; of several processes one does it. A failure is said once."""
    failing = False
    pause = 0.0
    while not stop.wait(pause):
        try:
            count = follow(app())
            pause = 0.0 if count == BATCH else FOLLOW_EVERY_S if count else FOLLOW_IDLE_EVERY_S
            failing = False
        except Exception as error:
            if not failing:
                known = isinstance(error, DATABASE_ERRORS)
                text = str(error).splitlines()[0] if known else ""
                log.warning("events cannot be followed, trying on: %s", text, exc_info=not known)
            failing, pause = True, FOLLOW_IDLE_EVERY_S


def tell_forever() -> None:
    """Call the owners' webhook endpoints until the process stops."""
    Teller(app()).run(stop)


def mail_forever() -> None:
    """Send Flute's own mail until the process stops."""
    Postman(app()).run(stop)
