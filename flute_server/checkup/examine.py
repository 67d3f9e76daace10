"""All checks that the server can make of its installation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from flute_server.checkup import installation, valkey
from flute_server.checkup.backlog import backlog
from flute_server.checkup.check import Ask, Check, Status, guarded
from flute_server.checkup.database import database, schema
from flute_server.config import Config

PATIENCE_S = 5
Look = tuple[str, str, Callable[[], Iterator[Check]]]


def examine(config: Config) -> Iterator[Check]:
    """Each part, over connections of its own, so that it is asked also when all others are taken."""
    yield from in_database(config)
    yield from in_redis(config)
    yield from guarded("secret_keys", "Secret keys", lambda: installation.secret_keys(config))
    yield from guarded("public_url", "Addresses", lambda: installation.addresses(config))
    if config.data_dir:
        yield from guarded("disk", "Disk", lambda: installation.disk(Path(config.data_dir)))


def in_database(config: Config) -> Iterator[Check]:
    """What PostgreSQL knows, or that it is away."""
    try:
        connection = psycopg.connect(_plain(config.database_url), connect_timeout=PATIENCE_S, autocommit=True)
    except psycopg.Error as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
        yield Check(
            "database", "PostgreSQL", Status.FAILING, f"not reachable: {said}", _start("DATABASE_URL")
        )
        return
    with closing(connection):
        ask = asking(connection)
        ask(f"SET statement_timeout = '{PATIENCE_S}s'")
        looks: tuple[Look, ...] = (
            ("database", "PostgreSQL", lambda: database(ask)),
            ("schema", "Schema", lambda: schema(ask)),
            ("queue", "Backlog", lambda: backlog(ask)),
            ("stored_secrets", "Stored secrets", lambda: installation.stored_secrets(config, ask)),
        )
        for look in looks:
            yield from guarded(*look)


def in_redis(config: Config) -> Iterator[Check]:
    """What Redis knows, or that it is away."""
    client = Redis.from_url(config.redis_url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S)
    with closing(client):
        try:
            client.ping()
        except (RedisError, OSError) as error:
            yield Check("redis", "Redis", Status.FAILING, f"not reachable: {error}", _start("REDIS_URL"))
            return
        yield from guarded("redis", "Redis", lambda: valkey.queue_server(client))
        yield from guarded("workers", "Workers", lambda: valkey.workers(client))


def asking(connection: psycopg.Connection[tuple[object, ...]]) -> Ask:
    """Questions over this connection."""

    def ask(query: str) -> list[tuple[object, ...]]:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []

    return ask


def _plain(url: str) -> str:
    """As libpq takes it: SQLAlchemy lets an operator name the driver as well."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"


def _start(name: str) -> str:
    return f"is it running, and is {name} right? `flute up` brings its own"
