"""The breaker: what opens it, what does not, and how it comes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.breaker import (
    ACCOUNT,
    DOMAIN,
    LONGEST_SLOWDOWN,
    SLOW_S,
    SPREAD_PAUSE,
    Breaker,
    BreakerState,
    after,
    bounced,
    delivered,
    gravest,
    probing,
    silent,
    spread,
    undecided,
    unheard,
)
from flute_server.domain.outcome import ErrorKind, Reply

NOW = datetime(2026, 11, 22, tzinfo=UTC)
GOOD = Reply(None)
DOWN = Reply(ErrorKind.UNREACHABLE)
RATE = Reply(ErrorKind.RATE)
HOUR = timedelta(hours=1)
CERTAIN = [ErrorKind.AUTH, ErrorKind.QUOTA, ErrorKind.SUSPENDED]
ABOUT_A_MAIL = [
    ErrorKind.RECIPIENT,
    ErrorKind.MESSAGE,
    ErrorKind.SUPPRESSED,
    ErrorKind.SENDER,
    ErrorKind.REQUEST,
    ErrorKind.TOO_LARGE,
    ErrorKind.TEMPORARY,
]


def fed(*replies: Reply, start: Breaker | None = None, now: datetime = NOW) -> Breaker:
    breaker = start or Breaker()
    for reply in replies:
        breaker = after(breaker, reply, now)
    return breaker


def blocked(bounces: int = DOMAIN.failures_to_open) -> Breaker:
    breaker = Breaker()
    for _ in range(bounces):
        breaker = bounced(breaker, "550 blocked", NOW)
    return breaker


OPENED = fed(*[DOWN] * ACCOUNT.failures_to_open)


def test_opens_after_failures_in_a_row():
    assert fed(*[DOWN] * (ACCOUNT.failures_to_open - 1)).closed
    assert OPENED.state is BreakerState.OPEN
    assert OPENED.retry_at == NOW + ACCOUNT.first_pause


def test_a_success_between_starts_the_count_anew():
    assert fed(DOWN, DOWN, GOOD, DOWN, DOWN).closed


def test_a_slow_call_counts_as_a_failure_though_the_mail_was_taken():
    breaker = Breaker()
    for _ in range(ACCOUNT.failures_to_open):
        breaker = after(breaker, GOOD, NOW, SLOW_S + 1)
    assert breaker.state is BreakerState.OPEN
    assert "a call took 11 s" in breaker.reason
    assert after(Breaker(), GOOD, NOW, SLOW_S) == Breaker()


@pytest.mark.parametrize("kind", ABOUT_A_MAIL)
def test_a_refused_mail_never_counts(kind: ErrorKind):
    assert fed(*[Reply(kind)] * 100) == Breaker()


@pytest.mark.parametrize("kind", CERTAIN)
def test_credentials_and_billing_wait_for_a_person(kind: ErrorKind):
    breaker = fed(Reply(kind))
    assert breaker.needs_person
    assert not breaker.may_probe(NOW + 100 * HOUR)
    assert fed(GOOD, RATE, DOWN, start=breaker) == breaker


@pytest.mark.parametrize(
    "breaker", [Breaker(failures=2), OPENED, replace(OPENED, state=BreakerState.HALF_OPEN)]
)
def test_a_call_that_was_never_made_says_nothing(breaker: Breaker):
    assert fed(Reply(ErrorKind.UNCALLED), start=breaker) == breaker


def test_stragglers_say_nothing_new_but_a_success_proves_life():
    assert fed(DOWN, DOWN, start=OPENED, now=NOW + HOUR) == OPENED
    assert fed(RATE, start=OPENED) == OPENED
    assert fed(GOOD, start=OPENED) == Breaker()


def test_a_failed_probe_waits_longer_and_a_good_one_closes():
    probe = probing(OPENED, NOW + ACCOUNT.first_pause)
    assert probe.state is BreakerState.HALF_OPEN
    assert not probe.lets_through(NOW)
    assert fed(DOWN, start=probe).retry_at == NOW + 2 * ACCOUNT.first_pause
    assert fed(GOOD, start=probe) == Breaker()
    assert fed(RATE, start=probe).closed


def test_only_one_probe_until_its_lease_is_over():
    assert OPENED.may_probe(NOW + ACCOUNT.first_pause)
    probe = probing(OPENED, NOW)
    assert not probe.may_probe(NOW + ACCOUNT.probe_lease - timedelta(seconds=1))
    assert probe.may_probe(NOW + ACCOUNT.probe_lease)


def test_a_rate_limit_slows_down_and_is_then_simply_used_again():
    breaker = fed(RATE)
    assert breaker.closed
    assert not breaker.lets_through(NOW)
    assert not breaker.may_probe(NOW + HOUR)
    assert breaker.lets_through(NOW + timedelta(seconds=1))


def test_a_rate_limit_waits_as_long_as_asked():
    assert fed(Reply(ErrorKind.RATE, retry_after=30)).retry_at == NOW + timedelta(seconds=30)


def test_answers_to_calls_from_before_a_slowdown_do_not_lengthen_it():
    assert fed(*[RATE] * 30).retry_at == NOW + timedelta(seconds=1)
    assert fed(RATE, GOOD, GOOD).retry_at == NOW + timedelta(seconds=1)
    longer = fed(RATE, Reply(ErrorKind.RATE, retry_after=20))
    assert longer.retry_at == NOW + timedelta(seconds=20)


def test_repeated_rate_limits_double_the_pause_and_successes_halve_it():
    breaker, now, pauses = Breaker(), NOW, []
    for _ in range(9):
        breaker = after(breaker, RATE, now)
        assert breaker.retry_at is not None
        pauses.append(int((breaker.retry_at - now).total_seconds()))
        now = breaker.retry_at
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert pauses[-1] == LONGEST_SLOWDOWN.total_seconds()
    assert fed(*[GOOD] * 8, RATE, start=breaker, now=now).retry_at == now + timedelta(seconds=2)
    assert fed(*[GOOD] * 9, start=breaker, now=now) == Breaker()


def test_one_call_counts_once_however_many_recipients_it_carried():
    assert gravest([DOWN, DOWN, DOWN]) == DOWN
    assert gravest([DOWN, Reply(ErrorKind.RECIPIENT)]).kind is ErrorKind.RECIPIENT
    assert gravest([GOOD, DOWN]) == GOOD
    assert gravest([GOOD, RATE, Reply(ErrorKind.AUTH)]).kind is ErrorKind.AUTH


def test_bounces_in_a_row_open_a_domain():
    assert blocked(DOMAIN.failures_to_open - 1).closed
    assert blocked().retry_at == NOW + DOMAIN.first_pause
    assert not blocked().only_late
    assert delivered(blocked(2), NOW) == Breaker()


def test_a_domains_probe_is_decided_by_what_is_told_later():
    probe = probing(blocked(), NOW, DOMAIN)
    assert probe.retry_at == NOW + timedelta(minutes=10)
    again = bounced(probe, "550 still blocked", NOW)
    assert again.retry_at == NOW + 2 * DOMAIN.first_pause
    assert delivered(probe, NOW) == Breaker(retry_at=NOW)
    assert undecided(probe, NOW).retry_at == NOW + DOMAIN.first_pause
    assert undecided(Breaker(), NOW) == Breaker()


def test_a_late_delivery_makes_an_open_domain_be_probed_at_once():
    found = delivered(blocked(), NOW)
    assert found.state is BreakerState.OPEN
    assert found.may_probe(NOW)


def test_no_news_of_a_probe_is_good_news_where_no_deliveries_are_told():
    probe = probing(blocked(), NOW, DOMAIN)
    assert unheard(probe, NOW) == probe
    later = NOW + DOMAIN.probe_lease
    again = unheard(probe, later)
    assert again.lets_through(later)
    assert bounced(again, "550 blocked", later).retry_at == later + 2 * DOMAIN.first_pause


def test_silence_is_told_from_blocking():
    late = silent(Breaker(), "3 of 3 overdue", NOW)
    assert late.only_late
    assert silent(late, "4 of 4 overdue", NOW) == late
    assert not bounced(late, "550 blocked", NOW).only_late
    assert not OPENED.only_late


def test_an_account_that_is_blocked_at_many_domains_opens_as_a_whole():
    assert spread(Breaker(), ["a.example", "b.example"], NOW) == Breaker()
    found = spread(Breaker(), ["d.example", "b.example", "c.example", "a.example"], NOW)
    assert found.retry_at == NOW + SPREAD_PAUSE
    assert found.reason == "blocked at 4 receiving domains (a.example, b.example, c.example, ...)"
    assert spread(OPENED, ["a", "b", "c"], NOW) == OPENED


ANSWERS = st.sampled_from([None, *ErrorKind])


@given(st.lists(st.tuples(ANSWERS, st.floats(0, 20), st.floats(0, 1e5)), max_size=60))
def test_an_account_is_never_left_alone_for_longer_than_allowed(
    told: list[tuple[ErrorKind | None, float, float]],
):
    breaker, now = Breaker(), NOW
    for kind, took_s, passed in told:
        now += timedelta(seconds=passed)
        if breaker.may_probe(now):
            breaker = probing(breaker, now)
        breaker = after(breaker, Reply(kind, retry_after=1e6), now, took_s)
        assert breaker.needs_person or (breaker.retry_at or now) - now <= max(ACCOUNT.longest_pause, HOUR)
        if kind in CERTAIN:
            assert breaker.needs_person


DOMAIN_FACTS = st.sampled_from(["bounced", "silent", "delivered", "undecided", "unheard", "probe"])


@given(st.lists(st.tuples(DOMAIN_FACTS, st.floats(0, 1e5)), max_size=60))
def test_a_domain_always_comes_back_by_itself(facts: list[tuple[str, float]]):
    breaker, now = Breaker(), NOW
    steps = {
        "bounced": lambda: bounced(breaker, "550", now),
        "silent": lambda: silent(breaker, "late", now),
        "delivered": lambda: delivered(breaker, now),
        "undecided": lambda: undecided(breaker, now),
        "unheard": lambda: unheard(breaker, now),
        "probe": lambda: probing(breaker, now, DOMAIN) if breaker.may_probe(now) else breaker,
    }
    for fact, passed in facts:
        now += timedelta(seconds=passed)
        breaker = steps[fact]()
        assert not breaker.needs_person
        assert breaker.closed or breaker.may_probe(now + DOMAIN.longest_pause)
        if fact == "delivered":
            assert breaker.lets_through(now) or breaker.may_probe(now)
