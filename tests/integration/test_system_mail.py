"""Flute's own mail: it leaves exactly if what it tells of was committed, and survives every crash."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask

from flute_server.admin import mail_texts, system_mail
from flute_server.config import Config, Relay
from flute_server.local.embedded import Services
from flute_server.models import Account, AlertKind, Member, Role, SystemMail, User, db
from flute_server.sandbox import Sandbox
from flute_server.schema import upgrade
from flute_server.sending import alerts, throttle
from flute_server.sending.limits import Meter
from flute_server.sending.system_mail import Postman
from flute_server.vault import vault
from tests.integration.places import app_of
from tests.stack import fresh_database


class Crash(BaseException):
    """As if the process had died here."""


@pytest.fixture(scope="module")
def config(services: Services) -> Config:
    made = Config(
        database_url=fresh_database(services, "system_mail"),
        redis_url=services.redis_url,
        secret_keys=(Fernet.generate_key().decode(),),
        service_token="x" * 32,
        system_from="Flute <flute@flutemail.io>",
        public_url="https://flute.example",
    )
    upgrade(made)
    return made


@pytest.fixture
def app(config: Config, sandbox: Sandbox) -> Iterator[Flask]:
    """With the sandbox as the route, and no mail."""
    login, (host, port) = sandbox.credentials("smtp"), sandbox.address("smtp")
    relay = Relay(host, port, "none", login["username"], login["password"])
    with app_of(replace(config, system_smtp=relay)) as made, made.app_context():
        db.session.query(SystemMail).delete()
        db.session.commit()
        yield made
        db.session.rollback()


@pytest.fixture
def postmen(app: Flask) -> Iterator[Callable[[], Postman]]:
    """Workers that send, one for each call."""
    made: list[Postman] = []

    def start() -> Postman:
        made.append(Postman(app))
        return made[-1]

    yield start
    for postman in made:
        postman.close()


Postmen = Callable[[], Postman]


def queue(email: str = "ada@people.example") -> None:
    system_mail.queue(email, mail_texts.reset("https://flute.example/reset/token"))
    db.session.commit()


def rows() -> list[Any]:
    db.session.expire_all()
    return list(db.session.query(SystemMail).order_by(SystemMail.create_time))


def due_now() -> None:
    db.session.query(SystemMail).update({"next_try_time": db.func.now()})
    db.session.commit()


def copies(sandbox: Sandbox, id_: object) -> int:
    """How many mails with this id, which makes their Message-ID, the route got."""
    return sum(str(id_) in str(mail) for mail in sandbox.inbox(content=1))


def test_a_mail_leaves_once_and_is_forgotten(postmen: Postmen, sandbox: Sandbox):
    queue()
    assert "reset/token" not in str(rows()[0].content)
    postman = postmen()
    assert (postman.turn(), postman.turn()) == (1, 0)
    (mail,) = sandbox.inbox(to="ada@people.example")
    assert "https://flute.example/reset/token" in str(mail)
    assert "auto-generated" in str(mail)
    assert rows() == []


def test_what_was_not_committed_is_not_mailed(postmen: Postmen, sandbox: Sandbox):
    system_mail.queue("ada@people.example", mail_texts.reset("x"))
    db.session.rollback()
    assert postmen().turn() == 0
    assert sandbox.inbox() == []


@pytest.mark.parametrize("moment", ["before it is sent", "after it was sent"])
def test_a_crash_loses_no_mail_and_a_repetition_is_seen_to_be_one(
    postmen: Postmen, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, moment: str
):
    queue()
    row_id = rows()[0].id
    postman = postmen()
    route: Any = postman._route
    send = route.send

    def dying(handoff: Any) -> Any:
        if moment == "after it was sent":
            send(handoff)
        raise Crash

    monkeypatch.setattr(route, "send", dying)
    with pytest.raises(Crash):
        postman.turn()
    assert postmen().turn() == 0, "it is leased to the one that died"
    due_now()
    assert postmen().turn() == 1
    assert copies(sandbox, row_id) == sandbox.count() == (2 if moment == "after it was sent" else 1)
    assert rows() == []


def test_a_route_that_is_down_is_tried_again_for_a_day(postmen: Postmen, sandbox: Sandbox):
    sandbox.set_mode("smtp", "error")
    queue()
    postman = postmen()
    pauses = []
    for _ in range(4):
        due_now()
        assert postman.turn() == 1
        (row,) = rows()
        pauses.append(row.next_try_time - datetime.now(UTC))
    assert row.last_error
    assert pauses == sorted(pauses)
    assert system_mail.standing()[2] == row.last_error
    db.session.query(SystemMail).update({"give_up_time": db.func.now()})
    due_now()
    assert postman.turn() == 1
    assert rows() == []


def test_a_mail_that_cannot_be_read_holds_up_no_other(postmen: Postmen, sandbox: Sandbox):
    queue()
    (row,) = rows()
    row.content = vault((Fernet.generate_key().decode(),)).seal({"subject": "x"})
    queue("grace@people.example")
    assert postmen().turn() == 2
    assert len(sandbox.inbox(to="grace@people.example")) == 1
    assert "FLUTE_SECRET_KEYS" in rows()[0].last_error


def test_a_refused_recipient_is_given_up_at_once(postmen: Postmen, sandbox: Sandbox):
    sandbox.set_mode("smtp", "reject_recipient")
    queue()
    assert postmen().turn() == 1
    assert rows() == []


def test_without_a_route_mail_waits_and_the_log_says_so(
    config: Config, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
):
    with app_of(config) as app, app.app_context():
        queue()
        assert Postman(app).turn() == 0
        assert len(rows()) == 1
    assert "set FLUTE_SYSTEM_SMTP" in caplog.text


def account(*members: tuple[str, Role, bool]) -> uuid.UUID:
    """An account with members: their addresses, roles, and whether the addresses are proven."""
    made = Account(id=uuid.uuid4(), name="Acme <b>")
    db.session.add(made)
    for email, role, proven in members:
        user = User(id=uuid.uuid4(), email=f"{uuid.uuid4()}.{email}", password_hash="x")
        user.confirm_time = db.func.now() if proven else None
        db.session.add(user)
        db.session.flush()
        db.session.add(Member(account_id=made.id, user_id=user.id, role=role))
    db.session.commit()
    return made.id


def test_an_alert_is_mailed_once_while_open_to_those_who_run_the_account(app: Flask):
    id_ = account(
        ("owner@x.example", Role.OWNER, True),
        ("admin@x.example", Role.ADMIN, True),
        ("unproven@x.example", Role.OWNER, False),
        ("viewer@x.example", Role.VIEWER, True),
    )
    for _ in range(3):
        alerts.tell(id_, AlertKind.PROVIDER_ACCOUNT, "one", "the key of Postmark <x> was refused")
        db.session.commit()
    found = rows()
    assert sorted(row.recipient.partition(".")[2] for row in found) == ["admin@x.example", "owner@x.example"]
    content = system_mail.opened(found[0])
    assert "the key of Postmark <x> was refused" in content["text"]
    assert "<x>" not in content["html"]
    alerts.settle(id_, AlertKind.PROVIDER_ACCOUNT, "one")
    alerts.tell(id_, AlertKind.PROVIDER_ACCOUNT, "one", "again")
    alerts.tell(id_, AlertKind.WEBHOOK, "two", "the endpoint was paused")
    db.session.commit()
    assert sorted(row.kind for row in rows()) == ["alert"] * 4 + ["webhook_paused"] * 2


def test_a_swarm_of_odd_bounces_is_one_mail_a_day(app: Flask):
    id_ = account(("owner@x.example", Role.OWNER, True))
    for number in range(5):
        alerts.tell(id_, AlertKind.REVIEW, str(number), "no rule understands it")
    db.session.commit()
    assert len(rows()) == 1


def test_people_get_in_while_redis_is_away():
    meter = Meter("redis://127.0.0.1:1")
    for _ in range(200):
        throttle.log_in(meter, "ada@people.example", "10.0.0.1")
        throttle.logged_in(meter, "ada@people.example", "10.0.0.1")
