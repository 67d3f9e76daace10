"""Route planning: order, reasons, and what is never chosen."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.breaker import Breaker, BreakerState
from flute_server.domain.route import Candidate, Use, hopeless, plan

A, B = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
OPEN = Breaker(BreakerState.OPEN, 3, 1, NOW + timedelta(seconds=9), "server: 500")
DUE = Breaker(BreakerState.OPEN, 3, 1, NOW - timedelta(seconds=1), "server: 500")

candidates = st.lists(
    st.builds(
        Candidate,
        account=st.uuids(),
        name=st.just("x"),
        position=st.integers(1, 4),
        weight=st.integers(1, 1000),
        disabled=st.booleans(),
        tried=st.booleans(),
        breaker=st.sampled_from([Breaker(), OPEN, DUE]),
        objections=st.sampled_from([(), ("too big",)]),
    ),
    max_size=8,
)
draws = st.floats(0, 1, exclude_max=True)


@given(candidates, draws)
def test_every_route_is_judged_once_in_the_order_of_position(routes: list[Candidate], draw: float):
    judged = plan(routes, NOW, draw)
    assert Counter(item.candidate.account for item in judged) == Counter(c.account for c in routes)
    positions = [item.candidate.position for item in judged]
    assert positions == sorted(positions)
    assert all(item.reason for item in judged)


@given(candidates, draws)
def test_what_is_tried_disabled_open_or_unfit_is_not_used(routes: list[Candidate], draw: float):
    for item in plan(routes, NOW, draw):
        route = item.candidate
        unfit = route.tried or route.disabled or bool(route.objections) or route.breaker == OPEN
        assert (item.use in {Use.YES, Use.PROBE}) == (not unfit)


def test_equals_share_by_weight():
    routes = [Candidate(A, "a", 1, weight=3), Candidate(B, "b", 1, weight=1)]
    firsts = Counter(plan(routes, NOW, step / 100)[0].candidate.account for step in range(100))
    assert firsts == {A: 75, B: 25}


def test_a_failing_route_is_probed_once_its_pause_is_over():
    [item] = plan([Candidate(A, "a", 1, breaker=DUE)], NOW, 0)
    assert item.use is Use.PROBE


def test_waiting_is_no_use_when_nobody_can_carry_the_mail():
    unfit = Candidate(A, "a", 1, objections=("too big",))
    assert hopeless(plan([unfit], NOW, 0))
    assert not hopeless(plan([unfit, Candidate(B, "b", 2, breaker=OPEN)], NOW, 0))
    assert not hopeless(plan([], NOW, 0))
