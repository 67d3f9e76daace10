"""What answers, events and silence teach about the health of provider accounts, kept in the database."""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from functools import partial

from flask import Flask
from sqlalchemy import and_, bindparam, delete, exists, false, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from flute_server.domain import breaker as transitions
from flute_server.domain import delay
from flute_server.domain.breaker import BreakerState
from flute_server.domain.outcome import Reply
from flute_server.domain.settlement import LONGEST_BACKOFF
from flute_server.domain.state import State
from flute_server.models import (
    AlertKind,
    Attempt,
    Breaker,
    BreakerChange,
    Delay,
    Email,
    ProviderAccount,
    Recipient,
    Route,
    db,
)
from flute_server.sending import alerts, silence
from flute_server.sending.routing import WHOLE, Health, RouteNow

Key = tuple[uuid.UUID, str]
Transition = Callable[[Health], Health]

# Mail that waits for an account that works again is brought forward: so many, spread over this time. More
# could not be sent sooner anyway, and the others come back by themselves.
LOOKED_AT = 5000
HURRIED = 1000
HURRY_SPREAD_S = 3.0
# How long it is kept when breakers opened and closed.
HISTORY_KEPT = timedelta(days=90)
# Held while one process looks at silence.
_WATCH_LOCK = 0x666C7574


def report(route: RouteNow, replies: Sequence[tuple[str, Reply]], duration_s: float, now: datetime) -> None:
    """What one call says: (receiving domain, reply) for each recipient. A healthy call costs no query."""
    told = transitions.gravest([reply for _, reply in replies])
    after = partial(transitions.after, reply=told, now=now, took_s=duration_s)
    fresh = after(Health())
    if (route.health != Health() or fresh != Health()) and not (fresh.needs_person and _outdated(route)):
        before, health = _change(route.account_id, WHOLE, after)
        if health.needs_person and not before.needs_person:
            _alarm(route, health)
        if health.closed and not before.closed:
            hurry(route.account_id, now)
    for domain in sorted({domain for domain, reply in replies if not reply.accepted}):
        if domain in route.domain_health:
            _change(route.account_id, domain, partial(transitions.undecided, now=now))


def _outdated(route: RouteNow) -> bool:
    """True when the credentials were changed during the call: a refusal says nothing of the new ones."""
    revision = select(ProviderAccount.revision).where(ProviderAccount.id == route.account_id)
    return db.session.scalar(revision) != route.revision


def _alarm(route: RouteNow, health: Health) -> None:
    tenant = db.session.scalars(
        select(ProviderAccount.account_id).where(ProviderAccount.id == route.account_id)
    ).one()
    words = f"{route.name} gets no mail until somebody acts: {health.reason}"
    alerts.tell(tenant, AlertKind.PROVIDER_ACCOUNT, str(route.account_id), words)


def bounced(provider_account_id: uuid.UUID, domain: str, words: str, now: datetime) -> None:
    """A bounce that the provider caused at a receiving domain. In the session's transaction."""
    before, health = _change(provider_account_id, domain, partial(transitions.bounced, text=words, now=now))
    if health.opened == before.opened:
        return
    blocked = select(Breaker.domain).where(
        Breaker.provider_account_id == provider_account_id,
        Breaker.domain != WHOLE,
        Breaker.state != BreakerState.CLOSED,
        Breaker.failures > 0,
    )
    domains = db.session.scalars(blocked).all()
    if len(domains) >= transitions.DOMAINS_TO_OPEN:
        _change(provider_account_id, WHOLE, partial(transitions.spread, domains=domains, now=now))


def delivered(provider_account_id: uuid.UUID, domain: str, took_s: float | None, now: datetime) -> None:
    """A proof that mail through this account arrives at this domain, so long after it was handed over."""
    delivered_many([(provider_account_id, domain, took_s)], now)


def delivered_many(deliveries: Sequence[tuple[uuid.UUID, str, float | None]], now: datetime) -> None:
    """See `delivered`; two queries for any number of deliveries while nothing is wrong."""
    if not deliveries:
        return
    times: dict[Key, list[float]] = defaultdict(list)
    for account_id, domain, took_s in deliveries:
        times[account_id, domain] += [] if took_s is None else [took_s]
    _heal(list(times), now)
    _learn(times)


def _heal(keys: Sequence[Key], now: datetime) -> None:
    ill = or_(Breaker.state != BreakerState.CLOSED, Breaker.failures > 0, Breaker.opened > 0)
    which = (Breaker.provider_account_id, Breaker.domain)
    found = select(*which).where(tuple_(*which).in_(keys), ill)
    for account_id, domain in db.session.execute(found.order_by(*which)).all():
        before, health = _change(account_id, domain, partial(transitions.delivered, now=now))
        if health.closed and not before.closed:
            hurry(account_id, now, domain)


_DELAY = (Delay.provider_account_id, Delay.domain, Delay.deliveries, Delay.mean_s, Delay.deviation_s)


def _learn(times: Mapping[Key, Sequence[float]]) -> None:
    """Move the bands of these accounts and domains. What another process learns meanwhile may get lost."""
    which = tuple_(Delay.provider_account_id, Delay.domain)
    query = select(*_DELAY).where(which.in_(list(times)))
    known = {
        (row.provider_account_id, row.domain): delay.Band(row.deliveries, row.mean_s, row.deviation_s)
        for row in db.session.execute(query)
    }
    changed: list[dict[str, object]] = []
    for key, seconds in sorted(times.items()):
        old = band = known.get(key, delay.Band())
        for took_s in seconds:
            if delay.teaches(band, random.random()):  # noqa: S311  a sample, no secret
                band = delay.learned(band, took_s)
        if band != old:
            changed.append({"provider_account_id": key[0], "domain": key[1], **asdict(band)})
    if changed:
        new = insert(Delay).values(changed)
        values = {field.name: new.excluded[field.name] for field in fields(delay.Band)}
        key_columns = ["provider_account_id", "domain"]
        db.session.execute(new.on_conflict_do_update(index_elements=key_columns, set_=values))


def of(provider_account_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[Breaker]]:
    """By account, what is known of it as a whole, and of the domains where it is not well."""
    query = select(Breaker).where(
        Breaker.provider_account_id.in_(list(provider_account_ids)),
        or_(Breaker.domain == WHOLE, Breaker.state != BreakerState.CLOSED),
    )
    found: dict[uuid.UUID, list[Breaker]] = defaultdict(list)
    for breaker in db.session.scalars(query.order_by(Breaker.domain)):
        found[breaker.provider_account_id].append(breaker)
    return found


def reset(provider_account_id: uuid.UUID) -> None:
    """A person has acted: the account is used again everywhere. In the session's transaction."""
    now = db.session.scalars(select(func.now())).one()
    mine = Breaker.provider_account_id == provider_account_id
    healthy = {"state": BreakerState.CLOSED, "failures": 0, "opened": 0, "retry_at": now, "reason": ""}
    was_open = select(
        Breaker.provider_account_id, Breaker.domain, false(), literal("reset by a person")
    ).where(mine, Breaker.state != BreakerState.CLOSED)
    columns = ["provider_account_id", "domain", "opened", "reason"]
    db.session.execute(insert(BreakerChange).from_select(columns, was_open))
    db.session.execute(delete(Breaker).where(mine, Breaker.domain == WHOLE))
    db.session.execute(update(Breaker).where(mine).values(**healthy))
    tenant = select(ProviderAccount.account_id).where(ProviderAccount.id == provider_account_id)
    alerts.settle(db.session.scalars(tenant).one(), AlertKind.PROVIDER_ACCOUNT, str(provider_account_id))
    hurry(provider_account_id, now)


def hurry(provider_account_id: uuid.UUID, now: datetime, domain: str = WHOLE) -> None:
    """Bring forward mail that waits and may go through this account, if need be only mail to this domain.

    Waiting is mail in a later round than the first, with a queued recipient and in nobody's hands. Test mail
    would only take the places of live mail.
    """
    environments = select(Route.environment_id).where(Route.provider_account_id == provider_account_id)
    waiting = (
        select(Email.id, Email.lease)
        .where(
            Email.due_time > now + timedelta(seconds=HURRY_SPREAD_S),
            Email.due_time <= now + 2 * LONGEST_BACKOFF,
            Email.round > 0,
            ~Email.test,
            Email.environment_id.in_(environments),
        )
        .order_by(Email.due_time)
        .limit(LOOKED_AT)
        .cte("waiting")
        .prefix_with("MATERIALIZED")
    )
    mine = Recipient.email_id == waiting.c.id
    queued = and_(mine, Recipient.state == State.QUEUED)
    if domain:
        queued = and_(queued, func.lower(Recipient.address).endswith(f"@{domain}", autoescape=True))
    free = (
        select(Email.id)
        # The same lease: nobody has claimed it since it was looked at, though that was a moment ago.
        .join(waiting, and_(Email.id == waiting.c.id, Email.lease == waiting.c.lease))
        .where(
            exists().where(queued),
            ~exists().where(mine, Recipient.state == State.SENDING),
            ~exists().where(Attempt.email_id == waiting.c.id, Attempt.end_time.is_(None)),
        )
        .limit(HURRIED)
        .with_for_update(of=Email, skip_locked=True)
    )
    soon = func.now() + func.random() * timedelta(seconds=HURRY_SPREAD_S)
    bring = update(Email).where(Email.id.in_(free)).values(due_time=soon)
    db.session.execute(bring, execution_options={"synchronize_session": False})


def _change(account_id: uuid.UUID, domain: str, transition: Transition) -> tuple[Health, Health]:
    """A breaker before and after a transition, which is written down. No row is a healthy one."""
    before = _locked(account_id, domain)
    if before is None:
        if transition(Health()) == Health():
            return Health(), Health()
        row = {"provider_account_id": account_id, "domain": domain, **_values(Health())}
        db.session.execute(insert(Breaker).values(row).on_conflict_do_nothing())
        before = _locked(account_id, domain) or Health()
    health = transition(before)
    this = (Breaker.provider_account_id == account_id, Breaker.domain == domain)
    if health == Health():
        db.session.execute(delete(Breaker).where(*this))
    elif health != before:
        db.session.execute(update(Breaker).where(*this).values(**_values(health)))
    if before.closed != health.closed:
        _note(account_id, domain, health)
    return before, health


def _note(account_id: uuid.UUID, domain: str, health: Health) -> None:
    """Keep on record that a breaker opened or closed."""
    reason = health.reason.replace("\0", "") if not health.closed else "works again"
    values = {
        "provider_account_id": account_id,
        "domain": domain,
        "opened": not health.closed,
        "reason": reason,
    }
    db.session.execute(insert(BreakerChange).values(values))


def _locked(account_id: uuid.UUID, domain: str) -> Health | None:
    this = select(Breaker.state, Breaker.failures, Breaker.opened, Breaker.retry_at, Breaker.reason).where(
        Breaker.provider_account_id == account_id, Breaker.domain == domain
    )
    row = db.session.execute(this.with_for_update()).one_or_none()
    if row is None:
        return None
    return Health(BreakerState(row.state), row.failures, row.opened, row.retry_at, row.reason)


def _values(health: Health) -> dict[str, object]:
    return {
        "state": health.state,
        "failures": health.failures,
        "opened": health.opened,
        "retry_at": health.retry_at,
        "reason": health.reason.replace("\0", ""),
    }


def sweep(app: Flask) -> None:
    """Look at silence in a transaction of its own."""
    with app.app_context():
        watch(db.session.scalars(select(func.now())).one())
        db.session.commit()


def watch(now: datetime) -> None:
    """Open what is silent, resend what is overdue where the environment says so, and tidy up.

    In the session's transaction, in one process at a time.
    """
    if not db.session.scalar(select(func.pg_try_advisory_xact_lock(_WATCH_LOCK))):
        return
    _decide_probes(now)
    db.session.execute(_TIDY, {"before": now - silence.WATCHED})
    db.session.execute(_FORGET, {"before": now - HISTORY_KEPT})
    for account_id, domain, words in silence.found(now):
        _change(account_id, domain, partial(transitions.silent, text=words, now=now))
    silence.resend(now)


def _decide_probes(now: datetime) -> None:
    """Probes that nobody will hear of, since their account tells of no deliveries."""
    tells = exists().where(Delay.provider_account_id == Breaker.provider_account_id)
    query = select(Breaker.provider_account_id, Breaker.domain).where(
        Breaker.domain != WHOLE, Breaker.state == BreakerState.HALF_OPEN, Breaker.retry_at <= now, ~tells
    )
    for account_id, domain in db.session.execute(query).all():
        _change(account_id, domain, partial(transitions.unheard, now=now))
        hurry(account_id, now, domain)


# What is closed without a blemish is as good as no row, once the mail from before is out of sight.
_TIDY = delete(Breaker).where(
    Breaker.state == BreakerState.CLOSED,
    Breaker.failures == 0,
    Breaker.opened == 0,
    or_(Breaker.retry_at.is_(None), Breaker.retry_at < bindparam("before")),
)
_FORGET = delete(BreakerChange).where(BreakerChange.time < bindparam("before"))
