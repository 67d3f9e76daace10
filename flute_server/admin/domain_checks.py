"""Looking an environment's FROM domain up in DNS, for the provider accounts that its mail goes through."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from flute_server.admin.find import find
from flute_server.config import Config
from flute_server.domain.authentication.book import Answer, Book, Question
from flute_server.domain.authentication.checks import Check, summary
from flute_server.domain.authentication.examine import examine
from flute_server.domain.authentication.setup import Carrier
from flute_server.models import Environment, ProviderAccount, Route, db
from flute_server.providers.authentication import dns_setup
from flute_server.providers.registry import PROVIDERS
from flute_server.resolver import Resolver
from flute_server.vault import vault

# How long it may take in all, and how many questions: a record may lead to others without end.
DEADLINE_S = 5.0
MOST_QUESTIONS = 300


@dataclass(frozen=True, slots=True)
class Examined:
    """The checks of a domain, and what they come to."""

    domain: str
    summary: str
    checks: list[Check]


def check(config: Config, environment_id: str) -> Examined:
    """Look everything up now. Raises NotFound."""
    environment = find(Environment, environment_id)
    domain, carriers = environment.domain, _carriers(config, environment)
    # DNS may take seconds; no database connection is held meanwhile.
    db.session.rollback()
    checks = _examined(domain, carriers, Resolver(config.dns_server))
    return Examined(domain, summary(domain, checks), checks)


def _examined(domain: str, carriers: Sequence[Carrier], resolver: Resolver) -> list[Check]:
    deadline = time.monotonic() + DEADLINE_S
    known: dict[Question, Answer] = {}
    while True:
        book = Book(known)
        checks = examine(domain, carriers, book)
        if not book.wanted or time.monotonic() > deadline or len(known) > MOST_QUESTIONS:
            return checks
        answers = resolver.ask(book.wanted, deadline)
        known |= answers
        if all(answer.fault for answer in answers.values()):
            # DNS is away: to ask on would only take longer.
            return examine(domain, carriers, Book(known))


def _carriers(config: Config, environment: Environment) -> list[Carrier]:
    """The accounts of its routes in order, the switched-off ones too: they are there to be switched on."""
    query = (
        select(Route, ProviderAccount)
        .join(ProviderAccount, ProviderAccount.id == Route.provider_account_id)
        .where(Route.environment_id == environment.id)
        .order_by(Route.position, Route.id)
    )
    secrets = vault(config.secret_keys)
    return [
        Carrier(
            account=account.id,
            name=account.name,
            provider=PROVIDERS[account.provider].name,
            setup=dns_setup(account.provider, secrets.open(account.credentials)),
            authenticated=route.authenticated,
        )
        for route, account in db.session.execute(query)
    ]
