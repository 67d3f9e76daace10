"""Lists in pages, oldest first, by a cursor that stays right while rows are added."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Select, tuple_

from flute_server.errors import Violation, invalid
from flute_server.models import Account, Alert, ApiKey, Environment, ProviderAccount, Suppression, db

DEFAULT_PAGE = 100
LARGEST_PAGE = 1000

Row = TypeVar("Row", Account, Alert, ApiKey, Environment, ProviderAccount, Suppression)


def page(query: Select[Row], table: type[Row], size: int, token: str) -> tuple[list[Row], str]:
    """One page of a query over a table, and the token of the next page.

    Raises InvalidArgument for a size or token that is none.
    """
    if not 0 <= size <= LARGEST_PAGE:
        raise invalid([Violation("page_size", f"0 to {LARGEST_PAGE}")])
    limit = size or DEFAULT_PAGE
    key = tuple_(table.create_time, table.id)
    if token:
        query = query.where(key > tuple_(*_decode(token)))
    rows = list(db.session.scalars(query.order_by(table.create_time, table.id).limit(limit + 1)))
    if len(rows) <= limit:
        return rows, ""
    last = rows[limit - 1]
    return rows[:limit], _encode(last.create_time, last.id)


def _encode(time: datetime, id_: uuid.UUID) -> str:
    text = json.dumps([time.isoformat(), str(id_)])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _decode(token: str) -> tuple[datetime, uuid.UUID]:
    try:
        time, id_ = json.loads(base64.urlsafe_b64decode(token.encode()))
        return datetime.fromisoformat(time), uuid.UUID(id_)
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise invalid([Violation("page_token", "not a token that a list gave")]) from error
