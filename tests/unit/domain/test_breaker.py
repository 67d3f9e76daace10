"""The breaker: what opens it, what does not, and how it comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.breaker import (
    FAILURES_TO_OPEN,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Breaker,
    BreakerState,
    after,
    probing,
)
from flute_server.domain.outcome import ErrorKind, Reply

NOW = datetime(2026, 11, 22, tzinfo=UTC)
GOOD = Reply(None)
DOWN = Reply(ErrorKind.UNREACHABLE)


def fed(*replies: Reply, start: Breaker | None = None) -> Breaker:
    breaker = start or Breaker()
    for reply in replies:
        breaker = after(breaker, reply, NOW)
    return breaker


def test_opens_after_failures_in_a_row():
    assert fed(*[DOWN] * (FAILURES_TO_OPEN - 1)).state is BreakerState.CLOSED
    opened = fed(*[DOWN] * FAILURES_TO_OPEN)
    assert opened.state is BreakerState.OPEN
    assert opened.retry_at == NOW + FIRST_PAUSE


def test_a_success_between_starts_the_count_anew():
    assert fed(DOWN, DOWN, GOOD, DOWN, DOWN).state is BreakerState.CLOSED


@pytest.mark.parametrize(
    "kind", [ErrorKind.RECIPIENT, ErrorKind.MESSAGE, ErrorKind.SUPPRESSED, ErrorKind.SENDER]
)
def test_a_refused_mail_never_counts(kind: ErrorKind):
    assert fed(*[Reply(kind)] * 100) == Breaker()


@pytest.mark.parametrize("kind", [ErrorKind.AUTH, ErrorKind.QUOTA, ErrorKind.SUSPENDED, ErrorKind.RATE])
def test_some_answers_speak_for_all_mail(kind: ErrorKind):
    assert fed(Reply(kind)).state is BreakerState.OPEN


def test_rate_limit_waits_as_long_as_asked():
    assert fed(Reply(ErrorKind.RATE, retry_after=30)).retry_at == NOW + timedelta(seconds=30)


def test_a_failed_probe_waits_longer_and_a_good_one_closes():
    probe = probing(fed(*[DOWN] * FAILURES_TO_OPEN), NOW + FIRST_PAUSE)
    assert probe.state is BreakerState.HALF_OPEN
    assert not probe.lets_through(NOW)
    again = after(probe, DOWN, NOW)
    assert again.retry_at == NOW + 2 * FIRST_PAUSE
    assert after(probe, GOOD, NOW) == Breaker()


@given(st.lists(st.sampled_from([None, *ErrorKind]), max_size=60))
def test_never_closed_for_longer_than_the_longest_pause(kinds: list[ErrorKind | None]):
    breaker = Breaker()
    for kind in kinds:
        breaker = after(breaker, Reply(kind, retry_after=10**6), NOW)
        if breaker.state is not BreakerState.CLOSED:
            assert breaker.retry_at is not None
            assert breaker.retry_at - NOW <= LONGEST_PAUSE
