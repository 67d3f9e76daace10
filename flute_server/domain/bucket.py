"""Token buckets: how much may be taken now, what is left, and when to come back.

A bucket holds up to `burst` tokens and gains `per_second` of them every second. It is kept as what is missing
from it, in millionths of a token, and a time in microseconds: then all of this is exact in whole numbers,
here and in the script of sending/limits.py, which does the same in Redis.
"""

from __future__ import annotations

from dataclasses import dataclass

TOKEN = 1_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """`per_second` in the long run, `burst` at once after a pause; both at least 1."""

    per_second: int
    burst: int

    @property
    def window_s(self) -> int:
        """How long an empty bucket takes to be full again, in whole seconds, rounded up."""
        return -(-self.burst // self.per_second)


@dataclass(frozen=True, slots=True)
class Slow:
    """A limit of less than one a second: one more in `every_s`, `burst` at once after a pause."""

    every_s: float
    burst: int

    @property
    def per_second(self) -> float:
        return 1 / self.every_s


@dataclass(frozen=True, slots=True)
class Bucket:
    """missing: millionths of a token, as of `time_us`; more than a whole bucket when it is in debt."""

    missing: int = 0
    time_us: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit after a call. wait_us: how long until the refused cost could be taken; 0 if it was taken."""

    limit: Limit
    missing: int
    wait_us: int = 0

    @property
    def remaining(self) -> int:
        """Whole tokens that could be taken now."""
        return max(0, self.limit.burst * TOKEN - self.missing) // TOKEN

    @property
    def full_in_s(self) -> int:
        """Seconds until the bucket is full again if nothing is taken from it, rounded up."""
        return -(-self.missing // (self.limit.per_second * TOKEN))


def filled(bucket: Bucket, limit: Limit, now_us: int) -> int:
    """What is missing now. A clock that went back fills nothing."""
    return max(0, bucket.missing - max(0, now_us - bucket.time_us) * limit.per_second)


def wait(missing: int, limit: Limit, cost: int) -> int:
    """Microseconds until `cost` tokens can be taken; 0 for now.

    What is larger than the whole bucket waits until it is full and then takes it into debt: it could never
    pass otherwise, and in the long run the rate is kept all the same.
    """
    over = missing + (min(cost, limit.burst) - limit.burst) * TOKEN
    return max(0, -(-over // limit.per_second))


def take(bucket: Bucket, limit: Limit, cost: int, now_us: int) -> tuple[Bucket, Standing]:
    """Take so many tokens, or nothing if there are not as many."""
    missing = filled(bucket, limit, now_us)
    if wait_us := wait(missing, limit, cost):
        return bucket, Standing(limit, missing, wait_us)
    missing += cost * TOKEN
    return Bucket(missing, max(now_us, bucket.time_us)), Standing(limit, missing)
