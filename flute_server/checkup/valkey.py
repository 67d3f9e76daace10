"""Redis or Valkey, and the workers that wait there for jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from redis import Redis
from rq import Queue, Worker

from flute_server.checkup.check import Check, Status, clock, judged
from flute_server.domain.spans import in_words
from flute_server.sending.wake import SWEPT

# RQ's heartbeat is due well within that.
SILENT_WORKER_S = 600.0
LONGEST_WAIT_S = 60.0
LATEST_SWEEP_S = 60.0
START_ONE = "start one: flute worker"


def queue_server(client: Redis) -> Iterator[Check]:
    """Answers, keeps what it was given, never evicts. Raises RedisError."""
    begin = time.perf_counter()
    client.ping()
    took_ms = (time.perf_counter() - begin) * 1000
    info: dict[str, Any] = client.info()
    version = info.get("valkey_version") or info.get("redis_version", "unknown")
    name = "Valkey" if "valkey_version" in info else "Redis"
    text = f"{name} {version}, answers in {took_ms:.1f} ms, {info.get('used_memory_human', '?')}B in use"
    yield Check("redis", "Redis", Status.OK, text)
    policy = info.get("maxmemory_policy", "noeviction")
    fix = "set maxmemory-policy to noeviction: a queue must refuse rather than forget"
    bad = policy != "noeviction"
    text = (
        f"forgets what waits when it is full ({policy})" if bad else "never forgets what waits (noeviction)"
    )
    yield judged("eviction", "Eviction", text, fix, bad=bad)
    yield _persistence(info)
    seconds, microseconds = client.time()
    yield clock("redis_clock", "Clock of Redis", seconds + microseconds / 1e6)


def _persistence(info: dict[str, Any]) -> Check:
    name, title = "persistence", "Persistence"
    if not info.get("aof_enabled"):
        # Not fatal: PostgreSQL knows what is due, and the sweep finds it.
        text = "no append-only file: after a crash of Redis, due mail waits for the sweep"
        return Check(name, title, Status.WARNING, text, "set appendonly to yes")
    bad = info.get("aof_last_write_status", "ok") != "ok"
    return judged(name, title, "cannot write" if bad else "append-only file", "is its disk full?", bad=bad)


def workers(client: Redis) -> Iterator[Check]:
    """Somebody must do the work, and soon. Raises RedisError."""
    ages = [_age(worker.last_heartbeat) for worker in Worker.all(connection=client)]
    alive = [age for age in ages if age < SILENT_WORKER_S]
    sweep = _sweep(client)
    if alive:
        text = f"{len(alive)} at work, the last heard of {in_words(min(alive))} ago"
        yield Check("workers", "Workers", Status.OK, text)
    elif sweep.status is Status.OK:
        # Redis was emptied: it knows a worker again from its next start on; the sweep works till then.
        text = "none is registered, though one sweeps: Redis has forgotten it"
        yield Check("workers", "Workers", Status.WARNING, text, "restart the workers, one after the other")
    else:
        yield Check("workers", "Workers", Status.FAILING, "none is registered: nothing is sent", START_ONE)
    longest = max((_oldest_wait(queue) for queue in Queue.all(connection=client)), default=0.0)
    text = f"the oldest job waits for {in_words(longest)}" if longest else "nothing waits"
    fix = "start more workers, and read their logs"
    yield judged("jobs", "Jobs", text, fix, bad=longest > LONGEST_WAIT_S)
    yield sweep


def _sweep(client: Redis) -> Check:
    stamp = client.get(SWEPT)
    fix = f"a worker that runs sweeps every second: {START_ONE}, or read the log of the one that is there"
    if stamp is None:
        return Check("sweep", "Sweep", Status.WARNING, "no worker has said yet that it sweeps", fix)
    late = max(time.time() - float(stamp), 0.0)
    text = f"last {in_words(late)} ago"
    return judged("sweep", "Sweep", text, fix, bad=late > LATEST_SWEEP_S)


def _age(moment: datetime | None) -> float:
    """How many seconds ago; RQ's times are in UTC, some without saying so."""
    if moment is None:
        return float("inf")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((datetime.now(UTC) - moment).total_seconds(), 0.0)


def _oldest_wait(queue: Queue) -> float:
    first = queue.get_job_ids(0, 1)
    job = queue.fetch_job(first[0]) if first else None
    return _age(job.enqueued_at) if job and job.enqueued_at else 0.0
