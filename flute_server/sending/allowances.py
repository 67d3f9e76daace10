"""What a call costs, of which limits, and what is said when it is too much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flute_server.domain.bucket import Limit, Standing
from flute_server.errors import RateLimited
from flute_server.sending.quota import Month
from flute_server.sending.senders import Sender

QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call takes. tokens: of the key's limit; mails: of the environment's; counted: of its quota."""

    tokens: int = 1
    mails: int = 0
    counted: int = 0


@dataclass(frozen=True, slots=True)
class Allowance:
    """How one limit stands: `remaining` of `quota` units, all of them again in `reset_s`."""

    name: str
    quota: int
    window_s: int
    remaining: int
    reset_s: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What a call took. error: why it must not go on; then nothing was taken.

    month, counted: where mails were counted, and how many.
    """

    allowances: Sequence[Allowance] = ()
    error: RateLimited | None = None
    month: Month | None = None
    counted: int = 0


NOTHING = Taken()


@dataclass(frozen=True, slots=True)
class Bucket:
    """One limit in Redis, and how much is taken of it."""

    key: str
    name: str
    limit: Limit
    cost: int


def buckets_of(sender: Sender, cost: Cost) -> list[Bucket]:
    """The rate limits that the call counts for."""
    # One hash tag, so that a cluster keeps them on the node of the month's count.
    name, found = f"flute:rate:{{{sender.environment_id}}}", []
    if sender.key_limit:
        found.append(Bucket(f"{name}:{sender.key_id}", "key", sender.key_limit, cost.tokens))
    if sender.limit and cost.mails:
        found.append(Bucket(name, "environment", sender.limit, cost.mails))
    return found


def month_of(sender: Sender, cost: Cost) -> Month | None:
    """The month whose quota it counts for, if there is a quota and mail to count."""
    if not sender.monthly_quota or not cost.counted or sender.test:
        return None
    return Month.now(sender.environment_id, sender.monthly_quota)


def outcome(buckets: Sequence[Bucket], month: Month | None, cost: Cost, answer: Sequence[int]) -> Taken:
    """What the script of limits.py answered, in words and figures."""
    *pairs, used, over = answer
    standings = [
        Standing(bucket.limit, missing, wait_us)
        for bucket, missing, wait_us in zip(buckets, pairs[0::2], pairs[1::2], strict=True)
    ]
    allowances = [
        Allowance(bucket.name, bucket.limit.burst, bucket.limit.window_s, at.remaining, at.full_in_s)
        for bucket, at in zip(buckets, standings, strict=True)
    ]
    error = _too_much(buckets, standings)
    if month:
        left_s = max(0, math.ceil((month.end - datetime.now(UTC)).total_seconds()))
        span_s = int((month.end - month.begin).total_seconds())
        allowances.append(Allowance("month", month.quota, span_s, max(0, month.quota - used), left_s))
        if over and not error:
            error = _quota_exceeded(month, used, left_s)
    if error:
        return Taken(allowances, error)
    return Taken(allowances, None, month, cost.counted if month else 0)


def _too_much(buckets: Sequence[Bucket], standings: Sequence[Standing]) -> RateLimited | None:
    """The error of the limit that makes wait longest, if one does."""
    wait_us, which = max(((at.wait_us, i) for i, at in enumerate(standings)), default=(0, 0))
    if not wait_us:
        return None
    limit = buckets[which].limit
    text = (
        f"over the {buckets[which].name}'s rate limit of {limit.per_second:,} a second"
        f" ({limit.burst:,} at once); try again in {math.ceil(wait_us / SECOND_US):,} s"
    )
    return RateLimited("RATE_LIMITED", text, wait_us / SECOND_US, {"limit": buckets[which].name})


def _quota_exceeded(month: Month, used: int, left_s: int) -> RateLimited:
    text = (
        f"the environment's quota of {month.quota:,} mails a month does not allow it: {used:,} were accepted"
        f" since {month.begin:%d %b}; it starts anew on {month.end:%d %b %Y} at 00:00 UTC"
    )
    return RateLimited(QUOTA_EXCEEDED, text, left_s, {"limit": "month"})
