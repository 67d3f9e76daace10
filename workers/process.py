"""What one worker process keeps between jobs: its app, its deliverer with live connections, its sweep."""

from __future__ import annotations

import logging
import threading
import time
from functools import cache

from flask import Flask

from flute_server.app import create_app
from flute_server.config import Config
from flute_server.sending import deliver, health, ingest
from flute_server.sending.deliver import DATABASE_ERRORS, Deliverer
from flute_server.sending.ingest import Reader

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 1.0
# How often the health of accounts is looked at whose mail is not heard of.
WATCH_EVERY_S = 15.0
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
    next_watch = 0.0
    while not stop.wait(SWEEP_EVERY_S):
        try:
            deliver.sweep(app())
            ingest.sweep(app())
            if time.monotonic() > next_watch:
                next_watch = time.monotonic() + WATCH_EVERY_S
                health.sweep(app())
            away = False
        except DATABASE_ERRORS as error:
            if not away:
                log.warning("the sweep cannot reach the database: %s", str(error).splitlines()[0])
            away = True
