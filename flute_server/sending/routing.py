"""The routes of environments as they are now, and who may probe a failing account."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from flute_server.domain import breaker as transitions
from flute_server.domain.breaker import BreakerState
from flute_server.domain.outcome import Reply
from flute_server.domain.settlement import FOR_GOOD
from flute_server.models import AmbiguityPolicy, Breaker, Environment, ProviderAccount, Route, db
from flute_server.sending.task import Policy

Health = transitions.Breaker


@dataclass(frozen=True, slots=True)
class RouteNow:
    """A route with its account and the account's health."""

    account_id: uuid.UUID
    revision: int
    provider: str
    name: str
    credentials: bytes
    position: int
    weight: int
    disabled: bool
    health: Health


@dataclass(slots=True)
class Routing:
    """The settings and routes of one environment."""

    policy: Policy
    routes: list[RouteNow]


_QUERY = (
    select(
        Environment.id.label("environment_id"),
        Environment.on_ambiguous,
        Environment.ambiguity_wait_s,
        Environment.give_up_after_s,
        Route.position,
        Route.weight,
        Route.disabled,
        ProviderAccount.id.label("account_id"),
        ProviderAccount.revision,
        ProviderAccount.provider,
        ProviderAccount.name,
        ProviderAccount.credentials,
        Breaker.state,
        Breaker.failures,
        Breaker.opened,
        Breaker.retry_at,
        Breaker.reason,
    )
    .join(Route, Route.environment_id == Environment.id, isouter=True)
    .join(ProviderAccount, ProviderAccount.id == Route.provider_account_id, isouter=True)
    .join(Breaker, Breaker.provider_account_id == ProviderAccount.id, isouter=True)
)


def load(environment_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Routing]:
    """The routing of each of these environments."""
    found: dict[uuid.UUID, Routing] = {}
    for row in db.session.execute(_QUERY.where(Environment.id.in_(list(environment_ids)))):
        policy = Policy(
            hold_ambiguous=row.on_ambiguous == AmbiguityPolicy.WAIT,
            ambiguity_wait=timedelta(seconds=row.ambiguity_wait_s),
            give_up_after=timedelta(seconds=row.give_up_after_s),
        )
        routing = found.setdefault(row.environment_id, Routing(policy, []))
        if row.account_id is None:
            continue
        route = RouteNow(
            account_id=row.account_id,
            revision=row.revision,
            provider=row.provider,
            name=row.name,
            credentials=row.credentials,
            position=row.position,
            weight=row.weight,
            disabled=row.disabled,
            health=_health(row.state, row.failures, row.opened, row.retry_at, row.reason),
        )
        routing.routes.append(route)
    return found


def _health(state: str | None, failures: int, opened: int, retry_at: datetime | None, reason: str) -> Health:
    if state is None:
        return Health()
    return Health(BreakerState(state), failures, opened, retry_at, reason)


def win_probe(account_id: uuid.UUID, now: datetime) -> bool:
    """Take the one probe of a failing account, if nobody else has."""
    probe = transitions.probing(Health(), now)
    query = (
        update(Breaker)
        .where(Breaker.provider_account_id == account_id, Breaker.retry_at <= now)
        .values(state=probe.state, retry_at=probe.retry_at)
        .returning(Breaker.provider_account_id)
    )
    return db.session.execute(query).one_or_none() is not None


def report(account_id: uuid.UUID, seen: Health, replies: Iterable[Reply], now: datetime) -> None:
    """Let the account's health learn from answers. Healthy and answered well is the common case: no query.

    seen: the health when the call began.
    """
    told = list(replies)
    if seen == Health() and all(transitions.after(seen, reply, now) == seen for reply in told):
        return
    row = db.session.get(Breaker, account_id, with_for_update=True, populate_existing=True)
    health = _health(row.state, row.failures, row.opened, row.retry_at, row.reason) if row else Health()
    for reply in told:
        health = transitions.after(health, reply, now)
    values = {
        "state": health.state,
        "failures": health.failures,
        "opened": health.opened,
        "retry_at": health.retry_at,
        "reason": health.reason,
    }
    upsert = insert(Breaker).values(provider_account_id=account_id, **values)
    db.session.execute(upsert.on_conflict_do_update(index_elements=["provider_account_id"], set_=values))


def lasting_objection(reply: Reply) -> bool:
    """True for a refusal that another round cannot change."""
    return reply.kind in FOR_GOOD
