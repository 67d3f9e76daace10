"""The wake-up call to the workers. It may get lost: the mail is in the database, and the sweep finds it."""

from __future__ import annotations

import logging
from functools import cache

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

log = logging.getLogger(__name__)

QUEUE = "deliver"
DELIVER_JOB = "workers.jobs.deliver"
# One waiting job is enough, however many mails are due: the job takes them all. The mark is removed when the
# job starts, and by itself after this many seconds if the job was lost.
_MARK = "flute:wake"
_MARK_TTL_S = 5
_SOCKET_TIMEOUT_S = 2


@cache
def connection(redis_url: str) -> Redis:
    """The process's Redis connection pool."""
    return Redis.from_url(
        redis_url, socket_connect_timeout=_SOCKET_TIMEOUT_S, socket_timeout=_SOCKET_TIMEOUT_S
    )


def wake(redis_url: str) -> bool:
    """Make sure that a delivery job is waiting. Never raises: False without Redis; then the sweep helps."""
    redis = connection(redis_url)
    try:
        if redis.set(_MARK, 1, nx=True, ex=_MARK_TTL_S):
            Queue(QUEUE, connection=redis).enqueue(
                DELIVER_JOB, job_timeout=-1, result_ttl=0, failure_ttl=24 * 3600
            )
    except RedisError as error:
        log.warning("no wake-up: Redis does not answer (%s); the sweep will find the mail", error)
        return False
    return True


def awake(redis_url: str) -> None:
    """Said by a delivery job before it looks for mail, so that mail accepted from now on wakes another."""
    try:
        connection(redis_url).delete(_MARK)
    except RedisError as error:
        log.warning("Redis does not answer: %s", error)
