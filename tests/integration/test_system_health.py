"""What an operator is told of the installation, when it is well and when it is not."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flute.v1 import system_service_pb2 as pb
from redis import Redis
from sqlalchemy import text

from flute_server.checkup import database, installation, valkey
from flute_server.checkup.check import Check, Status, clock, guarded, size
from flute_server.checkup.examine import examine, in_database, in_redis
from flute_server.config import Config
from flute_server.local.client import Client, RpcFailed
from flute_server.local.embedded import Services
from flute_server.models import db
from flute_server.schema import pending_migrations
from flute_server.sending.wake import SWEPT
from tests.integration.places import Place, fresh_app
from tests.stack import Stack, free_port, fresh_database, until

OK, WARNING, FAILING = Status.OK, Status.WARNING, Status.FAILING


@pytest.fixture(scope="module")
def module_app(services: Services) -> Iterator[Flask]:
    # A Redis of its own, where no worker is registered.
    own = Services(services.database_url, services.redis_url.replace("db=0", "db=6"))
    with fresh_app(own, "system_health_test") as app:
        yield app


@pytest.fixture
def config(module_app: Flask) -> Iterator[Config]:
    config: Config = module_app.config["FLUTE"]
    Redis.from_url(config.redis_url).flushdb()
    with module_app.app_context():
        for table in ("email", "inbound", "follower", "webhook_endpoint", "provider_account"):
            db.session.execute(text(f"TRUNCATE {table} CASCADE"))
        db.session.commit()
        yield config


def by_name(checks: Iterable[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def do(statement: str, **values: Any) -> None:
    db.session.execute(text(statement), values)
    db.session.commit()


def test_a_running_system_is_well_and_says_so(stack: Stack):
    Redis.from_url(stack.services.redis_url).delete("rq:workers")  # as if it had been emptied
    until(lambda: _workers(stack).status == pb.CHECK_STATUS_WARNING, "a worker sweeps that is not known")
    stack.workers[0].stop()
    stack.workers[0].start()
    until(lambda: _workers(stack).status == pb.CHECK_STATUS_OK, "the worker is known again")
    client = stack.client
    seen = client.call(client.system.GetSystemHealth, pb.GetSystemHealthRequest())
    bad = [check for check in seen.checks if check.status == pb.CHECK_STATUS_FAILING]
    assert not bad
    told = {check.name: check for check in seen.checks}
    assert list(told)[:2] == ["database", "durability"]
    assert {"connections", "schema", "queue", "events", "webhooks", "follower", "stored_secrets"} <= set(told)
    assert {"redis", "persistence", "workers", "jobs", "sweep", "secret_keys", "public_url"} <= set(told)
    assert told["workers"].text.startswith("1 at work, the last heard of")
    assert "answers in" in told["database"].text
    assert seen.status == max(check.status for check in seen.checks)
    assert seen.version


def _workers(stack: Stack) -> pb.Check:
    seen = stack.client.call(stack.client.system.GetSystemHealth, pb.GetSystemHealthRequest())
    return next(check for check in seen.checks if check.name == "workers")


def test_it_is_for_operators_alone(stack: Stack):
    tenant = stack.tenant("postmark")
    key = Client(stack.grpc, tenant.access_token)
    for client in (key, Client(stack.grpc, "")):
        with pytest.raises(RpcFailed):
            client.call(client.system.GetSystemHealth, pb.GetSystemHealthRequest())


def test_no_secret_is_told(config: Config):
    told = str(list(examine(replace(config, database_url="postgresql://u:verysecret@127.0.0.1:1/x"))))
    assert "verysecret" not in told
    assert config.service_token not in told


def test_a_database_that_is_away_hides_nothing_else(config: Config):
    away = replace(config, database_url=f"postgresql://flute:x@127.0.0.1:{free_port()}/flute")
    told = by_name(examine(away))
    assert told["database"].status is FAILING
    assert "not reachable" in told["database"].text
    assert "DATABASE_URL" in told["database"].fix
    assert told["redis"].status is OK


def test_a_redis_that_is_away_hides_nothing_else(config: Config):
    told = by_name(examine(replace(config, redis_url=f"redis://127.0.0.1:{free_port()}/0")))
    assert told["redis"].status is FAILING
    assert told["database"].status is OK
    assert "workers" not in told


def test_without_a_worker_nothing_is_sent(config: Config):
    told = by_name(in_redis(config))
    assert (told["workers"].status, told["workers"].fix) == (FAILING, "start one: flute worker")
    assert told["sweep"].status is WARNING


def test_a_sweep_that_stopped_is_told(config: Config):
    client = Redis.from_url(config.redis_url)
    for ago, status in ((10, OK), (200, FAILING)):
        seconds, _ = client.time()
        client.set(SWEPT, seconds - ago)
        assert by_name(valkey.workers(client))["sweep"].status is status


def test_an_empty_database_is_behind_as_alembic_says(services: Services, config: Config):
    empty = replace(config, database_url=fresh_database(services, "system_health_empty"))
    schema = by_name(in_database(empty))["schema"]
    assert schema.status is FAILING
    assert schema.text == f"{len(pending_migrations(empty))} migrations behind"
    assert schema.fix == "run: flute migrate"


@pytest.mark.parametrize(
    ("applied", "words", "status"),
    [("0002", "behind", FAILING), ("9999", "does not know", FAILING)],
)
def test_a_schema_of_another_version(applied: str, words: str, status: Status):
    answers = {
        "SELECT to_regclass('alembic_version')": [("t",)],
        "SELECT version_num FROM alembic_version": [(applied,)],
    }
    [check] = database.schema(lambda query: answers[query])
    assert check.status is status
    assert words in check.text


@pytest.mark.parametrize(("minutes", "status"), [(0.5, OK), (2, WARNING), (30, FAILING)])
def test_mail_that_is_due_for_long(config: Config, minutes: float, status: Status):
    place = Place.create()
    values = {"environment": place.environment_id, "id": uuid.uuid4(), "age": minutes}
    do(
        "INSERT INTO email (id, environment_id, due_time, lease, round, content, has_attachments)"
        " VALUES (:id, :environment, now() - :age * interval '1 minute', 0, 0, '{}', false)",
        **values,
    )
    check = by_name(in_database(config))["queue"]
    assert check.status is status
    assert check.text.startswith("1, the oldest for")


def test_events_that_nobody_reads_or_follows(config: Config):
    place = Place.create()
    do(
        "INSERT INTO inbound (provider_account_id, recipient, body, due_time, error)"
        " VALUES (:account, '', '', now() - interval '5 minutes', '')",
        account=place.accounts[0],
    )
    do("INSERT INTO follower (name, xid, event_id) VALUES ('events', '0', 0)")
    email_id = uuid.uuid4()
    do(
        "INSERT INTO email (id, environment_id, lease, round, content, has_attachments)"
        " VALUES (:id, :environment, 0, 0, '{}', false)",
        id=email_id,
        environment=place.environment_id,
    )
    do(
        "INSERT INTO event (email_id, environment_id, type, text, time)"
        " VALUES (:id, :environment, 'accepted', '', now() - interval '20 minutes')",
        id=email_id,
        environment=place.environment_id,
    )
    told = by_name(in_database(config))
    assert told["events"].status is WARNING
    assert told["follower"].status is FAILING
    assert "20 minutes" in told["follower"].text


def test_secrets_that_the_present_keys_do_not_open(config: Config):
    assert by_name(in_database(config))["stored_secrets"].text == "no secret is stored yet"
    place = Place.create()
    do("UPDATE provider_account SET credentials = :b WHERE id = :id", b=b"old", id=place.accounts[0])
    check = by_name(in_database(config))["stored_secrets"]
    assert check.status is FAILING
    assert check.text.startswith("2 of 2 stored secrets cannot be opened")  # the other's are empty


@pytest.mark.parametrize("keys", [("rubbish",), (Fernet.generate_key().decode(), "")])
def test_keys_that_are_none(config: Config, keys: tuple[str, ...]):
    told = by_name(installation.secret_keys(replace(config, secret_keys=keys, service_token="short")))
    assert told["secret_keys"].status is FAILING
    assert f"number {len(keys)}" in told["secret_keys"].text
    assert told["service_token"].status is FAILING


def test_settings_and_disk(config: Config, tmp_path: Path):
    missing = by_name(installation.addresses(config))
    assert (missing["public_url"].status, missing["system_mail"].status) == (WARNING, WARNING)
    assert "FLUTE_SYSTEM_SMTP" in missing["system_mail"].fix
    there = by_name(installation.addresses(replace(config, public_url="https://mail.example")))
    assert there["public_url"].status is OK
    [disk] = installation.disk(tmp_path / "not" / "yet")
    assert "GiB free" in disk.text
    assert "disk" in by_name(examine(replace(config, data_dir=str(tmp_path))))


def test_sizes_and_clocks():
    assert [size(n) for n in (2048, 5 * 1024**2, 3 * 1024**3)] == ["2 kB", "5.0 MB", "3.0 GB"]
    assert clock("x", "X", 0.0).status is FAILING


def test_a_look_that_breaks_is_a_finding():
    def broken() -> Iterator[Check]:
        raise ZeroDivisionError
        yield

    [check] = guarded("x", "X", broken)
    assert check.status is FAILING
    assert "ZeroDivisionError" in check.text
