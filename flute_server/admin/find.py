"""Rows by the id that a caller gave, as far as they are the caller's."""

from __future__ import annotations

import uuid
from typing import TypeVar

from flute_server.admin import scope
from flute_server.errors import Violation, invalid, not_found
from flute_server.models import (
    Account,
    Alert,
    ApiKey,
    Drill,
    Environment,
    Invitation,
    ProviderAccount,
    Route,
    Suppression,
    WebhookEndpoint,
    db,
)

Row = TypeVar(
    "Row",
    Account,
    Alert,
    ApiKey,
    Drill,
    Environment,
    Invitation,
    ProviderAccount,
    Route,
    Suppression,
    WebhookEndpoint,
)
Owned = (
    Account
    | Alert
    | ApiKey
    | Drill
    | Environment
    | Invitation
    | ProviderAccount
    | Route
    | Suppression
    | WebhookEndpoint
)

_KINDS = {
    Account: "account",
    Alert: "alert",
    ApiKey: "API key",
    Drill: "drill",
    Environment: "environment",
    Invitation: "invitation",
    ProviderAccount: "provider account",
    Route: "route",
    Suppression: "suppression",
    WebhookEndpoint: "webhook endpoint",
}


def find(table: type[Row], given: str) -> Row:
    """The row with this id. Raises NotFound, also for what is no UUID, and for what is another account's."""
    row = db.session.get(table, id_) if (id_ := as_uuid(given)) else None
    if row is None or not scope.allows(owner(row)):
        raise not_found(_KINDS[table], given)
    return row


def is_own_environment(environment_id: uuid.UUID, key_environment_id: uuid.UUID | None) -> bool:
    """Whether what is in an environment is the caller's: of the key's own, or of the person's account."""
    if key_environment_id is not None:
        return key_environment_id == environment_id
    if scope.own_account() is None:
        return True
    return scope.allows(db.session.get_one(Environment, environment_id).account_id)


def owner(row: Owned) -> uuid.UUID:
    """The account that a row belongs to."""
    if isinstance(row, Account):
        return row.id
    if isinstance(row, ApiKey | Route | WebhookEndpoint):
        environment = db.session.get_one(Environment, row.environment_id)
        return environment.account_id
    return row.account_id


def as_uuid(given: str) -> uuid.UUID | None:
    """The UUID in its one canonical form, or None."""
    try:
        id_ = uuid.UUID(given)
    except ValueError:
        return None
    return id_ if str(id_) == given.lower() else None


def required_name(field: str, given: str) -> str:
    """A name as people type it, trimmed. Raises InvalidArgument naming the field."""
    name = given.strip()
    if not name or not _is_name(name):
        raise invalid([Violation(field, "1 to 200 characters, none of them a control character")])
    return name


def optional_name(field: str, given: str) -> str:
    """A name that may be empty. Raises InvalidArgument naming the field."""
    return required_name(field, given) if given.strip() else ""


def _is_name(name: str) -> bool:
    return len(name) <= 200 and not any(ord(c) < 0x20 or ord(c) == 0x7F for c in name)
