"""The routes of environments as they are now, and who may probe a failing account."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, or_, select, update

from flute_server.domain import breaker as transitions
from flute_server.domain.breaker import ACCOUNT, DOMAIN, BreakerState
from flute_server.domain.drill import Drill
from flute_server.models import AmbiguityPolicy, Breaker, Environment, ProviderAccount, Route, db
from flute_server.models import Drill as DrillRow
from flute_server.sending.task import Policy, Task

Health = transitions.Breaker
# The domain under which the breaker of an account as a whole is kept.
WHOLE = ""


@dataclass(frozen=True, slots=True)
class RouteNow:
    """A route with its account and the account's health.

    domain_health: only the receiving domains of the mail at hand at which the account is not well. drill: the
    one that runs in this environment.
    """

    id: uuid.UUID
    account_id: uuid.UUID
    revision: int
    provider: str
    name: str
    credentials: bytes
    position: int
    weight: int
    disabled: bool
    max_per_second: int | None = None
    max_per_day: int | None = None
    authenticated: bool = False
    paused: bool = False
    health: Health = field(default_factory=Health)
    domain_health: Mapping[str, Health] = field(default_factory=dict)
    drill: Drill | None = None


@dataclass(slots=True)
class Routing:
    """The settings and routes of one environment."""

    policy: Policy
    routes: list[RouteNow]

    @property
    def troubled(self) -> set[str]:
        """The receiving domains at which some account is not well."""
        return {domain for route in self.routes for domain in route.domain_health}


# Of each account one at most: see drills.create.
_RUNNING = and_(
    DrillRow.provider_account_id == Route.provider_account_id,
    DrillRow.end_time > func.now(),
    or_(DrillRow.environment_id.is_(None), DrillRow.environment_id == Environment.id),
)
_QUERY = (
    select(
        Environment.id.label("environment_id"),
        Environment.on_ambiguous,
        Environment.ambiguity_wait_s,
        Environment.give_up_after_s,
        Environment.one_click_unsubscribe,
        Route.id,
        Route.position,
        Route.weight,
        Route.disabled,
        Route.max_per_second,
        Route.max_per_day,
        Route.authenticated,
        Route.provider_account_id.label("account_id"),
        ProviderAccount.revision,
        ProviderAccount.provider,
        ProviderAccount.name,
        ProviderAccount.credentials,
        DrillRow.id.label("drill_id"),
        DrillRow.end_time.label("drill_end"),
        DrillRow.share.label("drill_share"),
        ProviderAccount.pause_time,
    )
    .join(Route, Route.environment_id == Environment.id, isouter=True)
    .join(ProviderAccount, ProviderAccount.id == Route.provider_account_id, isouter=True)
    .join(DrillRow, _RUNNING, isouter=True)
)


def load(tasks: Iterable[Task]) -> dict[uuid.UUID, Routing]:
    """The routing of each of the environments of these tasks, as far as their recipients need it."""
    environment_ids: set[uuid.UUID] = set()
    domains: set[str] = set()
    for task in tasks:
        environment_ids.add(task.environment_id)
        domains.update(pending.recipient.address.domain for pending in task.pending.values())
    return of_environments(environment_ids, domains)


def of_environments(
    environment_ids: Iterable[uuid.UUID], domains: Iterable[str] = ()
) -> dict[uuid.UUID, Routing]:
    """The routing of each environment, with the health at these receiving domains."""
    rows = db.session.execute(_QUERY.where(Environment.id.in_(environment_ids))).all()
    healths = _healths({row.account_id for row in rows if row.account_id}, domains)
    found: dict[uuid.UUID, Routing] = {}
    for row in rows:
        routing = found.setdefault(row.environment_id, Routing(_policy(row), []))
        if row.account_id is not None:
            routing.routes.append(_route(row, healths.get(row.account_id, {})))
    return found


def _policy(row: Row[*tuple[Any, ...]]) -> Policy:
    return Policy(
        hold_ambiguous=row.on_ambiguous == AmbiguityPolicy.WAIT,
        ambiguity_wait=timedelta(seconds=row.ambiguity_wait_s),
        give_up_after=timedelta(seconds=row.give_up_after_s),
        one_click_unsubscribe=row.one_click_unsubscribe,
    )


def _route(row: Row[*tuple[Any, ...]], healths: Mapping[str, Health]) -> RouteNow:
    return RouteNow(
        id=row.id,
        account_id=row.account_id,
        revision=row.revision,
        provider=row.provider,
        name=row.name,
        credentials=row.credentials,
        position=row.position,
        weight=row.weight,
        disabled=row.disabled,
        paused=row.pause_time is not None,
        max_per_second=row.max_per_second,
        max_per_day=row.max_per_day,
        authenticated=row.authenticated,
        health=healths.get(WHOLE, Health()),
        domain_health={domain: health for domain, health in healths.items() if domain != WHOLE},
        drill=Drill(row.drill_id, row.drill_end, row.drill_share) if row.drill_id else None,
    )


def _healths(account_ids: set[uuid.UUID], domains: Iterable[str]) -> dict[uuid.UUID, dict[str, Health]]:
    """What is not as it should be: by account, then by domain."""
    if not account_ids:
        return {}
    ill = or_(Breaker.domain == WHOLE, Breaker.state != BreakerState.CLOSED)
    query = select(Breaker.__table__).where(
        Breaker.provider_account_id.in_(account_ids), Breaker.domain.in_([WHOLE, *domains]), ill
    )
    found: dict[uuid.UUID, dict[str, Health]] = {}
    for id_, domain, state, failures, opened, retry_at, reason in db.session.execute(query):
        health = Health(BreakerState(state), failures, opened, retry_at, reason)
        found.setdefault(id_, {})[domain] = health
    return found


def win_probe(account_id: uuid.UUID, domains: Sequence[str], now: datetime) -> bool:
    """Take the one probe of each of these failing breakers of an account, or none if one is taken already."""
    due = (
        select(Breaker.domain)
        .where(*_which(account_id, domains), Breaker.state != BreakerState.CLOSED, Breaker.retry_at <= now)
        .with_for_update(skip_locked=True)
    )
    if len(db.session.scalars(due).all()) < len(domains):
        return False
    lease = case((Breaker.domain == WHOLE, now + ACCOUNT.probe_lease), else_=now + DOMAIN.probe_lease)
    values = {"state": BreakerState.HALF_OPEN, "retry_at": lease}
    _set(account_id, domains, values)
    return True


def give_back_probe(account_id: uuid.UUID, domains: Sequence[str], now: datetime) -> None:
    """Undo `win_probe`: the mail did not go after all."""
    _set(account_id, domains, {"state": BreakerState.OPEN, "retry_at": now})


def _which(account_id: uuid.UUID, domains: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
    return Breaker.provider_account_id == account_id, Breaker.domain.in_(domains)


def _set(account_id: uuid.UUID, domains: Sequence[str], values: Mapping[str, object]) -> None:
    query = update(Breaker).where(*_which(account_id, domains)).values(**values)
    db.session.execute(query, execution_options={"synchronize_session": False})
