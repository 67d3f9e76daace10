"""Durations counted in buckets that grow by a constant ratio: percentiles to within 10 % at any scale."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import accumulate
from math import sqrt

# The middle of a bucket is at most sqrt(1.19) - 1 = 9.1 % away from what is in it.
RATIO = 1.19
SHORTEST = timedelta(milliseconds=1)
LONGEST = timedelta(days=30)
_US = timedelta(microseconds=1)


def _bounds() -> tuple[int, ...]:
    bounds = [SHORTEST // _US]
    while bounds[-1] < LONGEST // _US:
        bounds.append(min(int(bounds[-1] * RATIO), LONGEST // _US))
    return tuple(bounds)


# Where buckets begin, in microseconds: bucket n goes from bound n - 1 up to, not including, bound n. The
# first takes what is shorter than SHORTEST, and the last all from LONGEST on. Whole numbers, so that
# PostgreSQL's width_bucket() over the same bounds finds the same bucket.
BOUNDS_US = _bounds()


def bucket(duration: timedelta) -> int:
    """The bucket that a duration belongs to."""
    return bisect_right(BOUNDS_US, duration // _US)


def middle(bucket: int) -> timedelta:
    """What stands for all durations in a bucket: the geometric mean of its bounds."""
    if bucket == 0:
        return SHORTEST
    if bucket >= len(BOUNDS_US):
        return LONGEST
    return timedelta(microseconds=sqrt(BOUNDS_US[bucket - 1] * BOUNDS_US[bucket]))


def percentiles(counts: Mapping[int, int], shares: Sequence[float]) -> list[timedelta]:
    """The durations that these shares of all that were counted by bucket (at least one) do not exceed."""
    buckets = sorted(counts)
    up_to = list(accumulate(counts[bucket] for bucket in buckets))
    return [middle(buckets[bisect_left(up_to, share * up_to[-1])]) for share in shares]
