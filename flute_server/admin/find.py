"""Rows by the id that a caller gave."""

from __future__ import annotations

import uuid
from typing import TypeVar

from flute_server.errors import Violation, invalid, not_found
from flute_server.models import Account, Alert, ApiKey, Environment, ProviderAccount, Route, Suppression, db

Row = TypeVar("Row", Account, Alert, ApiKey, Environment, ProviderAccount, Route, Suppression)

_KINDS = {
    Account: "account",
    Alert: "alert",
    ApiKey: "API key",
    Environment: "environment",
    ProviderAccount: "provider account",
    Route: "route",
    Suppression: "suppression",
}


def find(table: type[Row], given: str) -> Row:
    """The row with this id. Raises NotFound, also for what is no UUID."""
    row = db.session.get(table, id_) if (id_ := as_uuid(given)) else None
    if row is None:
        raise not_found(_KINDS[table], given)
    return row


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
    if not 1 <= len(name) <= 200 or any(ord(c) < 0x20 or ord(c) == 0x7F for c in name):
        raise invalid([Violation(field, "1 to 200 characters, none of them a control character")])
    return name
