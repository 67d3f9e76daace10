"""Lists in pages, by a cursor that stays right while rows are added."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Select, tuple_

from flute_server.errors import Violation, invalid
from flute_server.models import (
    Account,
    Alert,
    ApiKey,
    AuditEntry,
    Drill,
    Environment,
    Invitation,
    Member,
    ProviderAccount,
    Suppression,
    SystemMail,
    User,
    WebhookEndpoint,
    db,
)

DEFAULT_PAGE = 100
LARGEST_PAGE = 1000

Row = TypeVar(
    "Row",
    Account,
    Alert,
    ApiKey,
    AuditEntry,
    Drill,
    Environment,
    Invitation,
    Member,
    ProviderAccount,
    Suppression,
    SystemMail,
    User,
    WebhookEndpoint,
)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a row stands in a list."""

    time: datetime
    id: uuid.UUID


def page(
    query: Select[Row], table: type[Row], size: int, token: str, *, newest_first: bool = False
) -> tuple[list[Row], str]:
    """One page of a query over a table, and the token of the next page.

    Raises InvalidArgument for a size or token that is none.
    """
    limit = checked_size(size, DEFAULT_PAGE, LARGEST_PAGE)
    return listed(query, table, limit, token, newest_first=newest_first)


def listed(
    query: Select[Row], table: type[Row], limit: int, token: str, *, newest_first: bool = False
) -> tuple[list[Row], str]:
    """`page` with as many rows as the server wants. Raises InvalidArgument for a token that is none."""
    listing = _listing(query, newest_first)
    key = tuple_(table.create_time, table.id)
    if token:
        place = decode(token, listing)
        after = tuple_(place.time, place.id)
        query = query.where(key < after if newest_first else key > after)
    columns = (table.create_time, table.id)
    order = [column.desc() for column in columns] if newest_first else columns
    rows = list(db.session.scalars(query.order_by(*order).limit(limit + 1)))
    if len(rows) <= limit:
        return rows, ""
    last = rows[limit - 1]
    return rows[:limit], encode(Place(last.create_time, last.id), listing)


def checked_size(given: int, default: int, largest: int) -> int:
    """How many rows a page may have. Raises InvalidArgument."""
    if not 0 <= given <= largest:
        raise invalid([Violation("page_size", f"must be 1 to {largest}, or 0 for the usual size")])
    return given or default


def encode(place: Place, listing: object) -> str:
    """The token of a place in a listing: whatever says, in its repr, which rows are listed."""
    text = json.dumps([place.time.isoformat(), str(place.id), _mark(listing)])
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode(token: str, listing: object) -> Place:
    """The place that `encode` was given. Raises InvalidArgument, also for a token of another listing."""
    try:
        time, id_, mark = json.loads(base64.urlsafe_b64decode(token.encode()))
        place = Place(datetime.fromisoformat(time).astimezone(UTC), uuid.UUID(id_))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise invalid([Violation("page_token", "not a token that a list gave")]) from error
    if mark != _mark(listing):
        text = "the token of another list, or of other filters; page on with the filters of the first page"
        raise invalid([Violation("page_token", text)])
    return place


def _listing(query: Select[Any], newest_first: bool) -> object:
    """Which rows are listed, and how: the statement with its values."""
    compiled = query.compile()
    return str(compiled), sorted(compiled.params.items()), newest_first


def _mark(listing: object) -> str:
    """A caller who mixes up tokens is told so; it is no secret, and a forged one shows nothing more."""
    return hashlib.sha256(repr(listing).encode()).hexdigest()[:12]
