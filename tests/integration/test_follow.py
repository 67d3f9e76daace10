"""Following all events: each is taken in once and none is passed by; what is counted of them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from flute_server.domain.histogram import BOUNDS_US, bucket, middle
from flute_server.domain.state import State
from flute_server.errors import InvalidArgument
from flute_server.local.embedded import Services
from flute_server.models import Attempt, Dimension, Email, Event, Ledger, Measure, Recipient, db
from flute_server.sending import feed, follow, statistics, tally
from flute_server.sending.position import BEGINNING, Position
from flute_server.sending.statistics import Interval, Span
from flute_server.sending.webhooks.fan_out import fan_out
from tests.integration.places import Place, fresh_app
from tests.stack import until

HOUR = timedelta(hours=1)
THEN = datetime(2026, 3, 4, 10, 15, tzinfo=UTC)
WHOLE = Span(THEN.replace(minute=0) - HOUR, THEN.replace(minute=0) + 48 * HOUR)

LATE = """
INSERT INTO event (email_id, environment_id, type, time, text) VALUES (%s, %s, 'clicked', %s, '') RETURNING id
"""


@pytest.fixture(scope="module")
def module_app(services: Services) -> Iterator[Flask]:
    with fresh_app(services, "follow_test") as app:
        yield app


@pytest.fixture
def app(module_app: Flask) -> Iterator[Flask]:
    with module_app.app_context():
        db.session.execute(text("TRUNCATE follower, tally, timing, email CASCADE"))
        db.session.commit()
        yield module_app


@pytest.fixture
def place(app: Flask) -> Place:
    return Place.create()


@pytest.fixture
def other_hand(app: Flask) -> Iterator[psycopg.Connection]:
    """A transaction of somebody else."""
    url = app.config["FLUTE"].database_url
    with psycopg.connect(url) as connection:
        yield connection


class Mail:
    """A mail with events, written as accepting, sending and providers write them."""

    def __init__(self, place: Place, *to: str, tags: tuple[str, ...] = (), **fields: Any) -> None:
        self.place = place
        self.email = Email(
            id=uuid.uuid4(),
            environment_id=place.environment_id,
            content={},
            terms=[f"tag:{tag}" for tag in tags],
            **{"create_time": THEN, **fields},
        )
        db.session.add(self.email)
        db.session.flush()
        self.recipients = [
            Recipient(
                email_id=self.email.id,
                environment_id=place.environment_id,
                email_time=THEN,
                kind="to",
                address=address,
                name="",
                state=State.SENT,
            )
            for address in to
        ]
        db.session.add_all(self.recipients)
        db.session.flush()
        self.happens("accepted")

    def happens(
        self, type_: str, recipient: int | None = None, attempt: Attempt | None = None, after_s: float = 0
    ) -> None:
        row = Event(
            email_id=self.email.id,
            environment_id=self.place.environment_id,
            recipient_id=None if recipient is None else self.recipients[recipient].id,
            attempt_id=attempt.id if attempt else None,
            type=type_,
            time=THEN + timedelta(seconds=after_s),
            text=type_,
        )
        db.session.add(row)
        db.session.commit()

    def attempt(self, account: int, *recipients: int, after_s: float = 0) -> Attempt:
        row = Attempt(
            id=uuid.uuid4(),
            email_id=self.email.id,
            environment_id=self.place.environment_id,
            email_time=THEN,
            provider_account_id=self.place.accounts[account],
            round=0,
            start_time=THEN + timedelta(seconds=after_s),
            candidates=[],
        )
        db.session.add(row)
        db.session.flush()
        db.session.add_all(Ledger(attempt_id=row.id, recipient_id=self.recipients[n].id) for n in recipients)
        db.session.commit()
        return row


def settled() -> None:
    """Wait for whoever else writes into this PostgreSQL, which holds up what came after them."""
    held_up = text(
        "SELECT EXISTS (SELECT FROM event WHERE xid >= event_order(pg_snapshot_xmin(pg_current_snapshot())))"
    )

    def is_settled() -> bool:
        found = db.session.scalar(held_up)
        db.session.rollback()
        return not found

    until(is_settled, "all transactions before the events are over")


def follow_all(app: Flask) -> int:
    """How many events were followed until none were left."""
    settled()
    total = 0
    while count := follow.follow(app):
        total += count
    return total


def figures(place: Place, dimension: Dimension = Dimension.ALL) -> dict[str, dict[str, int]]:
    rows = statistics.read(place.environment_id, WHOLE, Interval.TOTAL, dimension)
    return {row.group: row.counts for row in rows}


def counted(place: Place, type_: str = "opened") -> int:
    return figures(place).get("", {}).get(type_, 0)


# Each event once, whatever happens.


def test_each_event_is_followed_once_over_many_batches(
    app: Flask, place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(follow, "BATCH", 7)
    mail = Mail(place, "ada@example.com")
    for _ in range(30):
        mail.happens("opened", 0)
    settled()
    assert follow.follow(app) == 7
    assert follow_all(app) == 31 - 7
    assert follow.follow(app) == 0
    assert counted(place) == 30


def test_an_event_that_is_committed_late_is_not_passed_by(
    app: Flask, place: Place, other_hand: psycopg.Connection
):
    mail = Mail(place, "ada@example.com")
    follow_all(app)
    row = other_hand.execute(LATE, (mail.email.id, place.environment_id, THEN)).fetchone()
    mail.happens("opened", 0)
    seen = feed.read(place.environment_id, BEGINNING, [], 100)
    assert [event.type for event in seen.events] == ["accepted"]
    assert follow.follow(app) == 0  # a later event waits for the one before it
    other_hand.commit()
    assert follow_all(app) == 2
    assert follow_all(app) == 0
    seen = feed.read(place.environment_id, seen.end, [], 100)
    assert [event.type for event in seen.events] == ["clicked", "opened"]
    assert row
    assert seen.events[0].position.id == row[0]
    assert figures(place)[""] == {"accepted": 1, "emails": 1, "clicked": 1, "opened": 1}


def test_of_two_followers_at_once_one_goes_on_and_the_other_does_not_wait(
    app: Flask, place: Place, monkeypatch: pytest.MonkeyPatch
):
    mail = Mail(place, "ada@example.com")
    mail.happens("opened", 0)
    settled()
    inside, leave = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> None:
        inside.set()
        assert leave.wait(60)
        fan_out(*arguments)

    monkeypatch.setattr(follow, "fan_out", slow)
    first = threading.Thread(target=follow.follow, args=(app,))
    first.start()
    assert inside.wait(60)
    assert follow.follow(app) == 0
    leave.set()
    first.join()
    assert follow_all(app) == 0
    assert counted(place) == 1


def test_many_followers_from_the_very_first_event_on_count_each_once(
    app: Flask, place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(follow, "BATCH", 5)
    mail = Mail(place, "ada@example.com", "bob@example.org")
    for _ in range(40):
        mail.happens("opened", 0)
    done: list[int] = []

    def work() -> None:
        def step() -> bool:
            done.append(follow.follow(app))
            return sum(done) >= 41

        until(step, "all are followed")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 41
    assert counted(place) == 40


def test_who_is_killed_in_mid_batch_has_taken_in_nothing(
    app: Flask, place: Place, monkeypatch: pytest.MonkeyPatch
):
    Mail(place, "ada@example.com").happens("opened", 0)
    settled()

    def killed(connection: Any, *arguments: Any) -> None:
        # As a power cut looks to the database.
        ours = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with psycopg.connect(app.config["FLUTE"].database_url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", (ours,))
        fan_out(connection, *arguments)
        connection.exec_driver_sql("SELECT 1")

    monkeypatch.setattr(follow, "fan_out", killed)
    with pytest.raises(Exception, match=r"terminat|closed|lost"):
        follow.follow(app)
    db.session.rollback()
    assert figures(place) == {}
    monkeypatch.setattr(follow, "fan_out", fan_out)
    assert follow_all(app) == 2
    assert counted(place) == 1


# What is counted.


def test_what_is_counted_of_a_mail_to_two(app: Flask, place: Place):
    mail = Mail(place, "ada@Example.com", "bob@example.org", tags=("welcome", "eu"))
    first = mail.attempt(0, 0, 1)
    mail.happens("sent", 0, first, 2)
    mail.happens("failover", 1, first, 2)
    second = mail.attempt(1, 1, after_s=3)
    mail.happens("sent", 1, second, 4)
    mail.happens("delivered", 0, first, 60)
    mail.happens("bounced", 1, second, 7200)
    follow_all(app)
    everything = {
        "accepted": 2, "emails": 1, "sent": 2, "rescued": 1, "failover": 1, "delivered": 1, "bounced": 1
    }  # fmt: skip
    assert figures(place) == {"": everything}
    assert figures(place, Dimension.TAG) == {"welcome": everything, "eu": everything}
    assert figures(place, Dimension.PROVIDER_ACCOUNT) == {
        "p0": {"sent": 1, "failover": 1, "delivered": 1},
        "p1": {"sent": 1, "rescued": 1, "bounced": 1},
    }
    assert figures(place, Dimension.DOMAIN) == {
        "example.com": {"accepted": 1, "emails": 1, "sent": 1, "delivered": 1},
        "example.org": {"accepted": 1, "emails": 1, "sent": 1, "rescued": 1, "failover": 1, "bounced": 1},
    }


def test_a_second_try_with_the_same_provider_rescues_nobody(app: Flask, place: Place):
    mail = Mail(place, "ada@example.com")
    mail.attempt(0, 0)
    mail.happens("sent", 0, mail.attempt(0, 0, after_s=30), 31)
    follow_all(app)
    assert counted(place, "sent") == 1
    assert counted(place, "rescued") == 0


def test_test_mail_is_not_counted_and_tenants_are_apart(app: Flask, place: Place):
    Mail(place, "ada@example.com", test=True).happens("opened", 0)
    other = Place.create()
    Mail(other, "ada@example.com").happens("opened", 0)
    assert follow_all(app) == 4
    assert figures(place) == {}
    assert counted(other) == 1


def test_rows_by_the_hour_and_by_the_day(app: Flask, place: Place):
    mail = Mail(place, "ada@example.com")
    for hours in (0, 1, 1, 20):
        mail.happens("opened", 0, after_s=hours * 3600)
    follow_all(app)
    by_hour = statistics.read(place.environment_id, WHOLE, Interval.HOUR, Dimension.ALL)
    ten = THEN.replace(minute=0)
    assert [(row.start, row.counts.get("opened", 0)) for row in by_hour] == [
        (ten, 1), (ten + HOUR, 2), (ten + 20 * HOUR, 1)
    ]  # fmt: skip
    by_day = statistics.read(place.environment_id, WHOLE, Interval.DAY, Dimension.ALL)
    midnight = ten.replace(hour=0)
    assert [(row.start, row.counts.get("opened", 0)) for row in by_day] == [
        (midnight, 3), (midnight + 24 * HOUR, 1)
    ]  # fmt: skip
    narrow = Span(ten + HOUR, ten + 2 * HOUR)
    [row] = statistics.read(place.environment_id, narrow, Interval.TOTAL, Dimension.ALL)
    assert (row.start, row.counts) == (narrow.start, {"opened": 2})


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(-30, 60), st.integers(1, 90), st.sampled_from([Interval.DAY, Interval.TOTAL]))
def test_whole_days_and_the_hours_around_them_are_the_hours(
    three_days: Place, begin: int, hours: int, interval: Interval
):
    start = THEN.replace(minute=0) + begin * HOUR
    span = Span(start, start + hours * HOUR)
    place = three_days
    by_hour = statistics.read(place.environment_id, span, Interval.HOUR, Dimension.ALL)
    rows = statistics.read(place.environment_id, span, interval, Dimension.ALL)
    assert sum(row.counts.get("opened", 0) for row in rows) == sum(
        row.counts.get("opened", 0) for row in by_hour
    )
    if interval is Interval.DAY:
        assert {row.start for row in rows} == {row.start.replace(hour=0) for row in by_hour}


@pytest.fixture
def three_days(app: Flask, place: Place) -> Place:
    """A mail that was opened 73 times, once an hour."""
    mail = Mail(place, "ada@example.com", create_time=THEN)
    for hour in range(73):
        mail.happens("opened", 0, after_s=hour * 3600)
    follow_all(app)
    return place


def test_only_the_groups_with_the_most_mail_are_told(
    app: Flask, place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(statistics, "MAX_GROUPS", 2)
    Mail(place, "a@one.example", "b@one.example", "c@two.example")
    busy = Mail(place, "a@three.example", "b@three.example")
    for _ in range(9):
        busy.happens("opened", 0)
    Mail(place, "a@four.example").happens("opened", 0)
    follow_all(app)
    assert set(figures(place, Dimension.DOMAIN)) == {"one.example", "three.example"}


# How long things took.


def test_percentiles_are_those_of_the_times_from_accepting_or_send_at(app: Flask, place: Place):
    for n in range(1, 101):
        mail = Mail(place, "ada@example.com", send_time=THEN + timedelta(seconds=10) if n % 2 else None)
        begin = 10 if n % 2 else 0
        attempt = mail.attempt(0, 0)
        mail.happens("sent", 0, attempt, begin + n / 100)
        mail.happens("delivered", 0, attempt, begin + n)
    follow_all(app)
    for dimension in (Dimension.ALL, Dimension.PROVIDER_ACCOUNT, Dimension.DOMAIN):
        [row] = statistics.read(place.environment_id, WHOLE, Interval.TOTAL, dimension)
        for measure, unit in ((Measure.SEND, 0.01), (Measure.DELIVER, 1.0)):
            times = row.times[measure]
            assert times.count == 100
            for told, exact in ((times.p50, 50), (times.p90, 90), (times.p99, 99)):
                assert told.total_seconds() == pytest.approx(exact * unit, rel=0.1)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.timedeltas(timedelta(days=-1), timedelta(days=40)), min_size=1, max_size=50))
def test_postgresql_finds_the_bucket_that_we_find(module_app: Flask, durations: list[timedelta]):
    durations += [timedelta(microseconds=bound + n) for bound in BOUNDS_US[::9] for n in (-1, 0, 1)]
    query = """
    SELECT width_bucket((extract(epoch FROM took) * 1000000)::bigint, %(bounds)s::bigint[])
    FROM unnest(%(took)s::interval[]) WITH ORDINALITY AS given (took, place) ORDER BY place
    """
    with module_app.app_context():
        values = {"bounds": list(BOUNDS_US), "took": durations}
        found = db.session.connection().exec_driver_sql(query, values).scalars().all()
    assert found == [bucket(duration) for duration in durations]


def test_times_beyond_all_measure_are_told_as_the_limits(app: Flask, place: Place):
    for after_s in (-5, 40 * 86400):
        Mail(place, "ada@example.com").happens("sent", 0, after_s=after_s)
    follow_all(app)
    span = Span(WHOLE.start, WHOLE.start + timedelta(days=60))
    [row] = statistics.read(place.environment_id, span, Interval.TOTAL, Dimension.ALL)
    assert (row.times[Measure.SEND].p50, row.times[Measure.SEND].p99) == (middle(0), middle(10**6))


# Spans of time.


def span(start: datetime | None, end: datetime | None, interval: Interval = Interval.DAY) -> Span:
    return Span.around(start, end, interval, THEN)


def test_a_span_is_made_of_whole_hours_and_is_a_week_by_default():
    ten = THEN.replace(minute=0)
    assert span(None, None) == Span(ten + HOUR - timedelta(days=7), ten + HOUR)
    assert span(THEN, THEN + HOUR) == Span(ten, ten + 2 * HOUR)
    assert span(ten, ten + HOUR) == Span(ten, ten + HOUR)


@pytest.mark.parametrize(
    ("start", "end", "interval", "field"),
    [
        (THEN + 2 * HOUR, None, Interval.DAY, "start_time"),
        (THEN, THEN - HOUR, Interval.DAY, "start_time"),
        (THEN - timedelta(days=15), None, Interval.HOUR, "interval"),
        (THEN - timedelta(days=401), None, Interval.DAY, "interval"),
        (None, datetime.max.replace(tzinfo=UTC), Interval.TOTAL, "end_time"),
        (None, datetime.min.replace(tzinfo=UTC), Interval.TOTAL, "end_time"),
    ],
)
def test_an_impossible_span_names_the_field(
    start: datetime | None, end: datetime | None, interval: Interval, field: str
):
    with pytest.raises(InvalidArgument) as caught:
        span(start, end, interval)
    assert caught.value.violations[0].field == field


def test_the_total_may_cover_any_time(app: Flask, place: Place):
    Mail(place, "ada@example.com")
    follow_all(app)
    long = span(datetime.min.replace(tzinfo=UTC), None, Interval.TOTAL)
    [row] = statistics.read(place.environment_id, long, Interval.TOTAL, Dimension.ALL)
    assert (row.start, row.counts) == (long.start, {"accepted": 1, tally.EMAILS: 1})
    last = datetime(9999, 12, 31, 5, tzinfo=UTC)
    far = span(last, last + 18 * HOUR, Interval.TOTAL)
    assert statistics.read(place.environment_id, far, Interval.TOTAL, Dimension.ALL) == []


# The feed.


def test_a_look_for_what_is_not_there_ends_and_moves_on(
    app: Flask, place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(feed, "SCAN", 10)
    mail = Mail(place, "ada@example.com")
    for _ in range(24):
        mail.happens("opened", 0)
    mail.happens("bounced", 0)
    settled()
    position, looks = BEGINNING, 0
    found: list[feed.Told] = []
    more = True
    while more:
        page = feed.read(place.environment_id, position, ["bounced"], 100)
        found += page.events
        position, more, looks = page.end, page.more, looks + 1
    assert [event.type for event in found] == ["bounced"]
    assert looks == 3
    assert feed.read(place.environment_id, position, ["bounced"], 100) == feed.Page([], position, more=False)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["opened", "clicked", "bounced"]), max_size=25), st.integers(1, 9), st.booleans()
)
def test_pages_of_any_size_tell_each_event_once_in_order(
    module_app: Flask, types: list[str], size: int, filtered: bool
):
    with module_app.app_context():
        place = Place.create()
        mail = Mail(place, "ada@example.com")
        for type_ in types:
            mail.happens(type_, 0)
        settled()
        wanted = ["opened", "bounced"] if filtered else []
        told: list[feed.Told] = []
        position = BEGINNING
        while (page := feed.read(place.environment_id, position, wanted, size)).events:
            assert len(page.events) <= size
            told += page.events
            position = Position.decode(page.end.encode())
        expected = [type_ for type_ in types if type_ in wanted] if filtered else ["accepted", *types]
        assert [event.type for event in told] == expected


def test_the_latest_position_is_before_what_is_stored_from_now_on_only(
    app: Flask, place: Place, other_hand: psycopg.Connection
):
    mail = Mail(place, "ada@example.com")
    other_hand.execute("SELECT pg_current_xact_id()")
    position = feed.latest()
    other_hand.execute(LATE, (mail.email.id, place.environment_id, THEN))
    other_hand.commit()
    mail.happens("opened", 0)
    settled()
    page = feed.read(place.environment_id, position, [], 100)
    assert [event.type for event in page.events] == ["clicked", "opened"]


def test_an_event_is_told_whole(app: Flask, place: Place):
    mail = Mail(place, "ada@example.com")
    attempt = mail.attempt(1, 0)
    mail.happens("sent", 0, attempt, 2)
    settled()
    [accepted, sent] = feed.read(place.environment_id, BEGINNING, [], 10).events
    assert (accepted.recipient, accepted.account, accepted.attempt_id) == ("", "", None)
    assert (sent.recipient, sent.account, sent.attempt_id) == ("ada@example.com", "p1", attempt.id)
    assert (sent.email_id, sent.time, sent.text) == (mail.email.id, THEN + timedelta(seconds=2), "sent")


# Positions.


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1))
def test_a_position_survives_its_token(xid: int, id_: int):
    position = Position(str(xid), id_)
    assert Position.decode(position.encode()) == position


@given(st.text() | st.binary().map(lambda data: data.hex()))
def test_what_is_no_token_is_refused_by_its_field(token: str):
    with pytest.raises(InvalidArgument) as caught:
        Position.decode(f".{token}", "resume_token")
    assert caught.value.violations[0].field == "resume_token"


@pytest.mark.parametrize("token", ["", "MQ", "LTEuMQ", "MS4y.", "MTg0NDY3NDQwNzM3MDk1NTE2MTYuMQ", "\ud800"])
def test_tokens_that_are_none(token: str):
    with pytest.raises(InvalidArgument):
        Position.decode(token)
