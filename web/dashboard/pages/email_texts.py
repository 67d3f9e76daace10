"""What the pages of emails say about sending: the address to call, and an example of the call."""

from __future__ import annotations

import json
from typing import Any

from flask import current_app, request, url_for
from flute.v1.environment_service_pb2 import Environment


def api_address() -> str:
    """Where programs reach the API: what the operator says, or where this page is."""
    known: str = current_app.config["PUBLIC_URL"]
    return known or request.host_url.rstrip("/")


def first_mail(environment: Environment) -> dict[str, str]:
    """For who has not sent any mail: the call, and where a key for it is."""
    body = {
        "subject": "Hello from Flute",
        "text": "It works.",
        "to": [{"email": "ada@example.com"}],
        "from": {"email": f"hello@{environment.domain}"},
    }
    call = (
        f"curl -s {api_address()}/v1/email \\\n"
        '  -H "Authorization: Bearer $FLUTE_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{json.dumps(body)}'"
    )
    return {"first_call": call, "environment_url": place_of("environment", id_=environment.id)}


def place_of(name: str, **values: Any) -> str:  # noqa: ANN401 (as url_for has it)
    """The address of another section's page; empty where there is no such page."""
    endpoint = f"dashboard.{name}"
    return url_for(endpoint, **values) if endpoint in current_app.view_functions else ""
