"""What was told to a webhook endpoint: each call with request and answer, and telling it again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.webhook_service_pb2 import (
    WEBHOOK_DELIVERY_STATE_UNSPECIFIED,
    GetWebhookDeliveryRequest,
    ListWebhookDeliveriesRequest,
    ListWebhookDeliveriesResponse,
    ReplayWebhookDeliveriesRequest,
    ReplayWebhookDeliveriesResponse,
    WebhookDelivery,
    WebhookDeliveryState,
)

from web.dashboard import dashboard
from web.dashboard.ask import ask
from web.dashboard.form import Form
from web.dashboard.guard import safe_next
from web.dashboard.pages.webhooks import endpoint_of, endpoint_page
from web.dashboard.render import say

_PAGE_SIZE = 50
_PREFIX = "WEBHOOK_DELIVERY_STATE_"
_STATES = [("", "Any state"), ("pending", "Pending"), ("delivered", "Delivered"), ("failed", "Failed")]
_STATE = {key: WebhookDeliveryState.Value(_PREFIX + key.upper()) for key, _ in _STATES if key}
_SINCE = [("1", "hour"), ("24", "24 hours"), ("168", "7 days"), ("720", "30 days")]


@dashboard.get("/webhooks/<id_>")
def webhook(id_: str) -> ResponseReturnValue:
    """What was told to it, the newest first."""
    wanted, after = request.args.get("state", ""), request.args.get("after", "")
    told = ask(
        ListWebhookDeliveriesRequest(
            endpoint_id=id_,
            page_size=_PAGE_SIZE,
            page_token=after,
            state=_STATE.get(wanted, WEBHOOK_DELIVERY_STATE_UNSPECIFIED),
        ),
        ListWebhookDeliveriesResponse,
    )
    following, state = told.next_page_token, wanted or None
    return endpoint_page(
        "deliveries.html",
        endpoint_of(id_),
        "deliveries",
        rows=[(row, word(row)) for row in told.webhook_deliveries],
        states=_STATES,
        wanted=wanted,
        since=_SINCE,
        next_url=url_for("dashboard.webhook", id_=id_, after=following, state=state) if following else "",
        first_url=url_for("dashboard.webhook", id_=id_, state=state) if after else "",
    )


@dashboard.get("/webhooks/<id_>/deliveries/<delivery_id>")
def webhook_delivery(id_: str, delivery_id: str) -> ResponseReturnValue:
    """One event with the request and every answer."""
    found = ask(GetWebhookDeliveryRequest(id=delivery_id), WebhookDelivery)
    endpoint = endpoint_of(found.endpoint_id)
    return endpoint_page("delivery.html", endpoint, "deliveries", delivery=found, word=word(found))


@dashboard.post("/webhooks/<id_>/replay")
def replay_webhook(id_: str) -> ResponseReturnValue:
    """One delivery, or what happened in the last hours; those that were not taken, or all."""
    form = Form.of()
    message = ReplayWebhookDeliveriesRequest(endpoint_id=id_)
    if form["delivery"]:
        message.delivery_ids.append(form["delivery"])
    else:
        message.start_time.FromDatetime(datetime.now(UTC) - timedelta(hours=form.number("hours", 24)))
        message.only_failed = form["which"] != "all"
    told = form.send(message, ReplayWebhookDeliveriesResponse)
    if told is None:
        say(next(iter(form.errors.values()), form.problem), "bad")
    elif told.count:
        say(f"{told.count:,} {'event is' if told.count == 1 else 'events are'} told again, the oldest first.")
    else:
        say("There was nothing to tell again in that time.", "info")
    return redirect(safe_next(form["next"]) if form["next"] else url_for("dashboard.webhook", id_=id_), 303)


def word(delivery: WebhookDelivery) -> str:
    """Where it stands."""
    return WebhookDeliveryState.Name(delivery.state).removeprefix(_PREFIX).lower()
