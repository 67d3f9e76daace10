"""How often keys may be used, how much mail environments take: token buckets and monthly counts in Redis.

While Redis is away everything passes: better a mail too many than none.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from redis.exceptions import RedisError
from sqlalchemy import func, select

from flute_server.domain.bucket import Limit, Slow, Standing
from flute_server.errors import RateLimited
from flute_server.models import Dimension, Email, Grain, Tally, autocommit
from flute_server.sending.senders import Sender
from flute_server.sending.tally import EMAILS
from flute_server.sending.wake import connection

log = logging.getLogger(__name__)

QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
# Unknown access tokens from one address: a mistyped one is met with patience, a flood is not.
STRANGERS = Limit(per_second=1, burst=20)
# One hash tag, as for the others.
_PEOPLE = "flute:{people}:"

CLOCK = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
"""
# One round trip, all or nothing; the arithmetic is that of domain/bucket.py.
# KEYS: the buckets, then the month's count if there is a quota. ARGV: how many buckets; per_second, burst and
# cost of each; quota, mails, the end of the count in ms, and the count to begin with if it is not there.
# Answers missing and wait of each bucket, the count, and 1 if the mails go beyond the quota; or nothing, when
# it has to be asked again with a count to begin with.
TAKE = """
local buckets, missing, times, answer, refused = tonumber(ARGV[1]), {}, {}, {}, false
for i = 1, buckets do
  local per_second, burst = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local cost = tonumber(ARGV[3 * i + 1])
  local seen = redis.call('HMGET', KEYS[i], 'missing', 'time')
  local time = tonumber(seen[2] or 0)
  missing[i] = math.max(0, tonumber(seen[1] or 0) - math.max(0, now - time) * per_second)
  times[i] = math.max(now, time)
  local over = missing[i] + (math.min(cost, burst) - burst) * 1000000
  local wait = math.max(0, math.ceil(over / per_second))
  refused = refused or wait > 0
  answer[2 * i - 1], answer[2 * i] = missing[i], wait
end
local month, rest = KEYS[buckets + 1], 3 * buckets + 1
local quota, mails, used, over = tonumber(ARGV[rest + 1]), tonumber(ARGV[rest + 2]), 0, 0
if month then
  used = tonumber(redis.call('GET', month) or ARGV[rest + 4])
  if not used then return {} end
  if mails > 0 and used + mails > quota then refused, over = true, 1 end
end
if not refused then
  for i = 1, buckets do
    local per_second, cost = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i + 1])
    missing[i] = missing[i] + cost * 1000000
    answer[2 * i - 1] = missing[i]
    redis.call('HSET', KEYS[i], 'missing', missing[i], 'time', times[i])
    redis.call('PEXPIRE', KEYS[i], math.ceil(missing[i] / per_second / 1000) + 1000)
  end
  if month then
    used = math.max(0, used + mails)
    redis.call('SET', month, string.format('%.0f', used), 'PXAT', ARGV[rest + 3])
  end
end
answer[2 * buckets + 1], answer[2 * buckets + 2] = used, over
return answer
"""
SECOND_US = 1_000_000
# A month's count outlives it, for a server whose clock is late.
KEPT = timedelta(days=1)
# A Redis that does not answer is left alone for so long, since each try may hold up the whole call.
_AWAY_S = 5.0
_COMPLAIN_EVERY_S = 60.0


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
class Month:
    """A calendar month in UTC, in which an environment may send so many mails."""

    environment_id: uuid.UUID
    quota: int
    begin: datetime

    @property
    def end(self) -> datetime:
        return (self.begin + timedelta(days=31)).replace(day=1)

    @property
    def key(self) -> str:
        return f"flute:quota:{{{self.environment_id}}}:{self.begin:%Y-%m}"


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
class _Bucket:
    key: str
    name: str
    limit: Limit
    cost: int


class Meter:
    """Counts in one Redis."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connection(redis_url)
        self._take = self._redis.register_script(CLOCK + TAKE)
        self._away_until = self._quiet_until = 0.0

    def take(self, sender: Sender, cost: Cost) -> Taken:
        """Take what a call costs, from all limits or from none. In an app context if there is a quota."""
        buckets, month = _buckets(sender, cost), _month(sender, cost)
        if not buckets and month is None:
            return NOTHING
        answer = self._ask(buckets, month, cost.counted)
        return _taken(buckets, month, cost, answer) if answer else NOTHING

    def give_back(self, taken: Taken, mails: int) -> None:
        """Count so many mails less, which were not accepted after all."""
        if taken.month and mails:
            self._ask([], taken.month, -mails)

    def stranger(self, address: str) -> None:
        """Note an unknown access token from this address. Raises RateLimited when there were too many."""
        bucket = _Bucket(f"flute:stranger:{network(address)}", "", STRANGERS, 1)
        answer = self._ask([bucket], None, 0)
        if answer and answer[1]:
            text = "too many unknown access tokens came from this address; check yours, then try again"
            raise RateLimited("RATE_LIMITED", text, answer[1] / SECOND_US)

    def hold(self, limits: Mapping[str, Slow]) -> float:
        """Take one from each of these limits, by their names, or from none: how many seconds to wait then."""
        arguments: list[float] = [len(limits)]
        for limit in limits.values():
            arguments += [limit.per_second, limit.burst, 1]
        answer = self._script([_PEOPLE + name for name in limits], arguments)
        return max(answer[1 : 2 * len(limits) : 2], default=0) / SECOND_US

    def forgive(self, name: str) -> None:
        """Forget what was taken from a limit."""
        if not self._is_away:
            try:
                self._redis.delete(_PEOPLE + name)
            except RedisError as error:
                self._miss(error)

    def _ask(self, buckets: Sequence[_Bucket], month: Month | None, mails: int) -> list[int]:
        """The script's answer; empty while Redis is away."""
        keys = [bucket.key for bucket in buckets]
        arguments: list[float] = [len(buckets)]
        for bucket in buckets:
            arguments += [bucket.limit.per_second, bucket.limit.burst, bucket.cost]
        if month:
            keys.append(month.key)
            arguments += [month.quota, mails, int((month.end + KEPT).timestamp() * 1000)]
        answer = self._script(keys, arguments)
        if not answer and month and not self._is_away:
            answer = self._script(keys, [*arguments, _accepted(month)])
        return answer

    def _script(self, keys: Sequence[str], arguments: Sequence[float]) -> list[int]:
        if self._is_away:
            return []
        try:
            answer: list[int] = self._take(keys, arguments)
        except RedisError as error:
            self._miss(error)
            return []
        return answer

    @property
    def _is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def _miss(self, error: RedisError) -> None:
        now = time.monotonic()
        self._away_until = now + _AWAY_S
        if now >= self._quiet_until:
            self._quiet_until = now + _COMPLAIN_EVERY_S
            log.warning("limits and quotas are not kept: Redis does not answer (%s)", error)


@cache
def meter(redis_url: str) -> Meter:
    """The process's meter."""
    return Meter(redis_url)


def _buckets(sender: Sender, cost: Cost) -> list[_Bucket]:
    # One hash tag, so that a cluster keeps them on the node of the month's count.
    name, found = f"flute:rate:{{{sender.environment_id}}}", []
    if sender.key_limit:
        found.append(_Bucket(f"{name}:{sender.key_id}", "key", sender.key_limit, cost.tokens))
    if sender.limit and cost.mails:
        found.append(_Bucket(name, "environment", sender.limit, cost.mails))
    return found


def _month(sender: Sender, cost: Cost) -> Month | None:
    if not sender.monthly_quota or not cost.counted or sender.test:
        return None
    now = datetime.now(UTC)
    return Month(sender.environment_id, sender.monthly_quota, datetime(now.year, now.month, 1, tzinfo=UTC))


def _taken(buckets: Sequence[_Bucket], month: Month | None, cost: Cost, answer: Sequence[int]) -> Taken:
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


def _too_much(buckets: Sequence[_Bucket], standings: Sequence[Standing]) -> RateLimited | None:
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


def _accepted(month: Month) -> int:
    """How many mails the environment has accepted this month, by the database.

    The figures of statistics are quick to add up; they follow mail by seconds, and the first has none yet.
    """
    tallied = select(func.sum(Tally.count)).where(
        Tally.environment_id == month.environment_id,
        Tally.dimension == Dimension.ALL,
        Tally.grain == Grain.DAY,
        Tally.start >= month.begin,
        Tally.type == EMAILS,
    )
    stored = select(func.count(Email.id)).where(
        Email.environment_id == month.environment_id, Email.create_time >= month.begin, ~Email.test
    )
    query = select(func.coalesce(tallied.scalar_subquery(), stored.scalar_subquery()))
    with autocommit() as database:
        return int(database.scalar(query))


def network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 that an IPv6 subscriber has to himself."""
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    mapped = given.ipv4_mapped if given.version == 6 else given
    return str(mapped or ipaddress.ip_network((given.packed[:8] + bytes(8), 64)))
