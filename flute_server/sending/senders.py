"""In whose name a mail is sent: the environment of a key, or one named by the operator's own programs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, exists, func, select, update

from flute_server.admin.find import find
from flute_server.domain.bucket import Limit
from flute_server.errors import RateLimited, Unauthenticated
from flute_server.models import ApiKey, Environment, KeyKind, Route, Scope, autocommit, db
from flute_server.vault import token_hash

# Writing the last use of a busy key with every mail would make its row the bottleneck.
LAST_USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Sender:
    """What serving a caller needs to know of an environment, and of the key that it is called with.

    key_id, scopes, key_limit: of the key; the service has none, and may do all. actor: for the audit log.
    refusal: why no mail is stored in this call; one that repeats another still gets the first answer.
    """

    environment_id: uuid.UUID
    account_id: uuid.UUID
    domain: str
    allow_subdomains: bool
    has_routes: bool
    one_click_unsubscribe: bool = False
    track_opens: bool = False
    track_clicks: bool = False
    limit: Limit | None = None
    monthly_quota: int | None = None
    test: bool = False
    key_id: uuid.UUID | None = None
    key_limit: Limit | None = None
    scopes: frozenset[str] = frozenset(Scope)
    actor: str = "service"
    refusal: RateLimited | None = None


# Written out, since it is the first statement of every call: composing it costs as much as running it.
_BY_KEY = """
SELECT k.id AS key_id, k.last_used_time, k.revoke_time, k.expire_time, k.expire_time < now() AS expired,
    k.kind, k.scopes, k.rate_per_second AS key_rate, k.rate_burst AS key_burst, k.name, k.hint,
    e.id, e.account_id, e.domain, e.allow_subdomains, e.one_click_unsubscribe, e.rate_per_second AS rate,
    e.rate_burst AS burst, e.monthly_quota, e.track_opens, e.track_clicks,
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
    """The environment of an access token. Raises Unauthenticated when it is unknown, revoked or expired."""
    with autocommit() as connection:
        row = connection.exec_driver_sql(_BY_KEY, {"hash": token_hash(token)}).one_or_none()
        if row is not None and _last_use_is_old(row.last_used_time):
            connection.execute(_TOUCH, {"key": row.key_id})
    if row is None:
        raise Unauthenticated("BAD_ACCESS_TOKEN", "the access token is not known; was it copied whole?")
    if row.revoke_time is not None:
        raise Unauthenticated("REVOKED_ACCESS_TOKEN", "the access token was revoked; create a new key")
    if row.expired:
        text = f"the access token expired on {row.expire_time:%d %b %Y at %H:%M} UTC; create a new key"
        raise Unauthenticated("EXPIRED_ACCESS_TOKEN", text)
    return Sender(
        environment_id=row.id,
        account_id=row.account_id,
        domain=row.domain,
        allow_subdomains=row.allow_subdomains,
        has_routes=row.has_routes,
        one_click_unsubscribe=row.one_click_unsubscribe,
        track_opens=row.track_opens,
        track_clicks=row.track_clicks,
        limit=_limit(row.rate, row.burst),
        monthly_quota=row.monthly_quota,
        test=row.kind == KeyKind.TEST,
        key_id=row.key_id,
        key_limit=_limit(row.key_rate, row.key_burst),
        scopes=frozenset(row.scopes),
        actor=f"key {row.name} ({row.hint}…)",
    )


def _limit(per_second: int | None, burst: int | None) -> Limit | None:
    return Limit(per_second, burst or per_second) if per_second else None


def _last_use_is_old(time: datetime | None) -> bool:
    return time is None or datetime.now(UTC) - time > LAST_USED_EVERY


def by_environment(environment_id: str) -> Sender:
    """The environment with this id. Raises NotFound."""
    row = find(Environment, environment_id)
    has_routes = db.session.scalar(select(exists().where(Route.environment_id == row.id)))
    return Sender(
        environment_id=row.id,
        account_id=row.account_id,
        domain=row.domain,
        allow_subdomains=row.allow_subdomains,
        has_routes=bool(has_routes),
        one_click_unsubscribe=row.one_click_unsubscribe,
        track_opens=row.track_opens,
        track_clicks=row.track_clicks,
        limit=_limit(row.rate_per_second, row.rate_burst),
        monthly_quota=row.monthly_quota,
    )
