"""Token buckets: never more than the limit in any span of time, and no wait longer than needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.bucket import TOKEN, Bucket, Limit, Standing, take

SECOND = 1_000_000

limits = st.builds(Limit, st.integers(1, 100_000), st.integers(1, 1_000_000))
steps = st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(1, 50)), max_size=60)


@given(limits, steps)
def test_no_span_of_time_has_more_than_burst_and_rate_allow(limit: Limit, steps: list[tuple[int, int]]):
    bucket, now, passed = Bucket(), 0, []
    for pause, wanted in steps:
        now += pause
        cost = min(wanted, limit.burst)
        bucket, standing = take(bucket, limit, cost, now)
        if not standing.wait_us:
            passed.append((now, cost))
    for first in range(len(passed)):
        taken = 0
        for time, cost in passed[first:]:
            taken += cost
            assert taken * SECOND <= limit.burst * SECOND + (time - passed[first][0]) * limit.per_second


@given(limits, st.integers(0, 10**12), st.integers(1, 2_000_000), st.integers(0, 10**15))
def test_the_wait_is_exact(limit: Limit, missing: int, cost: int, now: int):
    bucket, refused = take(Bucket(missing, now), limit, cost, now)
    if not refused.wait_us:
        assert bucket.missing == missing + cost * TOKEN
        return
    assert bucket == Bucket(missing, now)
    too_early, in_time = now + refused.wait_us - 1, now + refused.wait_us
    assert take(bucket, limit, cost, too_early)[1].wait_us == 1
    assert take(bucket, limit, cost, in_time)[1].wait_us == 0


def test_after_a_pause_the_burst_is_there_again_and_not_more():
    limit = Limit(per_second=2, burst=3)
    bucket = Bucket()
    for remaining in (2, 1, 0):
        bucket, standing = take(bucket, limit, 1, 0)
        assert standing.remaining == remaining
    assert standing.full_in_s == 2  # 1.5 s, rounded up
    assert take(bucket, limit, 1, 0)[1].wait_us == SECOND // 2
    assert take(bucket, limit, 4, 3600 * SECOND)[1].wait_us == 0


def test_more_than_the_burst_waits_for_a_full_bucket_and_leaves_a_debt():
    limit = Limit(per_second=10, burst=10)
    bucket, standing = take(Bucket(1 * TOKEN, 0), limit, 100, 0)
    assert standing.wait_us == SECOND // 10
    bucket, standing = take(bucket, limit, 100, standing.wait_us)
    assert standing == Standing(limit, 100 * TOKEN)
    assert standing.remaining == 0
    assert take(bucket, limit, 1, SECOND // 10)[1].wait_us == 91 * SECOND // 10


def test_a_clock_that_goes_back_fills_nothing_and_locks_nobody_out():
    limit = Limit(per_second=1, burst=2)
    bucket, _ = take(Bucket(), limit, 2, 100 * SECOND)
    assert take(bucket, limit, 1, 50 * SECOND)[1].wait_us == SECOND
    assert take(bucket, limit, 1, 101 * SECOND)[1].wait_us == 0


def test_the_window_is_how_long_an_empty_bucket_takes_to_fill():
    assert Limit(20, 20).window_s == 1
    assert Limit(3, 10).window_s == 4
    assert Limit(100, 1).window_s == 1
