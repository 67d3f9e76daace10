"""The schema: migrations go up and down, and say what the models say."""

from __future__ import annotations

import uuid

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography.fernet import Fernet
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from flute_server.app import create_app
from flute_server.config import Config
from flute_server.domain.verp import return_path
from flute_server.local.embedded import Services
from flute_server.models import db
from flute_server.models.base import AUTOCOMMIT
from flute_server.schema import downgrade, pending_migrations, upgrade
from tests.stack import fresh_database


@pytest.fixture
def config(services: Services) -> Config:
    """Settings with an empty database of their own."""
    return Config(
        database_url=fresh_database(services, "schema_test"),
        redis_url=services.redis_url,
        secret_keys=(Fernet.generate_key().decode(),),
        service_token="x" * 32,
    )


def tables(config: Config) -> set[str]:
    with psycopg.connect(config.database_url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {name for (name,) in rows}


def test_goes_up_and_down_and_up_again(config: Config):
    assert pending_migrations(config)
    upgrade(config)
    assert pending_migrations(config) == []
    assert {"email", "recipient", "attempt", "ledger", "event"} <= tables(config)
    downgrade(config, "base")
    assert tables(config) == {"alembic_version"}
    upgrade(config)
    assert pending_migrations(config) == []


def test_models_and_migrations_say_the_same(config: Config):
    upgrade(config)
    with create_app(config).app_context():
        with db.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, db.metadata) == []
        db.engine.dispose()


@pytest.mark.parametrize("bind", [None, AUTOCOMMIT])
def test_an_error_of_the_database_shows_no_values(config: Config, bind: str | None):
    with create_app(config).app_context():
        with db.engines[bind].connect() as connection, pytest.raises(DBAPIError) as caught:
            connection.execute(text("SELECT 1 / (length(:mail) - 8)"), {"mail": "a secret"})
        assert "a secret" not in str(caught.value)
        for engine in db.engines.values():
            engine.dispose()


def test_the_audit_log_forgets_from_where_people_logged_in(config: Config):
    upgrade(config)
    downgrade(config, "0006")
    texts = {
        "from 192.0.2.7": "",
        "all others (2), from 2001:db8::7": "all others (2)",
        "the one of 01 Nov 2026 from 192.0.2.8, from 192.0.2.7": "the one of 01 Nov 2026",
        "to ada@example.com, from an unknown address": "to ada@example.com",
        "named from here, from 192.0.2.7": "named from here",
    }
    with psycopg.connect(config.database_url, autocommit=True) as connection:
        account = connection.execute(
            "INSERT INTO account (id, name) VALUES (gen_random_uuid(), 'Acme') RETURNING id"
        ).fetchone()
        assert account
        add = """INSERT INTO audit_entry (id, account_id, actor, action, subject, text, request_id)
            VALUES (gen_random_uuid(), %s, 'ada', %s, 'x', %s, '')"""
        for before in texts:
            connection.execute(add, (account[0], "user.update", before))
        connection.execute(add, (account[0], "account.create", "owned by ada, from 192.0.2.7"))
        upgrade(config)
        rows = connection.execute("SELECT text FROM audit_entry WHERE action = 'user.update'").fetchall()
        assert {text for (text,) in rows} == set(texts.values())
        kept = connection.execute("SELECT text FROM audit_entry WHERE action = 'account.create'").fetchone()
        assert kept == ("owned by ada, from 192.0.2.7",)


def test_what_came_back_before_is_filed_with_its_mail_and_removed_with_its_content(config: Config):
    upgrade(config)
    downgrade(config, "0007")
    kept, removed = uuid.uuid4(), uuid.uuid4()
    with psycopg.connect(config.database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # rows without those they refer to
        for id_, content in ((kept, "{}"), (removed, '{"removed_after_days": 7}')):
            connection.execute(
                "INSERT INTO email (id, environment_id, lease, round, content, terms, has_attachments)"
                " VALUES (%s, %s, 0, 0, %s, '{}', false)",
                (id_, id_, content),
            )
            connection.execute(
                "INSERT INTO attempt (id, email_id, provider_account_id, round, start_time, candidates,"
                " environment_id, email_time) VALUES (%s, %s, %s, 0, now(), '[]', %s, now())",
                (id_, id_, id_, id_),
            )
            connection.execute(
                "INSERT INTO inbound (recipient, body, error) VALUES (%s, 'a bounce', '')",
                (return_path(b"any secret", str(id_), "1", "bounces.example.org"),),
            )
            connection.execute(
                "INSERT INTO provider_event"
                " (provider_account_id, key, kind, time, recipient, email_id, event)"
                " VALUES (%s, %s, 'bounced', now(), '', %s, '{\"key\": \"k\", \"raw\": {}}')",
                (id_, str(id_), id_),
            )
        connection.execute(
            "INSERT INTO inbound (provider_account_id, recipient, body, error)"
            " VALUES (%s, '', 'a webhook', '')",
            (kept,),
        )
        upgrade(config)
        rows = connection.execute("SELECT email_id, body FROM inbound ORDER BY id").fetchall()
        assert rows == [(kept, b"a bounce"), (None, b"")]
        words = connection.execute("SELECT email_id, event ? 'raw' FROM provider_event").fetchall()
        assert dict(words) == {kept: True, removed: False}
