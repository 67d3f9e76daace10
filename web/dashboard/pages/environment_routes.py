"""The routes of an environment: their order, their limits, and which provider accounts could join them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.provider_account_service_pb2 import (
    ListProviderAccountsRequest,
    ListProviderAccountsResponse,
    ProviderAccount,
)
from flute.v1.route_service_pb2 import (
    CreateRouteRequest,
    DeleteRouteRequest,
    ListRoutesRequest,
    ListRoutesResponse,
    ReorderRoutesRequest,
    ReorderRoutesResponse,
    Route,
    RouteRank,
    UpdateRouteRequest,
)
from google.protobuf.empty_pb2 import Empty

from web.dashboard import dashboard, ordering, provider_state
from web.dashboard.act import act
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.pages.environments import environment_of, environment_page
from web.dashboard.places import address_of
from web.dashboard.render import say

_MOST = 1000  # provider accounts that can be chosen from


@dataclass(frozen=True, slots=True)
class Line:
    """A route as it is shown. share: of the mail at its position, while all there get mail."""

    route: Route
    account: ProviderAccount
    share: float
    form: Form

    @property
    def doubt(self) -> str:
        """What the last check of its credentials speaks against; empty if nothing."""
        return provider_state.health(self.account).text if provider_state.doubted(self.account) else ""


@dashboard.get("/environments/<id_>")
def environment(id_: str) -> ResponseReturnValue:
    """The routes in the order in which they are tried."""
    return _routes_page(id_)


@dashboard.post("/environments/<id_>/routes")
def add_route(id_: str) -> ResponseReturnValue:
    """Let a provider account carry mail of the environment, after the others."""
    form = Form.of()
    new = Route(environment_id=id_, provider_account_id=form["provider_account_id"])
    if form.send(CreateRouteRequest(route=new), Route):
        say("The provider is added. It is tried after those above it.")
        return _back(id_)
    return _routes_page(id_, adding=form), form.status


@dashboard.post("/environments/<id_>/routes/order")
def reorder_routes(id_: str) -> ResponseReturnValue:
    """The order that was dragged, or the one that was seen with one button's move."""
    ranks, move = ordering.read(request.form.get("order", "")), request.form.get("move", "")
    if move:
        ranks = ordering.moved(ranks, move)
    message = ReorderRoutesRequest(environment_id=id_, ranks=[RouteRank(route_ids=rank) for rank in ranks])
    act(message, ReorderRoutesResponse, "The order is changed. New mail follows it from now on.")
    return _back(id_, ordering.next_move(move))


@dashboard.post("/environments/<id_>/routes/<route_id>")
def change_route(id_: str, route_id: str) -> ResponseReturnValue:
    """Its weight and limits."""
    form = Form.of()
    fields = [
        "max_per_second",
        "max_per_day",
        "authenticated",
        *(["weight"] if "weight" in form.values else []),
    ]
    route = Route(
        id=route_id,
        weight=form.number("weight"),
        max_per_second=form.number("max_per_second"),
        max_per_day=form.number("max_per_day"),
        authenticated=form.checked("authenticated"),
    )
    message = UpdateRouteRequest(route=route)
    message.update_mask.paths.extend(fields)
    if form.send(message, Route):
        say("The route is changed.")
        return _back(id_)
    return _routes_page(id_, changing=(route_id, form)), form.status


@dashboard.post("/environments/<id_>/routes/<route_id>/switch")
def switch_route(id_: str, route_id: str) -> ResponseReturnValue:
    """Pass it over from now on, or use it again."""
    disabled = "disable" in request.form
    message = UpdateRouteRequest(route=Route(id=route_id, disabled=disabled))
    message.update_mask.paths.append("disabled")
    act(message, Route, "The route is passed over from now on." if disabled else "The route is used again.")
    return _back(id_)


@dashboard.post("/environments/<id_>/routes/<route_id>/remove")
def remove_route(id_: str, route_id: str) -> ResponseReturnValue:
    """The provider account stays connected."""
    act(
        DeleteRouteRequest(id=route_id), Empty, "The provider is out of this environment; it stays connected."
    )
    return _back(id_)


def _back(id_: str, focus: str = "") -> ResponseReturnValue:
    return redirect(url_for("dashboard.environment", id_=id_, focus=focus or None), 303)


def _routes_page(id_: str, adding: Form | None = None, changing: tuple[str, Form] | None = None) -> str:
    environment = environment_of(id_)
    routes = ask(ListRoutesRequest(environment_id=id_), ListRoutesResponse).routes
    message = ListProviderAccountsRequest(page_size=_MOST)
    accounts = {a.id: a for a in ask(message, ListProviderAccountsResponse).provider_accounts}
    used = {route.provider_account_id for route in routes}
    ranks = _ranks(routes, accounts, changing)
    return environment_page(
        "routes.html",
        environment,
        "routes",
        ranks=ranks,
        order=ordering.written([[line.route.id for line in rank] for rank in ranks]),
        choices=[(a.id, a.name) for a in accounts.values() if a.id not in used],
        connected=bool(accounts),
        adding=adding or Form(),
        open_route=changing[0] if changing else "",
        focus=request.args.get("focus", ""),
        providers_url=address_of("provider_accounts"),
    )


def _ranks(
    routes: Iterable[Route], accounts: dict[str, ProviderAccount], changing: tuple[str, Form] | None
) -> list[list[Line]]:
    """By position. A form that was refused is shown as it was sent."""
    found = []
    for _, group in groupby(routes, key=lambda route: route.position):
        rank = list(group)
        whole = sum(route.weight for route in rank if not route.disabled)
        found.append(
            [
                Line(
                    route,
                    accounts.get(route.provider_account_id, ProviderAccount(name="?")),
                    0.0 if route.disabled or not whole else route.weight / whole,
                    changing[1] if changing and changing[0] == route.id else _form(route),
                )
                for route in rank
            ]
        )
    return found


def _form(route: Route) -> Form:
    values = {
        "weight": str(route.weight),
        "max_per_second": str(route.max_per_second or ""),
        "max_per_day": str(route.max_per_day or ""),
    }
    return Form(values | ({"authenticated": "1"} if route.authenticated else {}))
