"""Accounts, routes and mail, written straight into a database: what tests of the sending side start from."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet
from flask import Flask

from flute_server.app import create_app
from flute_server.config import Config
from flute_server.domain.message import Address, Message, RecipientKind
from flute_server.domain.message import Recipient as Addressee
from flute_server.domain.outcome import Fate, Outcome
from flute_server.domain.state import State
from flute_server.local.embedded import Services
from flute_server.models import (
    Account,
    Attempt,
    Email,
    Environment,
    Ledger,
    ProviderAccount,
    Recipient,
    Route,
    db,
)
from flute_server.schema import upgrade
from flute_server.sending.routing import RouteNow, load
from flute_server.sending.task import Pending, Task
from tests.stack import fresh_database


@contextmanager
def fresh_app(services: Services, name: str) -> Iterator[Flask]:
    """An app over an empty database with the schema."""
    config = Config(
        database_url=fresh_database(services, name),
        redis_url=services.redis_url,
        secret_keys=(Fernet.generate_key().decode(),),
        service_token="x" * 32,
    )
    upgrade(config)
    with app_of(config) as app:
        yield app


@contextmanager
def app_of(config: Config) -> Iterator[Flask]:
    """An app over a database that is there."""
    app = create_app(config)
    yield app
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()


@dataclass
class Place:
    """A tenant with one environment that routes through these provider accounts, in order."""

    tenant_id: uuid.UUID
    environment_id: uuid.UUID
    accounts: list[uuid.UUID]

    @classmethod
    def create(cls, routes: int = 2, caps: dict[str, int] | None = None, **settings: Any) -> Place:
        tenant = Account(id=uuid.uuid4(), name="Test")
        db.session.add(tenant)
        db.session.flush()
        environment = Environment(
            id=uuid.uuid4(), account_id=tenant.id, name="Test", domain="flutemail.io", **settings
        )
        accounts = [
            ProviderAccount(
                id=uuid.uuid4(), account_id=tenant.id, provider="sendgrid", name=f"p{n}", credentials=b""
            )
            for n in range(routes)
        ]
        db.session.add_all([environment, *accounts])
        db.session.flush()
        for position, account in enumerate(accounts, 1):
            db.session.add(
                Route(
                    id=uuid.uuid4(),
                    environment_id=environment.id,
                    provider_account_id=account.id,
                    position=position,
                    **(caps or {}),
                )
            )
        db.session.commit()
        return cls(tenant.id, environment.id, [account.id for account in accounts])

    def mail(
        self,
        to: str,
        now: datetime,
        *,
        age: timedelta | None = None,
        fate: Fate | None = None,
        state: State = State.SENT,
        **fields: Any,
    ) -> uuid.UUID:
        """A mail to one recipient. age: how long ago the first account took it; None: nobody has it."""
        email = Email(
            id=uuid.uuid4(),
            environment_id=self.environment_id,
            content={},
            create_time=now - (age or timedelta()),
            **fields,
        )
        db.session.add(email)
        db.session.flush()
        recipient = Recipient(
            email_id=email.id,
            environment_id=self.environment_id,
            email_time=email.create_time,
            kind="to",
            address=to,
            name="",
            state=state,
        )
        db.session.add(recipient)
        db.session.flush()
        if age is not None:
            attempt = Attempt(
                id=uuid.uuid4(),
                email_id=email.id,
                environment_id=self.environment_id,
                email_time=email.create_time,
                provider_account_id=self.accounts[0],
                round=0,
                start_time=now - age,
                end_time=now - age,
                candidates=[],
            )
            db.session.add(attempt)
            db.session.flush()
            entry = Ledger(
                attempt_id=attempt.id, recipient_id=recipient.id, outcome=Outcome.ACCEPTED, fate=fate
            )
            db.session.add(entry)
        db.session.commit()
        return email.id

    def task(self, *to: str) -> Task:
        """A claimed mail to these addresses, as the dispatcher sees it."""
        pending = {
            n: Pending(Addressee(str(n), Address(address), RecipientKind.TO), n)
            for n, address in enumerate(to, 1)
        }
        message = Message(Address("hello@flutemail.io"), tuple(map(Address, to)))
        now = datetime.now().astimezone()
        return Task(uuid.uuid4(), self.environment_id, 1, 0, now, message, pending)

    def route(self, number: int = 0, to: str = "ada@example.com") -> RouteNow:
        """A route as a worker sees it now, for a mail to this address."""
        return load([self.task(to)])[self.environment_id].routes[number]


def random_domain() -> str:
    return f"{secrets.token_hex(4)}.example"
