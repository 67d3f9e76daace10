"""Route planning: order, reasons, what is never chosen, and how long to wait."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.breaker import Breaker, BreakerState
from flute_server.domain.route import (
    Candidate,
    Judged,
    Use,
    full,
    hopeless,
    judge,
    outrun,
    plan,
    usable,
    wait,
)

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
REST = NOW + timedelta(seconds=60)


def ill(seconds: float | None, state: BreakerState = BreakerState.OPEN, failures: int = 3) -> Breaker:
    retry_at = None if seconds is None else NOW + timedelta(seconds=seconds)
    return Breaker(state, failures, 1, retry_at, "server: 500")


OPEN, DUE, REVOKED = ill(9), ill(-1), ill(None)
SLOWED = ill(4, BreakerState.CLOSED, failures=0)
PROBED = ill(60, BreakerState.HALF_OPEN)
LATE = ill(9, failures=0)
UNUSABLE = (OPEN, REVOKED, SLOWED, PROBED)

candidates = st.lists(
    st.builds(
        Candidate,
        account=st.uuids(),
        name=st.just("x"),
        position=st.integers(1, 4),
        weight=st.integers(1, 1000),
        disabled=st.booleans(),
        paused=st.booleans(),
        tried=st.booleans(),
        authenticated=st.booleans(),
        breaker=st.sampled_from([Breaker(), DUE, *UNUSABLE]),
        troubles=st.dictionaries(st.just("outlook.com"), st.sampled_from([OPEN, DUE, PROBED, LATE])),
        objections=st.sampled_from([(), ("too big",)]),
    ),
    max_size=8,
)
draws = st.floats(0, 1, exclude_max=True)


def one(**fields: object) -> Judged:
    return judge(replace(Candidate(A, "a", 1), **fields), NOW)  # type: ignore[arg-type]  # by name


@given(candidates, draws)
def test_every_route_is_judged_once_in_the_order_of_position(routes: list[Candidate], draw: float):
    judged = plan(routes, NOW, draw)
    assert Counter(item.candidate.account for item in judged) == Counter(c.account for c in routes)
    positions = [item.candidate.position for item in judged]
    assert positions == sorted(positions)
    assert all(item.reason for item in judged)


@given(candidates, draws)
def test_what_is_tried_disabled_ill_or_unfit_is_not_used(routes: list[Candidate], draw: float):
    judged = plan(routes, NOW, draw)
    usable_accounts = [item.candidate.account for item in usable(judged)]
    for item in judged:
        route = item.candidate
        unfit = route.tried or route.off or route.objections or not route.authenticated
        out = route.breaker in UNUSABLE or any(it in (OPEN, PROBED) for it in route.troubles.values())
        assert (route.account in usable_accounts) == (not unfit and not out)


@given(candidates, draws)
def test_nothing_is_probed_that_is_not_due(routes: list[Candidate], draw: float):
    for item in plan(routes, NOW, draw):
        known = {"": item.candidate.breaker, **item.candidate.troubles}
        assert all(known[domain] == DUE for domain in item.probes)
        assert item.use is not Use.YES or not item.probes


@given(candidates, draws)
def test_a_wait_is_never_longer_than_the_back_off(routes: list[Candidate], draw: float):
    found = wait(plan(routes, NOW, draw), REST)
    assert NOW < found.until <= REST
    assert found.new_round


def test_equals_share_by_weight():
    routes = [Candidate(A, "a", 1, weight=3), Candidate(B, "b", 1, weight=1)]
    firsts = Counter(plan(routes, NOW, step / 100)[0].candidate.account for step in range(100))
    assert firsts == {A: 75, B: 25}


def test_a_failing_route_is_probed_once_its_pause_is_over():
    item = one(breaker=DUE)
    assert (item.use, item.probes) == (Use.PROBE, ("",))
    lost = outrun(item)
    assert (lost.use, lost.probes) == (Use.LATER, ())
    assert lost.reason == "failing (server: 500); another mail is probing it"


def test_a_route_may_need_two_probes():
    item = one(breaker=DUE, troubles={"outlook.com": DUE})
    assert (item.use, item.probes) == (Use.PROBE, ("", "outlook.com"))
    assert one(breaker=DUE, troubles={"outlook.com": OPEN}).use is Use.LATER


def test_reasons_name_the_domain_and_the_time():
    assert one(breaker=OPEN).reason == "failing (server: 500), tried again in 9 seconds"
    assert one(breaker=REVOKED).reason == "failing until somebody acts (server: 500)"
    assert one(breaker=SLOWED).reason == "asks to slow down (server: 500), used again in 4 seconds"
    assert one(breaker=PROBED).reason == "failing (server: 500); another mail is probing it"
    blocked = one(troubles={"outlook.com": OPEN})
    assert blocked.reason == "blocked at outlook.com: server: 500, tried again in 9 seconds"
    assert one(troubles={"outlook.com": LATE}).reason.startswith("late at outlook.com: ")


def test_a_route_that_is_only_late_is_better_than_none():
    late = Candidate(A, "a", 1, troubles={"outlook.com": LATE})
    other = Candidate(B, "b", 2)
    assert [item.candidate.name for item in usable(plan([late, other], NOW, 0))] == ["b", "a"]
    gone = replace(other, breaker=OPEN)
    assert [item.candidate.name for item in usable(plan([late, gone], NOW, 0))] == ["a"]


def test_waiting_is_no_use_when_nobody_can_carry_the_mail():
    unfit = Candidate(A, "a", 1, objections=("too big",))
    unsigned = Candidate(C, "c", 1, authenticated=False)
    assert hopeless(plan([unfit, unsigned], NOW, 0))
    assert not hopeless(plan([unfit, Candidate(B, "b", 2, breaker=OPEN)], NOW, 0))
    assert not hopeless(plan([], NOW, 0))


def test_waits_no_longer_than_until_the_first_route_opens():
    routes = [Candidate(A, "a", 1, breaker=OPEN), Candidate(B, "b", 2, tried=True)]
    assert wait(plan(routes, NOW, 0), REST).until == OPEN.retry_at
    assert (
        wait(plan([Candidate(A, "a", 1, tried=True, breaker=SLOWED)], NOW, 0), REST).until == SLOWED.retry_at
    )
    assert wait(plan([Candidate(A, "a", 1, breaker=REVOKED)], NOW, 0), REST).until == REST


def test_room_under_a_cap_is_no_new_round():
    [healthy] = plan([Candidate(A, "a", 1)], NOW, 0)
    soon, tomorrow = NOW + timedelta(seconds=1), NOW + timedelta(days=1)
    [tried] = plan([Candidate(B, "b", 2, tried=True)], NOW, 0)
    found = wait([full(healthy, "at its cap", soon), tried], REST)
    assert (found.until, found.new_round) == (soon, False)
    found = wait([full(healthy, "at its cap", tomorrow)], REST)
    assert (found.until, found.new_round) == (tomorrow, False)
    found = wait([full(healthy, "at its cap", tomorrow), tried], REST)
    assert (found.until, found.new_round) == (REST, True)
