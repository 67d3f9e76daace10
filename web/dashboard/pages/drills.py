"""Failover drills: begin one, watch it, read what became of the mail."""

from __future__ import annotations

import time
from typing import Any

from flask import Response, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.drill_service_pb2 import (
    CreateDrillRequest,
    Drill,
    EndDrillRequest,
    GetDrillRequest,
    ListDrillsRequest,
    ListDrillsResponse,
    PreviewDrillRequest,
    PreviewDrillResponse,
)
from flute.v1.provider_account_service_pb2 import ListProviderAccountsRequest, ListProviderAccountsResponse
from google.protobuf.duration_pb2 import Duration

from web.dashboard import dashboard
from web.dashboard.act import act
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.render import page, say
from web.dashboard.switch import environments
from web.dashboard.words import sentence

_PAGE_SIZE = 25
_MOST = 1000  # of what can be chosen from
_NOTHING_MORE_TO_COME = 286  # htmx stops asking


@dashboard.get("/drills")
def drills() -> ResponseReturnValue:
    """Those that run, then those that are over."""
    message = ListDrillsRequest(page_size=_PAGE_SIZE, page_token=request.args.get("after", ""))
    told = ask(message, ListDrillsResponse)
    after = told.next_page_token
    return page(
        "drills/list.html",
        nav="drills",
        rows=sorted(told.drills, key=lambda drill: not drill.running),
        environments=_environments(),
        next_url=url_for("dashboard.drills", after=after) if after else "",
        first_url=url_for("dashboard.drills") if message.page_token else "",
    )


@dashboard.route("/drills/new", methods=["GET", "POST"])
def new_drill() -> ResponseReturnValue:
    """What is to be down, for whom and how long; and before it begins, what that would do."""
    wanted = {name: request.args.get(name, "") for name in ("provider_account_id", "environment_id")}
    form = Form.of({"duration": "minutes"}, **wanted, minutes="15", share="100")
    accounts = ask(ListProviderAccountsRequest(page_size=_MOST), ListProviderAccountsResponse)
    if request.method == "POST" and (begun := _begin(form)):
        say("The drill has begun. Send mail, and see here what becomes of it.")
        return redirect(url_for("dashboard.drill", id_=begun.id), 303)
    names = {account.id: account.name for account in accounts.provider_accounts}
    chosen = form["provider_account_id"] or next(iter(names), "")
    body = page(
        "drills/new.html",
        nav="drills",
        form=form,
        accounts=list(names.items()),
        chosen=chosen,
        environments=[("", "All that use it"), *_environments().items()],
        **_preview(chosen, form["environment_id"]),
    )
    return body, form.status


def _begin(form: Form) -> Drill | None:
    message = CreateDrillRequest(
        provider_account_id=form["provider_account_id"],
        environment_id=form["environment_id"],
        duration=Duration(seconds=form.number("minutes") * 60),
        share=form.number("share"),
        force=form.checked("force"),
    )
    return form.send(message, Drill)


@dashboard.get("/drills/preview")
def drill_preview() -> ResponseReturnValue:
    """The part of the form that says what the drill would do."""
    account_id, environment_id = (
        request.args.get(name, "") for name in ("provider_account_id", "environment_id")
    )
    return page("drills/_preview.html", form=Form(), **_preview(account_id, environment_id))


def _preview(account_id: str, environment_id: str) -> dict[str, Any]:
    if not account_id:
        return {"preview": PreviewDrillResponse(), "sentence": sentence}
    message = PreviewDrillRequest(provider_account_id=account_id, environment_id=environment_id)
    return {"preview": ask(message, PreviewDrillResponse), "sentence": sentence}


@dashboard.get("/drills/<id_>")
def drill(id_: str) -> ResponseReturnValue:
    """The report, live while something may still change."""
    found = ask(GetDrillRequest(id=id_), Drill)
    if request.args.get("part") == "report":
        return _report(found)
    return page(
        "drills/drill.html", nav="drills", drill=found, environments=_environments(), **_figures(found)
    )


def _report(found: Drill) -> Response:
    response = make_response(page("drills/_report.html", drill=found, **_figures(found)))
    if found.running:
        return response
    if "running" in request.args:
        response.headers["HX-Refresh"] = "true"  # the whole page says that it is over
    elif not found.report.waiting:
        response.status_code = _NOTHING_MORE_TO_COME
    return response


def _figures(found: Drill) -> dict[str, Any]:
    """How much time of it is left, and how its mail is divided."""
    left = max(0, found.end_time.seconds - round(time.time())) if found.running else 0
    report = found.report
    parts = [
        ("Moved", report.moved, "good"),
        ("Waited for it", report.returned, "info"),
        ("Waiting", report.waiting, "warn"),
        ("Failed", report.failed, "bad"),
        ("Canceled", report.dropped, "neutral"),
    ]
    return {"left_s": left, "parts": parts}


@dashboard.post("/drills/<id_>/end")
def end_drill(id_: str) -> ResponseReturnValue:
    """Before its time."""
    act(EndDrillRequest(id=id_), Drill, "The drill is over. The provider is used again as before.")
    return redirect(url_for("dashboard.drill", id_=id_), 303)


def _environments() -> dict[str, str]:
    """The names of the account's environments, by id."""
    return {environment.id: environment.name for environment in environments()}
