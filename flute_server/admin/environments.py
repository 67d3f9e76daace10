"""FROM domains and their settings."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from flask import current_app
from sqlalchemy import exists, select

from flute_server import addresses
from flute_server.admin.audit import Action, Author, note
from flute_server.admin.find import find, required_name
from flute_server.admin.paging import page
from flute_server.admin.rate_limits import checked
from flute_server.config import Config
from flute_server.domain.bucket import Limit
from flute_server.errors import AlreadyExists, FailedPrecondition, Violation, invalid
from flute_server.models import (
    Account,
    AmbiguityPolicy,
    DelayPolicy,
    Email,
    Environment,
    ProviderAccount,
    Route,
    db,
)
from flute_server.providers.base import Provider
from flute_server.providers.registry import PROVIDERS
from flute_server.providers.simulator import Simulator

WAITS_S = range(60, 7 * 24 * 3600 + 1)
RETENTION_DAYS = range(3651)
MOST_A_MONTH = 10_000_000_000
CARRIES = {
    "internationalized_sender": "sender addresses with non-ASCII local parts",
    "internationalized_recipient": "recipient addresses with non-ASCII local parts",
    "multiple_reply_to": "several Reply-To addresses",
    "tracking": "open and click tracking",
}


def create(
    account_id: str, name: str, domain: str, settings: Mapping[str, Any], author: Author
) -> Environment:
    """A new environment. settings: any of _SETTERS but name; times in seconds.

    Raises InvalidArgument, NotFound for the account, AlreadyExists for the name.
    """
    account = find(Account, account_id)
    try:
        domain = addresses.domain_of(domain)
    except ValueError as error:
        text = "not a domain; write it without https:// and @, like mail.example.com"
        raise invalid([Violation("environment.domain", text)]) from error
    environment = Environment(account_id=account.id, domain=domain)
    change(environment, {**settings, "name": name})
    db.session.add(environment)
    _note(environment, "environment.create", author, f"for {domain}")
    db.session.commit()
    return environment


def update(id_: str, settings: Mapping[str, Any], author: Author) -> Environment:
    """Change what settings names."""
    environment = find(Environment, id_)
    change(environment, settings)
    _note(environment, "environment.update", author, ", ".join(_words(*item) for item in settings.items()))
    db.session.commit()
    return environment


def change(environment: Environment, settings: Mapping[str, Any]) -> None:
    """Set the given settings. Raises InvalidArgument, AlreadyExists and FailedPrecondition."""
    for name, value in settings.items():
        if setter := _SETTERS.get(name):
            setter(environment, value)
        else:
            text = f"cannot be changed; what can be: {', '.join(_SETTERS)}"
            raise invalid([Violation(f"update_mask.{name}", text)])


def delete(id_: str, author: Author) -> None:
    """Remove an environment with its routes and keys. Raises FailedPrecondition once it has accepted mail."""
    environment = find(Environment, id_)
    if db.session.scalar(select(exists().where(Email.environment_id == environment.id))):
        raise FailedPrecondition(
            "ENVIRONMENT_HAS_MAIL",
            "the environment has accepted mail, whose story would be lost; revoke its keys instead",
        )
    _note(environment, "environment.delete", author)
    db.session.delete(environment)
    db.session.commit()


def list_page(account_id: str, size: int, token: str) -> tuple[list[Environment], str]:
    account = find(Account, account_id)
    return page(select(Environment).where(Environment.account_id == account.id), Environment, size, token)


@dataclass(frozen=True, slots=True)
class Remarks:
    """warnings: what keeps routes from failing over; differences: what some carry and others do not."""

    warnings: list[str]
    differences: list[str]


def remarks(environment_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Remarks]:
    """By environment, what is to be said of the routes in use; one query for any number of them."""
    query = (
        select(Route.environment_id, ProviderAccount)
        .join(ProviderAccount, ProviderAccount.id == Route.provider_account_id)
        .where(Route.environment_id.in_(environment_ids))
        .where(~Route.disabled, ProviderAccount.pause_time.is_(None))
        .order_by(Route.position)
    )
    in_use: dict[uuid.UUID, list[ProviderAccount]] = {id_: [] for id_ in environment_ids}
    for id_, account in db.session.execute(query):
        in_use[id_].append(account)
    return {id_: _remarks(accounts) for id_, accounts in in_use.items()}


def _remarks(accounts: list[ProviderAccount]) -> Remarks:
    found = []
    if not accounts:
        found.append("there is no route in use: mail is refused or waits until there is one")
    if len(accounts) == 1:
        found.append("there is one route: nothing can take over when it fails")
    found += _simulators(accounts)
    return Remarks(found, _unequal([(account.name, PROVIDERS[account.provider]) for account in accounts]))


def _simulators(accounts: list[ProviderAccount]) -> list[str]:
    """Those that stand among accounts which really send: mail that reaches them counts as delivered."""
    played = [account.name for account in accounts if account.provider == Simulator.slug]
    if len(played) == len(accounts):
        return []
    return [
        f"{name} delivers to nobody: mail that gets to it is lost, and shows as delivered" for name in played
    ]


def _unequal(providers: list[tuple[str, type[Provider]]]) -> list[str]:
    """What some of these providers carry and others do not, so that such a mail has fewer routes."""
    found = []
    for name, provider in providers:
        cannot = [
            text
            for attribute, text in CARRIES.items()
            if not getattr(provider.capabilities, attribute)
            and any(getattr(other.capabilities, attribute) for _, other in providers)
        ]
        if cannot:
            found.append(f"{name} does not carry {', '.join(cannot)}: such mail takes another route")
    if providers:
        least = min(provider.capabilities.max_bytes for _, provider in providers)
        most = max(provider.capabilities.max_bytes for _, provider in providers)
        if least < most:
            small = ", ".join(n for n, p in providers if p.capabilities.max_bytes == least)
            found.append(f"{small} takes mails of up to {least // 1024 // 1024} MB, fewer than the others")
    return found


def _set_name(environment: Environment, value: str) -> None:
    environment.name = _free_name(environment, required_name("environment.name", value))


def _note(environment: Environment, action: Action, author: Author, text: str = "") -> None:
    note(environment.account_id, author, action, environment.name, text)


def _words(name: str, value: object) -> str:
    if isinstance(value, Limit):
        return f"{name}: {value.per_second:,} a second"
    return f"{name}: {'none' if value is None else value}"


def _free_name(environment: Environment, name: str) -> str:
    query = select(Environment.id).where(
        Environment.account_id == environment.account_id, Environment.name == name
    )
    with db.session.no_autoflush:
        taken = db.session.scalar(query)
    if taken and taken != environment.id:
        raise AlreadyExists("NAME_TAKEN", f"the account has an environment {name!r} already")
    return name


def _wait(name: str, seconds: int) -> int:
    if seconds not in WAITS_S:
        raise invalid([Violation(f"environment.{name}", "1 minute to 7 days")])
    return seconds


def _set_ambiguity_wait(environment: Environment, seconds: int) -> None:
    environment.ambiguity_wait_s = _wait("ambiguity_wait", seconds)


def _set_give_up_after(environment: Environment, seconds: int) -> None:
    environment.give_up_after_s = _wait("give_up_after", seconds)


def _set_on_ambiguous(environment: Environment, value: str) -> None:
    environment.on_ambiguous = AmbiguityPolicy(value)


def _set_on_delay(environment: Environment, value: str) -> None:
    environment.on_delay = DelayPolicy(value)


def _set_allow_subdomains(environment: Environment, value: bool) -> None:
    environment.allow_subdomains = bool(value)


def _set_rate_limit(environment: Environment, value: Limit | None) -> None:
    limit = checked("environment.rate_limit", value)
    environment.rate_per_second = limit.per_second if limit else None
    environment.rate_burst = limit.burst if limit else None


def _set_monthly_quota(environment: Environment, value: int) -> None:
    if not 0 <= value <= MOST_A_MONTH:
        raise invalid([Violation("environment.monthly_quota", f"0 (no limit) to {MOST_A_MONTH:,}")])
    environment.monthly_quota = value or None


def _set_retention_days(environment: Environment, value: int) -> None:
    if value not in RETENTION_DAYS:
        text = f"0 (for ever) to {RETENTION_DAYS[-1]:,} days"
        raise invalid([Violation("environment.retention_days", text)])
    environment.retention_days = value


def _set_track_opens(environment: Environment, value: bool) -> None:
    environment.track_opens = bool(value)


def _set_track_clicks(environment: Environment, value: bool) -> None:
    environment.track_clicks = bool(value)


def _set_one_click_unsubscribe(environment: Environment, value: bool) -> None:
    config: Config = current_app.config["FLUTE"]
    if value and not config.public_url:
        raise FailedPrecondition(
            "PUBLIC_URL_MISSING",
            "links need the address at which recipients reach web: set FLUTE_PUBLIC_URL for server and"
            " workers, for example https://mail.example.com, and start them anew",
        )
    environment.one_click_unsubscribe = bool(value)


_SETTERS: dict[str, Callable[[Environment, Any], None]] = {
    "name": _set_name,
    "allow_subdomains": _set_allow_subdomains,
    "on_ambiguous": _set_on_ambiguous,
    "ambiguity_wait": _set_ambiguity_wait,
    "give_up_after": _set_give_up_after,
    "on_delay": _set_on_delay,
    "rate_limit": _set_rate_limit,
    "monthly_quota": _set_monthly_quota,
    "one_click_unsubscribe": _set_one_click_unsubscribe,
    "retention_days": _set_retention_days,
    "track_opens": _set_track_opens,
    "track_clicks": _set_track_clicks,
}
