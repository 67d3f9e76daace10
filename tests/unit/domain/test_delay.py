"""The usual delay: learned quickly, moved slowly, and what is too late."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.delay import (
    FLOOR_S,
    LEARN_ALL,
    LONGEST_S,
    SAMPLE,
    Band,
    learned,
    silence,
    teaches,
    too_many,
)

seconds = st.floats(0, 1e7)


def taught(*times: float) -> Band:
    band = Band()
    for took_s in times:
        band = learned(band, took_s)
    return band


def test_quick_providers_are_given_five_minutes():
    assert taught(*[2.0] * 30).edge_s == FLOOR_S
    assert Band().edge_s == FLOOR_S


def test_slow_domains_are_given_what_they_usually_take():
    band = taught(*[1200.0, 1300.0, 1100.0] * 30)
    assert band.mean_s == pytest.approx(1200, rel=0.1)
    assert 1300 < band.edge_s < 2000


def test_an_outage_does_not_teach_that_hours_are_usual():
    band = taught(*[2.0] * 30, *[36000.0] * 5)
    assert band.edge_s < 3600
    assert taught(*[2.0] * 30, *[36000.0] * 5, *[2.0] * 40).edge_s == FLOOR_S


@given(st.lists(seconds, min_size=1, max_size=50))
def test_stays_within_what_was_seen(times: list[float]):
    band = taught(*times)
    seen = [min(took_s, LONGEST_S) for took_s in times]
    assert min(seen) * 0.999 <= band.mean_s <= max(seen) * 1.001
    assert band.deviation_s >= 0
    assert band.deliveries == len(times)


def test_learns_from_all_at_first_and_then_from_a_sample():
    assert teaches(Band(LEARN_ALL - 1), 0.99)
    known = Band(LEARN_ALL)
    assert sum(teaches(known, step / 100) for step in range(100)) == 100 / SAMPLE


@pytest.mark.parametrize(
    ("overdue", "judged", "expected"),
    [(2, 2, False), (3, 3, True), (3, 6, True), (3, 7, False), (500, 1000, True), (0, 0, False)],
)
def test_a_few_late_mails_are_an_accident(overdue: int, judged: int, expected: bool):
    assert too_many(overdue, judged) is expected


def test_says_what_is_silent_where_and_for_how_long():
    text = silence(3, 4, "outlook.com", 300)
    assert text == "accepted but silent: 3 of 4 mails to outlook.com for more than 0:05:00"
