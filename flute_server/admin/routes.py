"""The order in which an environment tries its provider accounts."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from flute_server.admin.find import find
from flute_server.errors import AlreadyExists, FailedPrecondition, Violation, invalid
from flute_server.models import Environment, ProviderAccount, Route, db

MAX_ROUTES = 20
RANGES = {"position": range(1, 10_001), "weight": range(1, 1001)}


def create(
    environment_id: str, provider_account_id: str, position: int, weight: int, disabled: bool
) -> Route:
    """Add a provider account to an environment of the same account.

    position 0: after the last one; weight 0: 1. Raises InvalidArgument, NotFound, AlreadyExists.
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
    _change(route, {"position": position or last + 1, "weight": weight or 1, "disabled": disabled})
    db.session.add(route)
    db.session.commit()
    return route


def update(id_: str, settings: Mapping[str, int]) -> Route:
    """Change any of position, weight and disabled."""
    route = find(Route, id_)
    _change(route, settings)
    db.session.commit()
    return route


def delete(id_: str) -> None:
    db.session.delete(find(Route, id_))
    db.session.commit()


def list_all(environment_id: str) -> list[Route]:
    """In the order of position; equals by age."""
    environment = find(Environment, environment_id)
    query = select(Route).where(Route.environment_id == environment.id)
    return list(db.session.scalars(query.order_by(Route.position, Route.id)))


def _change(route: Route, settings: Mapping[str, int]) -> None:
    for name, value in settings.items():
        if name == "disabled":
            route.disabled = bool(value)
        elif name not in RANGES:
            text = "cannot be changed; what can be: position, weight, disabled"
            raise invalid([Violation(f"update_mask.{name}", text)])
        elif value not in RANGES[name]:
            limits = RANGES[name]
            raise invalid([Violation(f"route.{name}", f"{limits.start} to {limits.stop - 1:,}")])
        else:
            setattr(route, name, value)
