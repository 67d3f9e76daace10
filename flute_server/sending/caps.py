"""The caps of routes: so many mails a second and a day over the whole fleet, counted in Redis."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache

from flask import current_app
from redis.exceptions import RedisError

from flute_server.config import Config
from flute_server.sending.routing import RouteNow
from flute_server.sending.wake import connection

log = logging.getLogger(__name__)

# One round trip, all or nothing. A sliding window for the second, a count for the day (UTC). Who finds the
# second full is given a place in the order in which room comes, lest all who wait come back at once.
# KEYS: the window; the counts. ARGV: mails, cap a second, cap a day (0: none), longest wait in ms, whether to
# count (1) or only to look (0).
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local mails, per_second, per_day = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local day, used, counts = math.floor(now / 86400000), 0, ARGV[5] == '1'
if per_day > 0 then
  local seen = redis.call('HMGET', KEYS[2], 'day', 'used')
  if tonumber(seen[1] or -1) == day then used = tonumber(seen[2]) end
  if used > 0 and used + mails > per_day then return {'day', (day + 1) * 86400000 - now} end
end
if per_second > 0 then
  local head = redis.call('LINDEX', KEYS[1], 0)
  while head and tonumber(head) <= now - 1000 do
    redis.call('LPOP', KEYS[1])
    head = redis.call('LINDEX', KEYS[1], 0)
  end
  local count = redis.call('LLEN', KEYS[1])
  if count > 0 and count + mails > per_second then
    local last = redis.call('LINDEX', KEYS[1], math.min(count, count + mails - per_second) - 1)
    local place = math.max(tonumber(redis.call('HGET', KEYS[2], 'place') or 0), last + 1000)
    if counts and place < now + tonumber(ARGV[4]) then
      redis.call('HSET', KEYS[2], 'place', place + mails * 1000 / per_second)
      redis.call('EXPIRE', KEYS[2], 172800)
    end
    return {'second', math.ceil(place - now)}
  end
  if counts then
    for _ = 1, mails do redis.call('RPUSH', KEYS[1], now) end
    redis.call('PEXPIRE', KEYS[1], 2000)
  end
end
if counts and per_day > 0 then
  redis.call('HSET', KEYS[2], 'day', day, 'used', used + mails)
  redis.call('EXPIRE', KEYS[2], 172800)
end
return {'', 0}
"""
_LONGEST_WAIT_MS = 300_000
# A Redis that does not answer is left alone for so long, since each try may hold up the whole turn.
_AWAY_S = 5.0


@dataclass(frozen=True, slots=True)
class Full:
    """A route has no room for the mail now; it is worth coming back after `wait_s`."""

    reason: str
    wait_s: float


class Meter:
    """Counts in one Redis. While that is away, mail goes through uncounted, and the log says so once."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connection(redis_url)
        self._take = self._redis.register_script(_TAKE)
        self._away_until: float | None = None

    def take(self, route: RouteNow, mails: int) -> Full | None:
        """Count so many mails through a route, or tell why they must not go through it now."""
        return self._ask(route, mails, counts=True)

    def look(self, route: RouteNow, mails: int) -> Full | None:
        """What `take` would tell, without counting."""
        return self._ask(route, mails, counts=False)

    def _ask(self, route: RouteNow, mails: int, *, counts: bool) -> Full | None:
        if not (route.max_per_second or route.max_per_day) or self._is_away():
            return None
        name = f"flute:cap:{{{route.id}}}"
        caps = [route.max_per_second or 0, route.max_per_day or 0]
        try:
            which, wait_ms = self._take(
                [f"{name}:second", name], [mails, *caps, _LONGEST_WAIT_MS, int(counts)]
            )
        except RedisError as error:
            self._miss(error)
            return None
        self._find_again()
        if not which:
            return None
        unit = which.decode()
        cap = route.max_per_day if unit == "day" else route.max_per_second
        return Full(f"at its cap of {cap:,} mails a {unit}", wait_ms / 1000)

    def _is_away(self) -> bool:
        return self._away_until is not None and time.monotonic() < self._away_until

    def _miss(self, error: RedisError) -> None:
        if self._away_until is None:
            log.warning("the caps of routes are not kept: Redis does not answer (%s)", error)
        self._away_until = time.monotonic() + _AWAY_S

    def _find_again(self) -> None:
        if self._away_until is not None:
            log.warning("the caps of routes are kept again")
        self._away_until = None


@cache
def meter(redis_url: str) -> Meter:
    """The process's meter."""
    return Meter(redis_url)


def take(route: RouteNow, mails: int) -> Full | None:
    """See Meter.take. In an app context."""
    config: Config = current_app.config["FLUTE"]
    return meter(config.redis_url).take(route, mails)


def look(route: RouteNow, mails: int) -> Full | None:
    """See Meter.look. In an app context."""
    config: Config = current_app.config["FLUTE"]
    return meter(config.redis_url).look(route, mails)
