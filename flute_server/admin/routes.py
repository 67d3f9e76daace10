"""The order in which an environment tries its provider accounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select

from flute_server.admin.audit import Action, Author, note
from flute_server.admin.find import find
from flute_server.errors import AlreadyExists, FailedPrecondition, Violation, invalid
from flute_server.models import Environment, ProviderAccount, Route, db

MAX_ROUTES = 20
RANGES = {
    "position": range(1, 10_001),
    "weight": range(1, 1001),
    "max_per_second": range(100_001),
    "max_per_day": range(1_000_000_001),
}


def create(
    environment_id: str, provider_account_id: str, settings: Mapping[str, int], author: Author
) -> Route:
    """Add a provider account to an environment of the same account.

    settings: any of RANGES, disabled and authenticated; position 0: after the last one; weight 0: 1; a cap
    of 0: none. Raises InvalidArgument, NotFound, AlreadyExists, FailedPrecondition.
    """
    environment = find(Environment, environment_id)
    provider_account = find(ProviderAccount, provider_account_id)
    if provider_account.account_id != environment.account_id:
        text = "belongs to another account than the environment"
        raise invalid([Violation("route.provider_account_id", text)])
    existing = list_all(environment_id)
    if any(route.provider_account_id == provider_account.id for route in existing):
        raise AlreadyExists("ROUTE_EXISTS", "the environment has a route to this provider account already")
    if len(existing) >= MAX_ROUTES:
        raise FailedPrecondition("TOO_MANY_ROUTES", f"an environment has at most {MAX_ROUTES} routes")
    last = max((route.position for route in existing), default=0)
    route = Route(environment_id=environment.id, provider_account_id=provider_account.id)
    position, weight = settings.get("position") or last + 1, settings.get("weight") or 1
    _change(route, {**settings, "position": position, "weight": weight})
    db.session.add(route)
    _note(route, "route.create", author, f"at position {position}")
    db.session.commit()
    return route


def update(id_: str, settings: Mapping[str, int], author: Author) -> Route:
    """Change any of RANGES, disabled and authenticated."""
    route = find(Route, id_)
    _change(route, settings)
    _note(route, "route.update", author, ", ".join(f"{name}: {value}" for name, value in settings.items()))
    db.session.commit()
    return route


def reorder(environment_id: str, ranks: Sequence[Sequence[str]], author: Author) -> list[Route]:
    """Give every route its position by the rank that it stands in, all or none.

    Raises FailedPrecondition unless the ranks hold each route of the environment once.
    """
    environment = find(Environment, environment_id)
    found = _locked(environment)
    positions = {id_: at for at, rank in enumerate(ranks, 1) for id_ in rank}
    if sorted(id_ for rank in ranks for id_ in rank) != sorted(str(route.id) for route in found):
        text = "the routes have changed meanwhile: look at them again, then put all of them in order"
        raise FailedPrecondition("ROUTES_CHANGED", text)
    for route in found:
        route.position = positions[str(route.id)]
    note(environment.account_id, author, "route.reorder", environment.name, _in_order(ranks, found))
    db.session.commit()
    return list_all(environment_id)


def delete(id_: str, author: Author) -> None:
    route = find(Route, id_)
    _note(route, "route.delete", author)
    db.session.delete(route)
    db.session.commit()


def list_all(environment_id: str) -> list[Route]:
    """In the order of position; equals by age."""
    environment = find(Environment, environment_id)
    query = select(Route).where(Route.environment_id == environment.id)
    return list(db.session.scalars(query.order_by(Route.position, Route.id)))


def _locked(environment: Environment) -> list[Route]:
    """Its routes, none of which changes, and to which none is added, until the transaction ends."""
    db.session.execute(select(Environment.id).where(Environment.id == environment.id).with_for_update())
    query = select(Route).where(Route.environment_id == environment.id).order_by(Route.id)
    return list(db.session.scalars(query.with_for_update().execution_options(populate_existing=True)))


def _in_order(ranks: Sequence[Sequence[str]], routes: Iterable[Route]) -> str:
    """Postmark and Mailgun, then SendGrid: for the audit log."""
    accounts = {str(route.id): str(route.provider_account_id) for route in routes}
    names = [[find(ProviderAccount, accounts[id_]).name for id_ in rank] for rank in ranks if rank]
    return ", then ".join(" and ".join(rank) for rank in names)


def _note(route: Route, action: Action, author: Author, text: str = "") -> None:
    environment = find(Environment, str(route.environment_id))
    provider_account = find(ProviderAccount, str(route.provider_account_id))
    subject = f"{provider_account.name} in {environment.name}"
    note(environment.account_id, author, action, subject, text)


def _change(route: Route, settings: Mapping[str, int]) -> None:
    for name, value in settings.items():
        if name in {"disabled", "authenticated"}:
            setattr(route, name, bool(value))
        elif name not in RANGES:
            text = f"cannot be changed; what can be: {', '.join(RANGES)}, disabled, authenticated"
            raise invalid([Violation(f"update_mask.{name}", text)])
        elif value not in RANGES[name]:
            limits = RANGES[name]
            raise invalid([Violation(f"route.{name}", f"{limits.start} to {limits.stop - 1:,}")])
        else:
            setattr(route, name, value or None)
