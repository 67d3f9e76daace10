"""Failover drills: which mails they concern, and what that means for the choice of a route."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.breaker import Breaker, BreakerState
from flute_server.domain.drill import Drill, clock
from flute_server.domain.route import Candidate, Use, diverted, judge, plan, usable, wait
from tests.unit.domain.test_route import candidates, draws

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
END = NOW + timedelta(minutes=5)
A, B = UUID(int=1), UUID(int=2)
DRILL = Drill(UUID(int=7), END)


def test_a_share_is_kept_by_and_large():
    mails = [UUID(int=n) for n in range(4000)]
    for share in (1, 30, 99):
        drill = Drill(UUID(int=7), END, share)
        assert abs(sum(map(drill.concerns, mails)) / 40 - share) < 3
    assert all(map(DRILL.concerns, mails))


@given(st.uuids(), st.uuids(), st.integers(1, 99))
def test_a_mail_is_treated_alike_each_time_and_by_any_larger_share(drill: UUID, mail: UUID, share: int):
    concerned = Drill(drill, END, share).concerns(mail)
    assert Drill(drill, END + timedelta(hours=1), share).concerns(mail) == concerned
    assert not concerned or Drill(drill, END, share + 1).concerns(mail)


def test_another_drill_takes_another_lot():
    mails = [UUID(int=n) for n in range(200)]
    lots = [[mail for mail in mails if Drill(UUID(int=n), END, 50).concerns(mail)] for n in range(2)]
    assert lots[0] != lots[1]


@given(candidates, draws, st.integers(0, 7), st.sampled_from([DRILL, Drill(UUID(int=8), NOW)]))
def test_a_drill_changes_nothing_but_the_use_of_its_account(
    routes: list[Candidate], draw: float, which: int, drill: Drill
):
    before = plan(routes, NOW, draw)
    drilled = {c.account for n, c in enumerate(routes) if n == which}
    for candidate in routes:
        if candidate.account in drilled:
            object.__setattr__(candidate, "drill", drill)
    after = plan(routes, NOW, draw)
    for was, item in zip(before, after, strict=True):
        if item.candidate.account in drilled and drill is DRILL and was in usable(before):
            assert (item.use, item.reason) == (Use.LATER, "failover drill until 13:05 UTC")
            assert (item.but_for_drill, item.probes, item.reopens) == (was.use, (), END)
        else:
            assert (item.use, item.reason, item.probes) == (was.use, was.reason, was.probes)


@given(candidates, draws, st.sets(st.integers(0, 7)))
def test_diverted_is_what_would_have_gone_through_the_account(
    routes: list[Candidate], draw: float, which: set[int]
):
    without = usable(plan(routes, NOW, draw))
    drilled = {c.account for n, c in enumerate(routes) if n in which}
    for candidate in routes:
        if candidate.account in drilled:
            object.__setattr__(candidate, "drill", DRILL)
    judged = plan(routes, NOW, draw)
    chosen = next((item.candidate.account for item in usable(judged)), None)
    first = without[0].candidate.account if without else None
    assert diverted(judged, chosen) == (DRILL.id if first in drilled else None)


def test_it_is_over_at_its_end():
    assert judge(Candidate(A, "a", 1, drill=DRILL), END - timedelta(microseconds=1)).use is Use.LATER
    assert judge(Candidate(A, "a", 1, drill=DRILL), END).use is Use.YES


def test_a_probe_waits_for_the_end_too():
    due = Breaker(BreakerState.OPEN, 3, 1, NOW, "server: 500")
    found = judge(Candidate(A, "a", 1, breaker=due, drill=DRILL), NOW)
    assert (found.use, found.probes) == (Use.LATER, ())


def test_mail_that_nobody_else_can_take_waits_for_the_end():
    judged = plan([Candidate(A, "a", 1, drill=DRILL), Candidate(B, "b", 2, objections=("too big",))], NOW, 0)
    assert wait(judged, NOW + timedelta(hours=1)).until == END


def test_the_end_is_told_with_its_day_where_that_is_another():
    assert clock(END, NOW) == "13:05 UTC"
    assert clock(END + timedelta(days=1), NOW) == "2026-11-23 13:05 UTC"
