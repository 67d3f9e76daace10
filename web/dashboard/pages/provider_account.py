"""One provider account: how it is now, and what can be done about it."""

from __future__ import annotations

from typing import Any

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.alert_service_pb2 import Alert, ListAlertsRequest, ListAlertsResponse, ResolveAlertRequest
from flute.v1.drill_service_pb2 import Drill, ListDrillsRequest, ListDrillsResponse
from flute.v1.provider_account_service_pb2 import (
    DeleteProviderAccountRequest,
    GetProviderAccountHealthRequest,
    GetProviderAccountRequest,
    PauseProviderAccountRequest,
    Provider,
    ProviderAccount,
    ProviderAccountHealth,
    ResetProviderAccountRequest,
    ResumeProviderAccountRequest,
)
from flute.v1.statistics_service_pb2 import OVERVIEW_PERIOD_DAY
from google.protobuf.empty_pb2 import Empty

from web.dashboard import dashboard, provider_state
from web.dashboard.act import act
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.pages.provider_accounts import after_change, answer_of, change_of, kind_of, verified
from web.dashboard.places import address_of
from web.dashboard.render import page, say
from web.dashboard.words import sentence

_TABS = {
    "now": ("Now", "dashboard.provider_account"),
    "events": ("Events", "dashboard.provider_account_events"),
    "history": ("Over time", "dashboard.provider_account_history"),
    "settings": ("Settings", "dashboard.provider_account_settings"),
}


@dashboard.get("/providers/<id_>")
def provider_account(id_: str) -> ResponseReturnValue:
    """Health, what waits for somebody, where it is used, what it can do."""
    account = account_of(id_)
    if request.args.get("part") == "now":
        return page("providers/_now.html", account=account, **_now(account))
    day = GetProviderAccountHealthRequest(id=id_, period=OVERVIEW_PERIOD_DAY)
    return account_page(
        "now.html",
        account,
        "now",
        alerts=_alerts(id_),
        drill=_running_drill(id_),
        day=ask(day, ProviderAccountHealth),
        **_now(account),
    )


def _now(account: ProviderAccount) -> dict[str, Any]:
    domains = [(domain, provider_state.domain_health(domain)) for domain in account.domains]
    return {
        "mark": provider_state.health(account),
        "doubted": provider_state.doubted(account),
        "domains": domains,
    }


def _alerts(id_: str) -> list[Alert]:
    told = ask(ListAlertsRequest(page_size=1000), ListAlertsResponse)
    return [alert for alert in told.alerts if alert.kind == "provider_account" and alert.subject == id_]


def _running_drill(id_: str) -> Drill | None:
    """The one that runs; one at most does."""
    told = ask(ListDrillsRequest(provider_account_id=id_, page_size=1), ListDrillsResponse)
    return next((drill for drill in told.drills if drill.running), None)


@dashboard.post("/providers/<id_>/verify")
def verify_provider_account(id_: str) -> ResponseReturnValue:
    """Try the credentials again."""
    told = verified(id_)
    if told.ok:
        say(f"{sentence(told.text)} What was held against it is forgotten.")
    else:
        say(f"It cannot send now. {answer_of(told)}", "bad")
    return _back(id_)


@dashboard.post("/providers/<id_>/pause")
def pause_provider_account(id_: str) -> ResponseReturnValue:
    """No more mail for it."""
    act(
        PauseProviderAccountRequest(id=id_),
        ProviderAccount,
        "It is paused. Its mail goes to the next provider of each environment, or waits where there is none.",
    )
    return _back(id_)


@dashboard.post("/providers/<id_>/resume")
def resume_provider_account(id_: str) -> ResponseReturnValue:
    """Mail again."""
    act(ResumeProviderAccountRequest(id=id_), ProviderAccount, "It gets mail again.")
    return _back(id_)


@dashboard.post("/providers/<id_>/reset")
def reset_provider_account(id_: str) -> ResponseReturnValue:
    """A clean slate."""
    act(
        ResetProviderAccountRequest(id=id_),
        ProviderAccount,
        "What was held against it is forgotten. It is tried with the next mail.",
    )
    return _back(id_)


@dashboard.post("/providers/<id_>/alerts/<alert_id>")
def resolve_provider_alert(id_: str, alert_id: str) -> ResponseReturnValue:
    """Somebody has dealt with it."""
    act(ResolveAlertRequest(id=alert_id), Alert, "Noted: somebody has dealt with it.")
    return _back(id_)


@dashboard.route("/providers/<id_>/settings", methods=["GET", "POST"])
def provider_account_settings(id_: str) -> ResponseReturnValue:
    """Name and credentials. Secrets are never shown; one that is left empty stays as it is."""
    account, kind = _known(id_)
    form = Form.of(None, name=account.name, **account.credentials)
    if request.method == "POST":
        message = change_of(account, form, [field for field in kind.fields if not field.webhook])
        message.provider_account.name = form["name"]
        message.update_mask.paths.append("name")
        if changed := form.send(message, ProviderAccount):
            return redirect(after_change(changed, "Saved"), 303)
    return account_page("settings.html", account, "settings", kind=kind, form=form), form.status


@dashboard.post("/providers/<id_>/delete")
def delete_provider_account(id_: str) -> ResponseReturnValue:
    """Only one that nothing uses and that has carried no mail; the server says why not."""
    if act(DeleteProviderAccountRequest(id=id_), Empty, "The provider account is deleted."):
        return redirect(url_for("dashboard.provider_accounts"), 303)
    return redirect(url_for("dashboard.provider_account_settings", id_=id_), 303)


def account_of(id_: str) -> ProviderAccount:
    """The provider account. Raises RpcFailure, NOT_FOUND also for another account's."""
    return ask(GetProviderAccountRequest(id=id_), ProviderAccount)


def _known(id_: str) -> tuple[ProviderAccount, Provider]:
    account = account_of(id_)
    return account, kind_of(account)


def account_page(template: str, account: ProviderAccount, tab: str, **values: Any) -> str:  # noqa: ANN401 (as page)
    """A page of one provider account, below its tabs."""
    tabs = [
        (label, url_for(endpoint, id_=account.id), tab == slug) for slug, (label, endpoint) in _TABS.items()
    ]
    if "kind" not in values:
        values["kind"] = kind_of(account)
    return page(
        f"providers/{template}",
        nav="provider_accounts",
        tabs=tabs,
        sentence=sentence,
        page_url=address_of,
        account=account,
        **values,
    )


def _back(id_: str) -> ResponseReturnValue:
    return redirect(url_for("dashboard.provider_account", id_=id_), 303)
