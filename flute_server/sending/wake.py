"""The wake-up call to the workers. It may get lost: the mail is in the database, and the sweep finds it."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

log = logging.getLogger(__name__)

# One waiting job of a kind is enough, however much there is to do: it takes all. The mark that one waits is
# removed when it starts, and by itself after this many seconds if the job was lost.
_MARK_TTL_S = 5
_SOCKET_TIMEOUT_S = 2


# Where workers say when they swept last, in seconds since 1970.
SWEPT = "flute:swept"


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of work: its queue, which is also the mark's name, and the job that does it."""

    queue: str
    job: str


DELIVER = Work("deliver", "workers.jobs.deliver")
INGEST = Work("ingest", "workers.jobs.ingest")
# Workers look into the first first: events are few, and tell which provider to avoid.
QUEUES = (INGEST.queue, DELIVER.queue)


@cache
def connection(redis_url: str) -> Redis:
    """The process's Redis connection pool."""
    return Redis.from_url(
        redis_url, socket_connect_timeout=_SOCKET_TIMEOUT_S, socket_timeout=_SOCKET_TIMEOUT_S
    )


def wake(redis_url: str, work: Work = DELIVER) -> bool:
    """Make sure that a job is waiting. Never raises: False without Redis; then the sweep helps."""
    redis = connection(redis_url)
    try:
        if redis.set(_mark(work), 1, nx=True, ex=_MARK_TTL_S):
            Queue(work.queue, connection=redis).enqueue(
                work.job, job_timeout=-1, result_ttl=0, failure_ttl=24 * 3600
            )
    except RedisError as error:
        log.warning("no wake-up: Redis does not answer (%s); the sweep takes over", error)
        return False
    return True


def awake(redis_url: str, work: Work = DELIVER) -> None:
    """Said by a job before it looks for work, so that what comes from now on wakes another."""
    try:
        connection(redis_url).delete(_mark(work))
    except RedisError as error:
        log.warning("Redis does not answer: %s", error)


def swept(redis_url: str) -> None:
    """Said by a worker that sweeps, for whoever asks how the installation is. Never raises."""
    with suppress(RedisError):
        connection(redis_url).set(SWEPT, int(time.time()))


def _mark(work: Work) -> str:
    return f"flute:wake:{work.queue}"
