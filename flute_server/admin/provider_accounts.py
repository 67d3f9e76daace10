"""Credentials at sending services."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import exists, func, select
from sqlalchemy import update as change

from flute_server.admin.audit import Action, Author, note
from flute_server.admin.find import find, required_name
from flute_server.admin.paging import page
from flute_server.config import Config
from flute_server.errors import AlreadyExists, FailedPrecondition, Violation, invalid
from flute_server.models import Account, Attempt, Environment, ProviderAccount, Route, db
from flute_server.providers.base import CredentialCheck, CredentialError, Network, Provider
from flute_server.providers.redaction import clip
from flute_server.providers.registry import PROVIDERS, connect
from flute_server.vault import vault


def create(
    config: Config,
    account_id: str,
    provider: str,
    name: str,
    credentials: Mapping[str, str],
    *,
    author: Author,
) -> ProviderAccount:
    """Connect a provider. Raises InvalidArgument naming the field, NotFound, AlreadyExists."""
    account = find(Account, account_id)
    if provider not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        raise invalid([Violation("provider_account.provider", f"one of {known}")])
    name = _free_name(account.id, required_name("provider_account.name", name))
    row = ProviderAccount(account_id=account.id, provider=provider, name=name)
    row.credentials = vault(config.secret_keys).seal(_validated(PROVIDERS[provider], credentials))
    db.session.add(row)
    _note(row, "provider_account.create", author, PROVIDERS[provider].name)
    db.session.commit()
    return row


def update(
    config: Config, id_: str, name: str | None, credentials: Mapping[str, str], author: Author
) -> ProviderAccount:
    """Replace what is given: name None keeps the name, an empty credential is removed.

    Raises InvalidArgument naming the field, also for a required credential that would be removed.
    """
    row = find(ProviderAccount, id_)
    changed = []
    if name is not None and name.strip() != row.name:
        new_name = _free_name(row.account_id, required_name("provider_account.name", name))
        changed.append(f"was named {row.name}")
        row.name = new_name
    changed += _set_credentials(config, row, credentials)
    if changed:
        _note(row, "provider_account.update", author, "; ".join(changed))
    db.session.commit()
    return row


def _set_credentials(config: Config, row: ProviderAccount, given: Mapping[str, str]) -> list[str]:
    """What changed, in words. Mail and the check of before say nothing of other credentials to send with."""
    if not given:
        return []
    secrets, kind = vault(config.secret_keys), PROVIDERS[row.provider]
    before = secrets.open(row.credentials)
    after = _validated(kind, {**before, **given})
    names = sorted(name for name in given if after[name] != before.get(name, ""))
    if not names:
        return []
    row.credentials = secrets.seal(after)
    row.revision += 1
    if not all(field.webhook for field in kind.fields if field.name in names):
        row.check_time, row.check_ok, row.check_refused = None, False, False
        row.check_text = row.check_advice = ""
    removed = [name for name in names if not after[name]]
    replaced = [name for name in names if after[name]]
    words = (("credentials", replaced), ("removed credentials", removed))
    return [f"{what}: {', '.join(named)}" for what, named in words if named]


def reset(id_: str, author: Author) -> ProviderAccount:
    """Note that somebody says it is well again. The caller closes its breakers and commits."""
    row = find(ProviderAccount, id_)
    _note(row, "provider_account.reset", author)
    return row


def pause(id_: str, author: Author) -> ProviderAccount:
    """Let it have no more mail; the first pause stands. The workers see it at the next mail."""
    row = find(ProviderAccount, id_)
    if row.pause_time is None:
        row.pause_time = datetime.now(UTC)
        _note(row, "provider_account.pause", author)
    db.session.commit()
    return row


def resume(id_: str, author: Author) -> ProviderAccount:
    """Let it have mail again. The caller brings forward what waits, and commits."""
    row = find(ProviderAccount, id_)
    if row.pause_time is not None:
        row.pause_time = None
        _note(row, "provider_account.resume", author)
    return row


def delete(id_: str, author: Author) -> None:
    """Raises FailedPrecondition while a route uses it or mail went through it."""
    row = find(ProviderAccount, id_)
    if db.session.scalar(select(exists().where(Route.provider_account_id == row.id))):
        raise FailedPrecondition("PROVIDER_ACCOUNT_IN_USE", "a route uses it; delete the route first")
    if db.session.scalar(select(exists().where(Attempt.provider_account_id == row.id))):
        raise FailedPrecondition(
            "PROVIDER_ACCOUNT_HAS_MAIL", "mail went through it, whose story would be lost"
        )
    _note(row, "provider_account.delete", author)
    db.session.delete(row)
    db.session.commit()


def verify(config: Config, id_: str) -> CredentialCheck:
    """Try the credentials with a call that sends nothing, and keep what came of it. The caller commits."""
    row = find(ProviderAccount, id_)
    credentials = vault(config.secret_keys).open(row.credentials)
    network = Network(
        config.connect_timeout_s, min(config.read_timeout_s, 10.0), config.allow_private_addresses
    )
    # The call may take seconds; no database connection is held meanwhile.
    key, slug, revision = row.id, row.provider, row.revision
    db.session.rollback()
    provider = connect(slug, credentials, network)
    try:
        check = provider.check()
    finally:
        provider.close()
    _keep(key, revision, check)
    return check


def _keep(id_: uuid.UUID, revision: int, check: CredentialCheck) -> None:
    """Unless the credentials were changed meanwhile, or it is gone: the check says nothing of others."""
    mine = change(ProviderAccount).where(ProviderAccount.id == id_, ProviderAccount.revision == revision)
    db.session.execute(
        mine.values(
            check_time=func.now(),
            check_ok=check.ok,
            check_refused=check.refused,
            check_text=clip(check.text),
            check_advice=clip(check.advice),
        )
    )


def list_page(account_id: str, size: int, token: str) -> tuple[list[ProviderAccount], str]:
    account = find(Account, account_id)
    query = select(ProviderAccount).where(ProviderAccount.account_id == account.id)
    return page(query, ProviderAccount, size, token)


@dataclass(frozen=True, slots=True)
class Use:
    """An environment that has a route to a provider account."""

    id: uuid.UUID
    name: str
    route_disabled: bool


def environments(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[Use]]:
    """By provider account, the environments that have a route to it, by name."""
    query = (
        select(Route.provider_account_id, Environment.id, Environment.name, Route.disabled)
        .join(Environment, Environment.id == Route.environment_id)
        .where(Route.provider_account_id.in_(list(ids)))
        .order_by(Environment.name)
    )
    found: dict[uuid.UUID, list[Use]] = {}
    for account_id, id_, name, disabled in db.session.execute(query):
        found.setdefault(account_id, []).append(Use(id_, name, disabled))
    return found


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of credentials. shown: those that are no secrets; secrets: the names of the others."""

    shown: dict[str, str]
    secrets: list[str]


def known_credentials(config: Config, row: ProviderAccount) -> Known:
    """What may be told of the credentials."""
    values = vault(config.secret_keys).open(row.credentials)
    secret = {field.name for field in PROVIDERS[row.provider].fields if field.secret}
    shown = {name: value for name, value in values.items() if name not in secret}
    return Known(shown, sorted(name for name in secret if values.get(name)))


def _note(row: ProviderAccount, action: Action, author: Author, text: str = "") -> None:
    note(row.account_id, author, action, row.name, text)


def _validated(provider: type[Provider], credentials: Mapping[str, str]) -> dict[str, str]:
    try:
        return provider.validate(credentials)
    except CredentialError as error:
        path = f"provider_account.credentials.{error.field}"
        raise invalid([Violation(path, str(error))]) from error


def _free_name(account_id: object, name: str) -> str:
    query = select(exists().where(ProviderAccount.account_id == account_id, ProviderAccount.name == name))
    if db.session.scalar(query):
        raise AlreadyExists("NAME_TAKEN", f"the account has a provider account {name!r} already")
    return name
