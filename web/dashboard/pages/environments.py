"""Environments: the list, a new one, and what the pages of one have in common."""

from __future__ import annotations

from typing import Any

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.environment_service_pb2 import (
    CreateEnvironmentRequest,
    Environment,
    EnvironmentSummary,
    GetEnvironmentRequest,
    ListEnvironmentsRequest,
    ListEnvironmentsResponse,
)

from web.dashboard import dashboard, provider_state
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.gate import takes_role
from web.dashboard.render import page, say
from web.dashboard.words import sentence

_PAGE_SIZE = 25
_TABS = {
    "routes": ("Routes", "dashboard.environment"),
    "settings": ("Settings", "dashboard.environment_settings"),
    "keys": ("Keys", "dashboard.environment_keys"),
    "try": ("Try it", "dashboard.environment_try"),
    "domain": ("Domain", "dashboard.environment_domain"),
}


@dashboard.get("/environments")
def environments() -> ResponseReturnValue:
    """All of the account, with what each consists of."""
    message = ListEnvironmentsRequest(page_size=_PAGE_SIZE, page_token=request.args.get("after", ""))
    told = ask(message, ListEnvironmentsResponse)
    after = told.next_page_token
    return page(
        "environments/list.html",
        nav="environments",
        sentence=sentence,
        rows=[
            (one, told_, _ill(told_)) for one, told_ in zip(told.environments, told.summaries, strict=True)
        ],
        next_url=url_for("dashboard.environments", after=after) if after else "",
        first_url=url_for("dashboard.environments") if message.page_token else "",
    )


def _ill(summary: EnvironmentSummary) -> list[str]:
    """The providers in use that somebody should look at."""
    routes = [route for route in summary.routes if not route.disabled]
    return [one.provider_account for one in routes if provider_state.is_ill(one.provider_account_state)]


@dashboard.route("/environments/new", methods=["GET", "POST"])
@takes_role("admin")
def new_environment() -> ResponseReturnValue:
    """Name and domain; the rest has defaults that can be changed later."""
    form = Form.of()
    if request.method == "POST":
        wanted = Environment(name=form["name"], domain=form["domain"])
        if made := form.send(CreateEnvironmentRequest(environment=wanted), Environment):
            say(f"{made.name} is set up. Add the providers that its mail goes through.")
            return redirect(url_for("dashboard.environment", id_=made.id), 303)
    return page("environments/new.html", nav="environments", form=form), form.status


def environment_of(id_: str) -> Environment:
    """The environment. Raises RpcFailure, NOT_FOUND also for another account's."""
    return ask(GetEnvironmentRequest(id=id_), Environment)


def environment_page(template: str, environment: Environment, tab: str, **values: Any) -> str:  # noqa: ANN401 (as page)
    """A page of one environment, below its tabs."""
    tabs = [
        (label, url_for(endpoint, id_=environment.id), tab == slug)
        for slug, (label, endpoint) in _TABS.items()
    ]
    return page(
        f"environments/{template}",
        nav="environments",
        environment=environment,
        tabs=tabs,
        sentence=sentence,
        **values,
    )
