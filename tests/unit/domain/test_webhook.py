"""Calls to the owner's programs: body and signature, when the next try is, when an endpoint is paused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from flute_server.domain import webhook
from flute_server.domain.webhook import WELL, Answer, Standing, Told

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TAKEN = Answer(200, "ok")
BROKEN = Answer(500, "no")

answers = st.builds(
    Answer,
    st.sampled_from([0, 200, 204, 301, 404, 410, 429, 500, 503]),
    st.text(max_size=20),
    st.none() | st.floats(-10, 1e9),
)
draws = st.floats(0, 1, exclude_max=True)


def told(**fields: object) -> Told:
    base = {
        "id": "evt_1",
        "type": "delivered",
        "time": NOW,
        "email_id": "e",
        "environment_id": "v",
        "recipient": "ada@example.com",
        "provider_account": "sendgrid",
        "text": "fine",
        "subject": "Grüße",
    }
    return Told(**{**base, **fields})  # type: ignore[arg-type]


@given(st.text(), st.text(), st.binary(min_size=24, max_size=64), st.binary(min_size=24, max_size=64))
def test_the_public_library_accepts_either_secret(subject: str, text: str, key: bytes, other: bytes):
    content = webhook.body(told(subject=subject, text=text))
    now = datetime.now(UTC)
    secrets = [webhook.secret_words(key), webhook.secret_words(other)]
    headers = webhook.headers(secrets, "evt_1", now, content)
    for secret in secrets:
        assert Webhook(secret).verify(content, headers)["data"]["id"] == "evt_1"


def test_the_body_has_the_events_own_time_in_utc():
    content = json.loads(webhook.body(told()))
    assert content["type"] == "delivered"
    assert content["timestamp"] == "2026-11-22T12:00:00.000000Z"
    assert content["data"]["subject"] == "Grüße"


def test_tries_go_on_for_about_a_day_and_then_end():
    tries = [webhook.next_try(n, BROKEN, NOW, 0.5) for n in range(1, 12)]
    assert tries[-1] is None
    waits = [due - NOW for due in tries if due]
    assert waits[0] == timedelta(seconds=5)
    assert timedelta(hours=23) < sum(waits, timedelta()) < timedelta(hours=25)


@given(st.integers(1, 30), answers, draws)
def test_the_next_try_is_later_and_bounded(tries: int, answer: Answer, draw: float):
    due = webhook.next_try(tries, answer, NOW, draw)
    if tries > len(webhook.WAITS_S):
        assert due is None
        return
    assert due is not None
    wait = (due - NOW).total_seconds()
    base = webhook.WAITS_S[tries - 1]
    assert base * 0.8 - 0.001 <= wait <= max(base * 1.2, 3600) + 0.001


@pytest.mark.parametrize(("status", "wait"), [(429, 600), (503, 600), (500, 5)])
def test_retry_after_is_honoured_where_it_means_something(status: int, wait: int):
    due = webhook.next_try(1, Answer(status, "", 600.0), NOW, 0.5)
    assert due == NOW + timedelta(seconds=wait)


def test_a_busy_endpoint_is_left_alone_for_as_long_as_it_asks():
    assert webhook.after(WELL, Answer(429, "", 60.0), NOW, 0.5).retry_time == NOW + timedelta(seconds=60)


@given(st.lists(st.tuples(answers, draws, st.integers(0, 7200)), max_size=40))
def test_a_standing_is_what_the_calls_since_the_last_success_made_it(
    calls: list[tuple[Answer, float, int]],
):
    standing, now = WELL, NOW
    failing: list[datetime] = []
    for answer, draw, seconds in calls:
        now += timedelta(seconds=seconds)
        standing = webhook.after(standing, answer, now, draw)
        failing = [] if answer.taken else [*failing, now]
        assert standing.failures == len(failing)
        assert standing.failing_since == (failing[0] if failing else None)
        assert standing.failures >= webhook.FAILURES_TO_PROBE or not standing.retry_time or failing
        why = webhook.why_paused(standing, answer, now)
        if answer.taken:
            assert standing == WELL
            assert not why
        elif answer.status != 410:
            long = now - failing[0] >= webhook.PAUSE_AFTER
            assert bool(why) == (long and len(failing) >= webhook.FAILURES_TO_PROBE)
        if standing.retry_time and failing[-1:] == [now]:
            assert standing.retry_time <= now + timedelta(hours=1, seconds=1)


def test_after_five_failures_in_a_row_calls_become_rare():
    standing = WELL
    for _ in range(webhook.FAILURES_TO_PROBE - 1):
        standing = webhook.after(standing, BROKEN, NOW, 0.5)
        assert standing.retry_time is None
    pauses = []
    for _ in range(12):
        standing = webhook.after(Standing(standing.failures, NOW), BROKEN, NOW, 0.5)
        assert standing.retry_time
        pauses.append((standing.retry_time - NOW).total_seconds())
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == webhook.LONGEST_PAUSE_S


def test_who_is_gone_is_paused_at_once_and_says_why():
    standing = webhook.after(WELL, Answer(410, ""), NOW, 0.5)
    assert "410" in webhook.why_paused(standing, Answer(410, ""), NOW)


def test_a_long_failure_is_told_with_its_last_reason():
    standing = Standing(9, NOW - timedelta(hours=25))
    why = webhook.why_paused(standing, Answer(0, "cannot connect"), NOW)
    assert "cannot connect" in why
    assert "21 Nov 2026" in why
