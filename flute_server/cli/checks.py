"""What `flute doctor` looks at: each check says what it found and how to mend what is wrong."""

from __future__ import annotations

import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from cryptography.fernet import Fernet
from flute.v1.account_service_pb2 import ListAccountsRequest
from flute.v1.alert_service_pb2 import ListAlertsRequest
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.worker import BaseWorker
from sqlalchemy.exc import SQLAlchemyError

from flute_server.cli.common import printable
from flute_server.cli.processes import database_trouble
from flute_server.config import Config
from flute_server.local.client import Client, RpcFailed
from flute_server.local.ports import reachable, split_address
from flute_server.local.probe import serving

_OLDEST_POSTGRES = 140000
_LEAST_FREE_BYTES = 1024**3
_LARGEST_SKEW_S = 2.0
_LONGEST_WAIT_S = 60.0
_SILENT_WORKER_S = 600.0  # RQ's heartbeat is due well within that
_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


@dataclass(frozen=True)
class Finding:
    """One line of the report. A hint is no fault of the installation, but somebody should look at it."""

    what: str
    ok: bool
    text: str
    mend: str = ""
    hint: bool = False


@dataclass(frozen=True)
class Patient:
    """What is examined: the settings, and the data folder with what a running `flute up` says in it."""

    config: Config = field(repr=False)
    data_dir: Path
    ready: Mapping[str, Any] = field(repr=False)
    web: str = ""


def secrets(patient: Patient) -> Iterator[Finding]:
    """The keys under which credentials are sealed, and the service token."""
    bad = [n for n, key in enumerate(patient.config.secret_keys, start=1) if not _is_fernet_key(key)]
    if bad:
        text = f"number {', '.join(map(str, bad))} in FLUTE_SECRET_KEYS is no Fernet key"
        mend = "a Fernet key is 32 random bytes in URL-safe base64; keep the old ones after the new one"
        yield Finding("secret keys", False, text, mend)
    else:
        yield Finding("secret keys", True, f"{len(patient.config.secret_keys)} valid")
    if len(patient.config.service_token) < 32:
        text = "FLUTE_SERVICE_TOKEN is shorter than 32 characters"
        yield Finding("service token", False, text, "make one with: openssl rand -base64 32")


def postgres(patient: Patient) -> Iterator[Finding]:
    """Reachable, new enough, durable, with room, at the newest schema."""
    from flute_server.schema import pending_migrations  # noqa: PLC0415 - brings Flask and Alembic

    try:
        with psycopg.connect(patient.config.database_url, connect_timeout=5, autocommit=True) as connection:
            yield from _postgres_settings(connection)
        pending = pending_migrations(patient.config)
    except psycopg.Error as error:
        said = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        yield Finding("PostgreSQL", False, f"not reachable: {said[0].strip()}", _start_hint("DATABASE_URL"))
        return
    except SQLAlchemyError as error:
        yield Finding("schema", False, database_trouble(error), "the database user needs all rights on it")
        return
    text = f"{len(pending)} migrations behind" if pending else "up to date"
    yield Finding("schema", not pending, text, "run: flute migrate" if pending else "")


def _postgres_settings(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    def ask(query: str) -> str:
        row = connection.execute(query.encode()).fetchone()
        return str(row[0]) if row else ""

    version = ask("SHOW server_version")
    new_enough = int(ask("SHOW server_version_num")) >= _OLDEST_POSTGRES
    yield Finding("PostgreSQL", new_enough, f"version {version}", "" if new_enough else "use 14 or newer")
    off = [name for name in _DURABLE if ask(f"SHOW {name}") == "off"]
    if off:
        text = f"{', '.join(off)} is off: accepted mail can be lost in a power cut"
        yield Finding("durability", False, text, "switch it on in postgresql.conf and reload")
    used, limit = int(ask("SELECT count(*) FROM pg_stat_activity")), int(ask("SHOW max_connections"))
    full = used > 0.9 * limit
    yield Finding("connections", not full, f"{used} of {limit}", "raise max_connections" if full else "")
    yield _clock("PostgreSQL", float(ask("SELECT extract(epoch FROM clock_timestamp())")))


def redis(patient: Patient) -> Iterator[Finding]:
    """Reachable, keeping what it was given, never evicting."""
    client = _redis(patient)
    try:
        info: dict[str, Any] = client.info()
        seconds, microseconds = client.time()
    except (RedisError, OSError) as error:
        yield Finding("Redis", False, f"not reachable: {error}", _start_hint("REDIS_URL"))
        return
    version = info.get("valkey_version") or info.get("redis_version", "unknown")
    name = "Valkey" if "valkey_version" in info else "Redis"
    yield Finding("Redis", True, f"{name} {version}, {info.get('used_memory_human', '?')} in use")
    policy = info.get("maxmemory_policy", "noeviction")
    mend = "set maxmemory-policy to noeviction: a queue must refuse rather than forget"
    yield Finding("eviction", policy == "noeviction", policy, "" if policy == "noeviction" else mend)
    if not info.get("aof_enabled"):
        # Not fatal: PostgreSQL knows what is due, and the sweep finds it.
        text = "no append-only file: after a crash of Redis, due mail waits for the sweep"
        yield Finding("persistence", False, text, "set appendonly to yes")
    else:
        written = info.get("aof_last_write_status", "ok") == "ok"
        mend = "" if written else "is its disk full?"
        yield Finding("persistence", written, "append-only file" if written else "cannot write", mend)
    yield _clock("Redis", seconds + microseconds / 1e6)


def workers(patient: Patient) -> Iterator[Finding]:
    """Somebody must do the work, and soon."""
    client = _redis(patient)
    try:
        alive = [worker for worker in Worker.all(connection=client) if _is_alive(worker)]
        waits = {queue.name: _oldest_wait(queue) for queue in Queue.all(connection=client)}
    except (RedisError, OSError):
        return  # told already
    if alive:
        yield Finding("workers", True, f"{len(alive)} at work")
    else:
        yield Finding("workers", False, "none is registered: nothing is sent", "start one: flute worker")
    longest = max(waits.values(), default=0.0)
    late = longest > _LONGEST_WAIT_S
    text = f"the oldest job waits for {longest:.0f} s" if longest else "nothing waits"
    yield Finding("queue", not late, text, "start more workers, and read their logs" if late else "")


def grpc_server(patient: Patient) -> Iterator[Finding]:
    """Serving, and knowing our token."""
    address = patient.config.grpc_address
    if not serving(address, timeout=3.0):
        yield Finding("gRPC", False, f"no answer at {address}", "start it: flute server (or flute up)")
        return
    try:
        with _client(patient) as client:
            client.call(client.accounts.ListAccounts, ListAccountsRequest(page_size=1), timeout=5)
    except RpcFailed as error:
        yield Finding(
            "gRPC", False, f"{address} serves, but: {error}", "give both the same FLUTE_SERVICE_TOKEN"
        )
        return
    yield Finding("gRPC", True, f"serves at {address}")


def alerts(patient: Patient) -> Iterator[Finding]:
    """What waits for a person, by account."""
    try:
        with _client(patient) as client:
            for account in client.pages(client.accounts.ListAccounts, ListAccountsRequest(), "accounts"):
                request = ListAlertsRequest(account_id=account.id)
                count = sum(1 for _ in client.pages(client.alerts.ListAlerts, request, "alerts"))
                if count:
                    text = f"{count} open at {printable(account.name)}"
                    mend = f"see: flute alert list --account {account.id}"
                    yield Finding("alerts", True, text, mend, hint=True)
    except RpcFailed:
        return  # told already


def web(patient: Patient) -> Iterator[Finding]:
    """The public API answers and reaches the server."""
    url = f"{patient.web}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
            yield Finding("web", True, f"answers at {patient.web}")
    except urllib.error.HTTPError as error:
        mend = "it does not reach the gRPC server: is its FLUTE_GRPC_ADDRESS right?"
        yield Finding("web", False, f"{url} says {error.code}", mend)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        yield Finding("web", False, f"no answer at {url}: {reason}", "start it: flute web (or flute up)")


def disk(patient: Patient) -> Iterator[Finding]:
    """A full disk stops the database."""
    folder = next(place for place in (patient.data_dir, *patient.data_dir.parents) if place.exists())
    usage = shutil.disk_usage(folder)
    low = usage.free < _LEAST_FREE_BYTES
    text = f"{usage.free / 1024**3:.1f} GiB free of {usage.total / 1024**3:.0f} at {folder}"
    yield Finding("disk", not low, text, "make room: PostgreSQL stops when it is full" if low else "")


def web_address(env: Mapping[str, str], ready: Mapping[str, Any]) -> str:
    """Where the public API should answer."""
    bind = env.get("FLUTE_WEB_BIND", "").strip()
    if bind:
        host, port = split_address(bind, "FLUTE_WEB_BIND")
        return f"http://{reachable(host)}:{port}"
    return str(ready.get("web", "http://127.0.0.1:8000"))


def _client(patient: Patient) -> Client:
    config = patient.config
    return Client(config.grpc_address, config.service_token, os.environ.get("FLUTE_GRPC_TLS_CA", ""))


def _redis(patient: Patient) -> Redis:
    return Redis.from_url(patient.config.redis_url, socket_timeout=5, socket_connect_timeout=5)


def _is_alive(worker: BaseWorker) -> bool:
    beat = worker.last_heartbeat
    if beat is None:
        return False
    beat = beat if beat.tzinfo else beat.replace(tzinfo=UTC)
    return (datetime.now(UTC) - beat).total_seconds() < _SILENT_WORKER_S


def _oldest_wait(queue: Queue) -> float:
    first = queue.get_job_ids(0, 1)
    job = queue.fetch_job(first[0]) if first else None
    if job is None or job.enqueued_at is None:
        return 0.0
    since = job.enqueued_at if job.enqueued_at.tzinfo else job.enqueued_at.replace(tzinfo=UTC)
    return max((datetime.now(UTC) - since).total_seconds(), 0.0)


def _clock(where: str, theirs: float) -> Finding:
    skew = abs(time.time() - theirs)
    ok = skew < _LARGEST_SKEW_S
    text = "agrees with this machine's" if ok else f"differs by {skew:.0f} s from this machine's"
    return Finding(f"clock of {where}", ok, text, "" if ok else "synchronize both with NTP")


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key.strip())
    except ValueError:
        return False
    return True


def _start_hint(name: str) -> str:
    return f"is it running, and is {name} right? `flute up` brings its own"
