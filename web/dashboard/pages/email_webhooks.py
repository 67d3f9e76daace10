"""Which webhook calls told about one mail."""

from __future__ import annotations

from dataclasses import dataclass

from flask import request, url_for
from flute.v1 import email_pb2
from flute.v1.webhook_service_pb2 import (
    ListEmailWebhookDeliveriesRequest,
    ListWebhookDeliveriesResponse,
    ListWebhookEndpointsRequest,
    ListWebhookEndpointsResponse,
    WebhookDelivery,
)

from web.dashboard.ask import ask
from web.dashboard.pages.webhook_deliveries import word

_PAGE_SIZE = 50
_MOST_ENDPOINTS = 100


@dataclass(frozen=True, slots=True)
class Told:
    """rows: the delivery, its state in a word, and the URL of its endpoint; endpoints: how many there are."""

    rows: list[tuple[WebhookDelivery, str, str]]
    endpoints: int
    next_url: str
    first_url: str


def told_of(email: email_pb2.Email) -> Told:
    """What was told of it to whom, the newest first."""
    after = request.args.get("after", "")
    asked = ListEmailWebhookDeliveriesRequest(email_id=email.id, page_size=_PAGE_SIZE, page_token=after)
    answer = ask(asked, ListWebhookDeliveriesResponse)
    urls = _urls(email.environment_id)
    return Told(
        rows=[(row, word(row), urls.get(row.endpoint_id, "")) for row in answer.webhook_deliveries],
        endpoints=len(urls),
        next_url=_here(email, answer.next_page_token) if answer.next_page_token else "",
        first_url=_here(email, None) if after else "",
    )


def _urls(environment_id: str) -> dict[str, str]:
    asked = ListWebhookEndpointsRequest(environment_id=environment_id, page_size=_MOST_ENDPOINTS)
    return {row.id: row.url for row in ask(asked, ListWebhookEndpointsResponse).webhook_endpoints}


def _here(email: email_pb2.Email, after: str | None) -> str:
    return url_for("dashboard.email", id_=email.id, show="webhooks", after=after)
