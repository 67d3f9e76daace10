"""In whose name a mail is sent: the environment of a key, or one named by the operator's own programs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, exists, func, select, update

from flute_server.admin.find import find
from flute_server.errors import Unauthenticated
from flute_server.models import ApiKey, Environment, Route, autocommit, db
from flute_server.vault import token_hash

# Writing the last use of a busy key with every mail would make its row the bottleneck.
LAST_USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Sender:
    """What accepting needs to know of an environment."""

    environment_id: uuid.UUID
    domain: str
    allow_subdomains: bool
    has_routes: bool


# Written out, since it is the first statement of every call: composing it costs as much as running it.
_BY_KEY = """
SELECT k.id AS key_id, k.last_used_time, k.revoke_time, e.id, e.domain, e.allow_subdomains,
    EXISTS (SELECT FROM route r WHERE r.environment_id = e.id) AS has_routes
FROM api_key k JOIN environment e ON e.id = k.environment_id
WHERE k.hash = %(hash)s
"""
_TOUCH = (
    update(ApiKey)
    .where(ApiKey.id == bindparam("key"), ApiKey.revoke_time.is_(None))
    .values(last_used_time=func.now())
)


def by_key(token: str) -> Sender:
    """The environment of an access token. Raises Unauthenticated when it is unknown or revoked."""
    with autocommit() as connection:
        row = connection.exec_driver_sql(_BY_KEY, {"hash": token_hash(token)}).one_or_none()
        if row is not None and _last_use_is_old(row.last_used_time):
            connection.execute(_TOUCH, {"key": row.key_id})
    if row is None:
        raise Unauthenticated("BAD_ACCESS_TOKEN", "the access token is not known; was it copied whole?")
    if row.revoke_time is not None:
        raise Unauthenticated("REVOKED_ACCESS_TOKEN", "the access token was revoked; create a new key")
    return Sender(row.id, row.domain, row.allow_subdomains, row.has_routes)


def _last_use_is_old(time: datetime | None) -> bool:
    return time is None or datetime.now(UTC) - time > LAST_USED_EVERY


def by_environment(environment_id: str) -> Sender:
    """The environment with this id. Raises NotFound."""
    row = find(Environment, environment_id)
    has_routes = db.session.scalar(select(exists().where(Route.environment_id == row.id)))
    return Sender(row.id, row.domain, row.allow_subdomains, bool(has_routes))
