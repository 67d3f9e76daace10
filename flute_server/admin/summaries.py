"""What environments consist of, for lists: a fixed number of queries for any number of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import and_, func, or_, select

from flute_server.models import ApiKey, ProviderAccount, Route, db


@dataclass(frozen=True, slots=True)
class RouteSummary:
    """A route and its provider account."""

    account: ProviderAccount
    disabled: bool


@dataclass(slots=True)
class Summary:
    """Routes in order; how many keys work."""

    routes: list[RouteSummary] = field(default_factory=list)
    keys: int = 0


def of(environment_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Summary]:
    """One for each environment, also for an empty one."""
    found = {id_: Summary() for id_ in environment_ids}
    for id_, route in _routes(environment_ids):
        found[id_].routes.append(route)
    for id_, keys in _keys(environment_ids):
        found[id_].keys = keys
    return found


def _routes(environment_ids: Sequence[uuid.UUID]) -> list[tuple[uuid.UUID, RouteSummary]]:
    query = (
        select(Route, ProviderAccount)
        .join(ProviderAccount, ProviderAccount.id == Route.provider_account_id)
        .where(Route.environment_id.in_(environment_ids))
        .order_by(Route.position, Route.id)
    )
    found = db.session.execute(query)
    return [(route.environment_id, RouteSummary(account, route.disabled)) for route, account in found]


def _keys(environment_ids: Sequence[uuid.UUID]) -> list[tuple[uuid.UUID, int]]:
    works = and_(
        ApiKey.revoke_time.is_(None),
        or_(ApiKey.expire_time.is_(None), ApiKey.expire_time > datetime.now(UTC)),
    )
    query = (
        select(ApiKey.environment_id, func.count())
        .where(ApiKey.environment_id.in_(environment_ids), works)
        .group_by(ApiKey.environment_id)
    )
    return [(id_, count) for id_, count in db.session.execute(query)]
