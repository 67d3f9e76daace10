"""Rate limits and quotas over a real Valkey: the script, what is told of it, and what happens without it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from flute_server.domain.bucket import Bucket, Limit, take
from flute_server.errors import RateLimited
from flute_server.local.embedded import Services
from flute_server.models import Email, Environment, Tally, db
from flute_server.sending.allowances import NOTHING, Allowance, Cost
from flute_server.sending.limits import TAKE, Meter
from flute_server.sending.quota import Month
from flute_server.sending.senders import Sender
from tests.integration.places import Place, fresh_app

# The clock as an argument, to compare with arithmetic that takes the time as an argument, too.
_WITH_CLOCK = "local now = tonumber(table.remove(ARGV))\n" + TAKE
ONE_MAIL = Cost(1, 1, 1)


@pytest.fixture(scope="module")
def redis(services: Services) -> Iterator[Redis]:
    with Redis.from_url(services.redis_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def meter(services: Services) -> Meter:
    return Meter(services.redis_url)


@pytest.fixture(scope="module")
def app(services: Services) -> Iterator[Flask]:
    with fresh_app(services, "limits") as app, app.app_context():
        yield app


def sender(**values: Any) -> Sender:
    """A key of an environment of its own."""
    ids = {name: uuid.uuid4() for name in ("environment_id", "account_id", "key_id")}
    given: dict[str, Any] = {"domain": "a.example", "allow_subdomains": False, "has_routes": True}
    return Sender(**given, **{**ids, **values})


def _of(values: Place, quota: int) -> Sender:
    return sender(environment_id=values.environment_id, monthly_quota=quota)


# Few tokens and short pauses, so that both answers come often; and the largest figures that are allowed.
_limits = st.builds(Limit, st.integers(1, 20), st.integers(1, 30)) | st.builds(
    Limit, st.integers(1, 100_000), st.integers(1, 1_000_000)
)
_steps = st.lists(
    st.tuples(st.integers(-200_000, 2_000_000), st.integers(1, 40), st.integers(1, 40)),
    min_size=1,
    max_size=15,
)


@settings(max_examples=150, deadline=None)
@given(_limits, _limits, _steps)
def test_the_script_does_what_the_arithmetic_says(
    redis: Redis, one: Limit, two: Limit, steps: list[tuple[int, int, int]]
):
    script = redis.register_script(_WITH_CLOCK)
    keys = [f"test:{uuid.uuid4()}:{n}" for n in (1, 2)]
    now, first, second = 1_800_000_000_000_000, Bucket(), Bucket()
    for pause, cost_one, cost_two in steps:
        now += pause
        arguments = [2, one.per_second, one.burst, cost_one, two.per_second, two.burst, cost_two, now]
        answer = script(keys, arguments)
        first_then, standing = take(first, one, cost_one, now)
        second_then, other = take(second, two, cost_two, now)
        assert (answer[1], answer[3]) == (standing.wait_us, other.wait_us)
        if standing.wait_us or other.wait_us:
            continue  # all or nothing
        assert (answer[0], answer[2]) == (standing.missing, other.missing)
        first, second = first_then, second_then
        assert redis.hgetall(keys[0]) == {
            b"missing": str(first.missing).encode(),
            b"time": str(first.time_us).encode(),
        }


def test_who_has_no_limit_asks_nobody(caplog: pytest.LogCaptureFixture):
    away = Meter("redis://127.0.0.1:1/0")
    assert away.take(sender(), ONE_MAIL) is NOTHING
    assert away.take(sender(limit=Limit(1, 1)), Cost()) is NOTHING  # reads are no mail
    assert away.take(sender(monthly_quota=1, test=True), ONE_MAIL) is NOTHING
    assert caplog.records == []


def test_a_key_has_its_burst_and_no_more_however_many_ask_at_once(meter: Meter):
    key = sender(key_limit=Limit(1, 20))
    begin = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: meter.take(key, Cost()), range(60)))
    refused = [taken.error for taken in found if taken.error]
    assert 40 - (time.monotonic() - begin) <= len(refused) <= 40
    assert {error.reason for error in refused} == {"RATE_LIMITED"}
    assert all(0 < error.retry_after_s <= 1 for error in refused)
    assert "the key's rate limit of 1 a second (20 at once)" in refused[0].text
    told = {allowance for taken in found for allowance in taken.allowances}
    assert {(at.name, at.quota, at.window_s) for at in told} == {("key", 20, 20)}
    assert {at.remaining for at in told} == set(range(20))


def test_all_keys_of_an_environment_share_its_limit_for_mail(meter: Meter):
    shared = uuid.uuid4()
    one, two = (sender(environment_id=shared, limit=Limit(1, 10)) for _ in range(2))
    assert meter.take(one, Cost(6, 6, 6)).error is None
    assert meter.take(two, Cost(4, 4, 4)).error is None
    refused = meter.take(two, ONE_MAIL)
    assert refused.error
    assert refused.error.metadata == {"limit": "environment"}
    assert refused.allowances == [Allowance("environment", 10, 10, 0, 10)]


def test_what_one_limit_refuses_costs_the_other_nothing(meter: Meter):
    key = sender(key_limit=Limit(1, 100), limit=Limit(1, 2))
    assert meter.take(key, Cost(2, 2, 2)).error is None
    for _ in range(5):
        assert meter.take(key, ONE_MAIL).error
    assert [at.remaining for at in meter.take(key, Cost()).allowances] == [97]


def test_the_quota_counts_mails_and_gives_back(meter: Meter, app: Flask):
    key = _of(Place.create(), quota=10)
    first = meter.take(key, Cost(7, 7, 7))
    assert first.error is None
    assert (first.allowances[0].name, first.allowances[0].remaining) == ("month", 3)
    refused = meter.take(key, Cost(4, 4, 4))
    assert refused.error
    assert refused.error.reason == "QUOTA_EXCEEDED"
    assert "7 were accepted" in refused.error.text
    begin = datetime.now(UTC).replace(day=1)
    after = (begin + timedelta(days=31)).replace(day=1)
    assert f"{after:%d %b %Y} at 00:00 UTC" in refused.error.text
    assert 0 < refused.error.retry_after_s <= 31 * 86400
    meter.give_back(first, 2)
    assert meter.take(key, Cost(5, 5, 5)).error is None
    assert meter.take(key, ONE_MAIL).error


def test_a_refused_rate_counts_no_mail(meter: Meter, app: Flask):
    key = sender(environment_id=Place.create().environment_id, monthly_quota=10, limit=Limit(1, 1))
    assert meter.take(key, ONE_MAIL).error is None
    assert meter.take(key, ONE_MAIL).error
    assert meter.take(key, ONE_MAIL).allowances[-1].remaining == 9


def test_a_lost_count_begins_with_what_the_database_knows(meter: Meter, app: Flask, redis: Redis):
    place = Place.create()
    now = datetime.now(UTC)
    begin = datetime(now.year, now.month, 1, tzinfo=UTC)
    last_month = begin - timedelta(minutes=1)
    mail = {"environment_id": place.environment_id, "content": {}}
    db.session.add_all([Email(create_time=now, **mail), Email(create_time=now, **mail)])
    db.session.add_all([Email(create_time=last_month, **mail), Email(create_time=now, test=True, **mail)])
    db.session.commit()
    key = _of(place, quota=5)
    assert meter.take(key, ONE_MAIL).allowances[0].remaining == 2
    month = Month(place.environment_id, 5, begin)
    kept = timedelta(seconds=redis.ttl(month.key)) - (month.end - now)
    assert timedelta(0) < kept < timedelta(days=1, minutes=1)
    redis.delete(month.key)
    for start, count in ((last_month, 100), (begin, 3), (begin + timedelta(days=1), 1)):
        what = {"dimension": "all", "grain": "day", "key": "", "type": "emails"}
        db.session.add(Tally(environment_id=place.environment_id, start=start, count=count, **what))
    db.session.commit()
    assert meter.take(key, ONE_MAIL).allowances[0].remaining == 0
    assert meter.take(key, ONE_MAIL).error
    assert db.session.get(Environment, place.environment_id)


def test_months_end_where_the_next_begins():
    ends = [Month(uuid.uuid4(), 1, datetime(2027, month, 1, tzinfo=UTC)).end for month in range(1, 13)]
    assert ends == [datetime(2027, month, 1, tzinfo=UTC) for month in range(2, 13)] + [
        datetime(2028, 1, 1, tzinfo=UTC)
    ]


def _refused(meter: Meter, address: str) -> RateLimited:
    """What the next few are told; a slow machine may have let the bucket gain one."""
    for _ in range(5):
        try:
            meter.stranger(address)
        except RateLimited as error:
            return error
    raise AssertionError(f"{address} is not held up")


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8:1:2::1", "::ffff:198.51.100.9", "nonsense"])
def test_a_flood_of_unknown_tokens_from_one_address_is_held_up(meter: Meter, redis: Redis, address: str):
    for key in redis.scan_iter("flute:stranger:*"):
        redis.delete(key)
    for _ in range(20):
        meter.stranger(address)
    assert 0 < _refused(meter, address).retry_after_s <= 1
    meter.stranger("203.0.113.1")


def test_one_subscriber_of_ipv6_is_one_client(meter: Meter):
    for number in range(20):
        meter.stranger(f"2001:db8:77:88::{number:x}")
    _refused(meter, "2001:db8:77:88:1::1")
    meter.stranger("2001:db8:77:89::1")


def test_without_redis_everything_passes_and_the_log_says_so_once(caplog: pytest.LogCaptureFixture):
    away = Meter("redis://127.0.0.1:1/0")
    key = sender(key_limit=Limit(1, 1), limit=Limit(1, 1))
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            away._away_until = 0.0  # as if a while had passed
            assert away.take(key, ONE_MAIL) is NOTHING
            away.stranger("198.51.100.7")
    assert len(caplog.records) == 1
    assert "Redis does not answer" in caplog.text
