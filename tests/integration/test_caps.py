"""The caps of routes over a real Valkey."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from redis import Redis

from flute_server.app import create_app
from flute_server.config import Config
from flute_server.local.embedded import Services
from flute_server.sending import caps
from flute_server.sending.caps import Meter
from flute_server.sending.routing import RouteNow


@pytest.fixture
def app(services: Services) -> Iterator[Flask]:
    config = Config(services.database_url, services.redis_url, (), "")
    app = create_app(config)
    with app.app_context():
        yield app


def capped(per_second: int | None = None, per_day: int | None = None) -> RouteNow:
    """A route of its own with these caps."""
    account = uuid.uuid4()
    return RouteNow(uuid.uuid4(), account, 1, "sendgrid", "p", b"", 1, 1, False, per_second, per_day)


def test_a_route_without_a_cap_asks_nobody(caplog: pytest.LogCaptureFixture):
    redis_is_away = Meter("redis://127.0.0.1:1/0")
    with caplog.at_level(logging.WARNING):
        assert redis_is_away.take(capped(), 1) is None
    assert caplog.records == []


def test_a_cap_per_second_holds_over_many_workers(services: Services):
    route = capped(per_second=20)
    meter = Meter(services.redis_url)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: meter.take(route, 1), range(60)))
    assert found.count(None) == 20
    waits = sorted(full.wait_s for full in found if full)
    assert 0.5 < waits[0] <= 1.05
    # Each has a place of its own, so that they come back at the speed of the cap.
    assert 1.7 < waits[-1] - waits[0] < 2.1
    assert found[-1]
    assert found[-1].reason == "at its cap of 20 mails a second"


def test_a_cap_per_day_counts_recipients(services: Services):
    route = capped(per_day=10)
    meter = Meter(services.redis_url)
    assert meter.take(route, 7) is None
    full = meter.take(route, 4)
    assert full
    assert full.reason == "at its cap of 10 mails a day"
    assert 0 < full.wait_s <= 86400
    assert meter.take(route, 3) is None
    assert meter.take(route, 1)


def test_a_mail_with_more_recipients_than_the_cap_goes_alone(services: Services):
    route = capped(per_second=5)
    meter = Meter(services.redis_url)
    assert meter.take(route, 12) is None
    assert meter.take(route, 1)


def test_the_window_slides(services: Services):
    route = capped(per_second=5)
    meter = Meter(services.redis_url)
    assert [meter.take(route, 1) for _ in range(5)] == [None] * 5
    assert meter.take(route, 1)
    redis = Redis.from_url(services.redis_url)
    window = f"flute:cap:{{{route.id}}}:second"
    # As if a second had passed for three of them.
    for index in range(3):
        redis.lset(window, index, str(int(redis.lindex(window, index) or 0) - 1000))
    redis.close()
    assert [meter.take(route, 1) for _ in range(3)] == [None] * 3
    assert meter.take(route, 1)


def test_without_redis_mail_goes_through_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
):
    meter = Meter("redis://127.0.0.1:1/0")
    route = capped(per_second=1)
    with caplog.at_level(logging.WARNING):
        assert [meter.take(route, 1) for _ in range(5)] == [None] * 5
    assert len(caplog.records) == 1
    assert "Redis does not answer" in caplog.text


def test_the_meter_of_the_process_is_that_of_the_settings(app: Flask):
    route = capped(per_day=1)
    assert caps.take(route, 1) is None
    assert caps.take(route, 1)
