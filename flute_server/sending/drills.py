"""Failover drills: begin, end and list them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from flute_server.admin.audit import Author, note
from flute_server.admin.find import find
from flute_server.admin.paging import page
from flute_server.domain.drill import ALL, LONGEST, SHORTEST, clock
from flute_server.domain.route import Candidate, Judged, Use, judge
from flute_server.domain.spans import in_words
from flute_server.errors import FailedPrecondition, Violation, invalid
from flute_server.models import Account, Drill, Environment, ProviderAccount, Route, db
from flute_server.sending import health
from flute_server.sending.routing import RouteNow, of_environments


def create(
    provider_account_id: str,
    environment_id: str,
    duration: timedelta,
    share: int,
    *,
    force: bool,
    author: Author,
) -> Drill:
    """Begin a drill. environment_id: empty for all that use the account; share: 0 for all mails.

    Raises InvalidArgument, NotFound, and FailedPrecondition while another runs for the account, when nothing
    uses it, and, unless forced, when nobody could take over the mail of some environment.
    """
    _check(duration, share)
    account = find(ProviderAccount, provider_account_id)
    environment = find(Environment, environment_id) if environment_id else None
    # Two that begin at once must see each other.
    db.session.execute(
        select(ProviderAccount.id).where(ProviderAccount.id == account.id).with_for_update(key_share=True)
    )
    now = db.session.scalars(select(func.now())).one()
    _check_alone(account, now)
    users = _users(account, environment)
    if not force and (trouble := "; ".join(_stranded(account, users, now))):
        text = f"{trouble}. The mail would wait until the drill ends: mend that first, or force the drill"
        raise FailedPrecondition("NO_STANDBY", text)
    drill = Drill(
        account_id=account.account_id,
        provider_account_id=account.id,
        environment_id=environment.id if environment else None,
        share=share or ALL,
        duration_s=round(duration.total_seconds()),
        create_time=now,
        end_time=now + duration,
    )
    db.session.add(drill)
    where = f"in {environment.name}" if environment else "everywhere"
    words = f"{where}, {drill.share} of 100 mails, until {drill.end_time:%Y-%m-%d %H:%M:%S} UTC"
    note(account.account_id, author, "drill.create", account.name, words)
    db.session.commit()
    return drill


@dataclass(frozen=True, slots=True)
class Effect:
    """What a drill would do to the mail of one environment. others: its other routes, in order."""

    environment_id: uuid.UUID
    environment: str
    others: tuple[Judged, ...]

    @property
    def stranded(self) -> bool:
        """Nobody could take over."""
        return all(item.use is not Use.YES for item in self.others)


def preview(provider_account_id: str, environment_id: str) -> tuple[str, list[Effect]]:
    """Why no drill can begin, if so, and what one would do. Raises NotFound."""
    account = find(ProviderAccount, provider_account_id)
    environment = find(Environment, environment_id) if environment_id else None
    moment = now()
    try:
        _check_alone(account, moment)
        users = _users(account, environment)
    except FailedPrecondition as refused:
        return str(refused), []
    return "", list(_effects(account, users, moment))


def end(id_: str, author: Author) -> Drill:
    """End a drill now, and bring forward the mail that waits for that; one that has ended stays as it is."""
    drill = find(Drill, id_)
    db.session.refresh(drill, with_for_update=True)
    now = db.session.scalars(select(func.now())).one()
    if drill.end_time > now:
        early = in_words((drill.end_time - now).total_seconds())
        drill.end_time = now
        account = db.session.get_one(ProviderAccount, drill.provider_account_id)
        note(drill.account_id, author, "drill.end", account.name, f"{early} early")
        db.session.flush()
        health.hurry(drill.provider_account_id, now)
    db.session.commit()
    return drill


def list_page(account_id: str, provider_account_id: str, size: int, token: str) -> tuple[list[Drill], str]:
    """The drills of an account or of one of its provider accounts, newest first."""
    query = select(Drill)
    if account_id or not provider_account_id:
        query = query.where(Drill.account_id == find(Account, account_id).id)
    if provider_account_id:
        query = query.where(Drill.provider_account_id == find(ProviderAccount, provider_account_id).id)
    return page(query, Drill, size, token, newest_first=True)


def names(rows: list[Drill]) -> dict[uuid.UUID, str]:
    """What the provider accounts of these drills are called."""
    ids = {row.provider_account_id for row in rows}
    query = select(ProviderAccount.id, ProviderAccount.name).where(ProviderAccount.id.in_(ids))
    return {id_: name for id_, name in db.session.execute(query)}


def now() -> datetime:
    """By the clock against which drills run."""
    return db.session.scalars(select(func.now())).one()


def _check(duration: timedelta, share: int) -> None:
    wrong = []
    if not SHORTEST <= duration <= LONGEST:
        wrong.append(Violation("duration", "1 minute to 24 hours"))
    if not 0 <= share <= ALL:
        wrong.append(Violation("share", "1 to 100 of a hundred mails"))
    if wrong:
        raise invalid(wrong)


def _check_alone(account: ProviderAccount, now: datetime) -> None:
    query = select(Drill.end_time).where(Drill.provider_account_id == account.id, Drill.end_time > now)
    if until := db.session.scalar(query.limit(1)):
        text = f"a drill of {account.name} runs until {clock(until, now)}; wait for its end, or end it first"
        raise FailedPrecondition("DRILL_RUNNING", text)


def _users(account: ProviderAccount, environment: Environment | None) -> dict[uuid.UUID, str]:
    """The environments that send through the account, with their names. Raises FailedPrecondition."""
    query = (
        select(Environment.id, Environment.name)
        .join(Route, Route.environment_id == Environment.id)
        .where(Route.provider_account_id == account.id, ~Route.disabled)
        .order_by(Environment.name)
    )
    if environment:
        query = query.where(Environment.id == environment.id)
    found = {id_: name for id_, name in db.session.execute(query)}
    if not found:
        who = f"the environment {environment.name}" if environment else "no environment"
        does = "does not send" if environment else "sends"
        text = f"{who} {does} through {account.name}, so a drill would show nothing; add a route or enable it"
        raise FailedPrecondition("NOT_IN_USE", text)
    return found


def _stranded(account: ProviderAccount, users: dict[uuid.UUID, str], now: datetime) -> Iterator[str]:
    """In words, the environments whose mail nobody could take over."""
    for effect in _effects(account, users, now):
        if effect.stranded:
            why = ", ".join(f"{item.candidate.name}: {item.reason}" for item in effect.others)
            why = why or "it has no other route"
            yield f"nobody could take over the mail of {effect.environment} ({why})"


def _effects(account: ProviderAccount, users: dict[uuid.UUID, str], now: datetime) -> Iterator[Effect]:
    routings = of_environments(users)
    for id_, name in users.items():
        routes = sorted(routings[id_].routes, key=lambda route: route.position)
        others = [_judged(route, now) for route in routes if route.account_id != account.id]
        yield Effect(id_, name, tuple(others))


def _judged(route: RouteNow, now: datetime) -> Judged:
    """The route as any mail would find it; one in a drill is none to rely on."""
    candidate = Candidate(
        route.account_id,
        route.name,
        route.position,
        disabled=route.disabled,
        paused=route.paused,
        breaker=route.health,
        drill=route.drill,
    )
    return judge(candidate, now)
