"""Webhook endpoints of an environment: where events are told to the owner's own programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.webhook_service_pb2 import (
    CreateWebhookEndpointRequest,
    CreateWebhookEndpointResponse,
    DeleteWebhookEndpointRequest,
    GetWebhookEndpointRequest,
    ListWebhookEndpointsRequest,
    ListWebhookEndpointsResponse,
    RotateWebhookSecretRequest,
    TestWebhookEndpointRequest,
    UpdateWebhookEndpointRequest,
    WebhookEndpoint,
    WebhookTry,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from web.dashboard import dashboard
from web.dashboard.act import act
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.gate import takes_role
from web.dashboard.render import page, say
from web.dashboard.switch import switch
from web.reference.events import EVENTS

# A test waits for the owner's program, which has 10 seconds.
_TEST_TIMEOUT_S = 15.0
_NAMES = {"webhook_endpoint.event_types": "event_types"}
_SETTINGS = ("url", "description", "event_types")


@dashboard.get("/webhooks")
def webhooks() -> ResponseReturnValue:
    """The endpoints of one environment."""
    at, endpoints = switch(), []
    if at.chosen:
        message = ListWebhookEndpointsRequest(environment_id=at.chosen.id)
        endpoints = list(ask(message, ListWebhookEndpointsResponse).webhook_endpoints)
    return page("webhooks/list.html", nav="webhooks", at=at, rows=[(row, state(row)) for row in endpoints])


@dashboard.route("/webhooks/new", methods=["GET", "POST"])
@takes_role("developer")
def new_webhook() -> ResponseReturnValue:
    """The secret is in the answer to the POST, and nowhere else."""
    at, form = switch(), Form.of(_NAMES)
    if at.chosen is None:
        return redirect(url_for("dashboard.webhooks"))
    types = request.form.getlist("event_types")
    if request.method == "POST":
        wanted = _wanted(form, types)
        wanted.environment_id = at.chosen.id
        message = CreateWebhookEndpointRequest(webhook_endpoint=wanted)
        if made := form.send(message, CreateWebhookEndpointResponse):
            return _show_once(made)
    body = page("webhooks/new.html", nav="webhooks", at=at, form=form, types=types, events=EVENTS)
    return form.shown(body)


@dashboard.route("/webhooks/<id_>/settings", methods=["GET", "POST"])
def webhook_settings(id_: str) -> ResponseReturnValue:
    """What can be changed of an endpoint."""
    endpoint = endpoint_of(id_)
    form = Form.of(_NAMES, url=endpoint.url, description=endpoint.description)
    types = request.form.getlist("event_types") if request.method == "POST" else endpoint.event_types
    if request.method == "POST":
        message = _change(id_, _wanted(form, types), *_SETTINGS)
        if form.send(message, WebhookEndpoint):
            say("Saved.")
            return redirect(url_for("dashboard.webhook_settings", id_=id_), 303)
    return form.shown(
        endpoint_page("settings.html", endpoint, "settings", form=form, types=types, events=EVENTS)
    )


@dashboard.post("/webhooks/<id_>/pause")
def pause_webhook(id_: str) -> ResponseReturnValue:
    """What happens meanwhile waits, for 30 days."""
    act(
        _change(id_, WebhookEndpoint(paused=True), "paused"),
        WebhookEndpoint,
        "Paused. Events wait until you resume, for at most 30 days.",
    )
    return redirect(url_for("dashboard.webhook", id_=id_), 303)


@dashboard.post("/webhooks/<id_>/resume")
def resume_webhook(id_: str) -> ResponseReturnValue:
    """Goes on with what waited."""
    good = "Resumed. What waited is on its way, the oldest first."
    act(_change(id_, WebhookEndpoint(paused=False), "paused"), WebhookEndpoint, good)
    return redirect(url_for("dashboard.webhook", id_=id_), 303)


@dashboard.post("/webhooks/<id_>/test")
def check_webhook(id_: str) -> ResponseReturnValue:
    """One call, now, and what came of it."""
    tried = ask(TestWebhookEndpointRequest(id=id_), WebhookTry, _TEST_TIMEOUT_S)
    return endpoint_page("tried.html", endpoint_of(id_), "deliveries", tried=tried)


@dashboard.post("/webhooks/<id_>/rotate")
def rotate_webhook(id_: str) -> ResponseReturnValue:
    """Another secret; the old one signs too until the program has the new one."""
    form = Form.of()
    overlap = Duration(seconds=form.number("overlap", 24) * 3600)
    made = form.send(RotateWebhookSecretRequest(id=id_, overlap=overlap), CreateWebhookEndpointResponse)
    if made is None:
        say(next(iter(form.errors.values()), form.problem), "bad")
        return redirect(url_for("dashboard.webhook_settings", id_=id_), 303)
    return _show_once(made)


@dashboard.post("/webhooks/<id_>/delete")
def delete_webhook(id_: str) -> ResponseReturnValue:
    """With its deliveries."""
    environment_id = endpoint_of(id_).environment_id
    act(DeleteWebhookEndpointRequest(id=id_), Empty, "The endpoint is deleted.")
    return redirect(url_for("dashboard.webhooks", environment=environment_id), 303)


def endpoint_of(id_: str) -> WebhookEndpoint:
    """The endpoint. Raises RpcFailure, NOT_FOUND also for another account's."""
    return ask(GetWebhookEndpointRequest(id=id_), WebhookEndpoint)


def endpoint_page(template: str, endpoint: WebhookEndpoint, tab: str, **values: Any) -> str:  # noqa: ANN401 (as page)
    """A page of one endpoint, below its tabs."""
    tabs = [
        ("Deliveries", url_for("dashboard.webhook", id_=endpoint.id), tab == "deliveries"),
        ("Settings", url_for("dashboard.webhook_settings", id_=endpoint.id), tab == "settings"),
    ]
    frame = {"endpoint": endpoint, "state": state(endpoint), "tabs": tabs}
    return page(f"webhooks/{template}", nav="webhooks", **frame, **values)


def state(endpoint: WebhookEndpoint) -> str:
    """In one word: paused, failing or active."""
    if endpoint.paused:
        return "paused"
    return "failing" if endpoint.HasField("failing_since") else "active"


def _wanted(form: Form, types: Iterable[str]) -> WebhookEndpoint:
    return WebhookEndpoint(url=form["url"], description=form["description"], event_types=types)


def _change(id_: str, wanted: WebhookEndpoint, *fields: str) -> UpdateWebhookEndpointRequest:
    return UpdateWebhookEndpointRequest(
        id=id_, webhook_endpoint=wanted, update_mask=FieldMask(paths=list(fields))
    )


def _show_once(made: CreateWebhookEndpointResponse) -> str:
    return page("webhooks/secret.html", nav="webhooks", endpoint=made.webhook_endpoint, secret=made.secret)
