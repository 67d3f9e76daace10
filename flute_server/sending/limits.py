"""How often keys may be used, how much mail environments take: token buckets and monthly counts in Redis.

While Redis is away everything passes: better a mail too many than none.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Mapping, Sequence
from functools import cache

from redis.exceptions import RedisError

from flute_server.domain.bucket import Limit, Slow
from flute_server.errors import RateLimited
from flute_server.sending.allowances import (
    NOTHING,
    SECOND_US,
    Bucket,
    Cost,
    Taken,
    buckets_of,
    month_of,
    outcome,
)
from flute_server.sending.quota import KEPT, Month, accepted
from flute_server.sending.senders import Sender
from flute_server.sending.wake import connection

log = logging.getLogger(__name__)

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
# A Redis that does not answer is left alone for so long, since each try may hold up the whole call.
_AWAY_S = 5.0
_COMPLAIN_EVERY_S = 60.0


class Meter:
    """Counts in one Redis."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connection(redis_url)
        self._take = self._redis.register_script(CLOCK + TAKE)
        self._away_until = self._quiet_until = 0.0

    def take(self, sender: Sender, cost: Cost) -> Taken:
        """Take what a call costs, from all limits or from none. In an app context if there is a quota."""
        buckets, month = buckets_of(sender, cost), month_of(sender, cost)
        if not buckets and month is None:
            return NOTHING
        answer = self._ask(buckets, month, cost.counted)
        return outcome(buckets, month, cost, answer) if answer else NOTHING

    def give_back(self, taken: Taken, mails: int) -> None:
        """Count so many mails less, which were not accepted after all."""
        if taken.month and mails:
            self._ask([], taken.month, -mails)

    def stranger(self, address: str) -> None:
        """Note an unknown access token from this address. Raises RateLimited when there were too many."""
        bucket = Bucket(f"flute:stranger:{network(address)}", "", STRANGERS, 1)
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

    def _ask(self, buckets: Sequence[Bucket], month: Month | None, mails: int) -> list[int]:
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
            answer = self._script(keys, [*arguments, accepted(month)])
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


def network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 that an IPv6 subscriber has to himself."""
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    mapped = given.ipv4_mapped if given.version == 6 else given
    return str(mapped or ipaddress.ip_network((given.packed[:8] + bytes(8), 64)))
