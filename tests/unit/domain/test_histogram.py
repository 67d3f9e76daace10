"""Buckets of durations."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.histogram import BOUNDS_US, LONGEST, SHORTEST, bucket, middle, percentiles

durations = st.timedeltas(min_value=SHORTEST, max_value=LONGEST)


@given(durations)
def test_a_bucket_tells_a_duration_to_within_a_tenth(duration: timedelta):
    assert abs(middle(bucket(duration)) - duration) <= 0.1 * duration


@given(st.lists(durations, min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_that_of_the_durations_to_within_a_tenth(taken: list[timedelta], share: float):
    exact = sorted(taken)[ceil(share * len(taken)) - 1]
    [told] = percentiles(Counter(map(bucket, taken)), [share])
    assert abs(told - exact) <= 0.1 * exact


@given(durations, durations)
def test_buckets_are_in_the_order_of_durations(one: timedelta, other: timedelta):
    shorter, longer = sorted([one, other])
    assert bucket(shorter) <= bucket(longer)
    assert middle(bucket(shorter)) <= middle(bucket(longer))


@given(st.timedeltas())
def test_any_duration_has_a_bucket_that_tells_no_more_than_the_limits(duration: timedelta):
    assert SHORTEST <= middle(bucket(duration)) <= LONGEST


def test_bounds_grow_so_that_each_bucket_has_something():
    assert all(low < high <= 1.2 * low for low, high in pairwise(BOUNDS_US))
    assert len(BOUNDS_US) < 130
