"""The public JSON API over the running system: what an app's author would do, call by call."""

from __future__ import annotations

import csv
import io
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from flute.v1.api_key_service_pb2 import (
    API_KEY_SCOPE_MANAGE,
    API_KEY_SCOPE_READ,
    API_KEY_SCOPE_SEND,
    CreateApiKeyRequest,
)

from tests.stack import Stack, Tenant, until

Json = dict[str, Any]
NOBODY = str(uuid.UUID(int=5, version=4))


class Api:
    """Calls with a key that may do everything."""

    def __init__(self, tenant: Tenant) -> None:
        client = tenant.stack.client
        scopes = [API_KEY_SCOPE_SEND, API_KEY_SCOPE_READ, API_KEY_SCOPE_MANAGE]
        request = CreateApiKeyRequest(environment_id=tenant.environment_id, name="all", scopes=scopes)
        self.tenant = tenant
        self.token = client.call(client.api_keys.CreateApiKey, request).access_token

    def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        answer = requests.request(
            method, self.tenant.stack.web_address + path, headers=headers, timeout=15, **more
        )
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
        return answer.json() if answer.headers.get("Content-Type", "").endswith("json") else answer.text

    def send(self, **fields: Any) -> str:
        return str(
            self.ask("POST", "/v1/email", 202, json=self.tenant.body(access_token=self.token, **fields))["id"]
        )


@pytest.fixture
def api(stack: Stack) -> Api:
    return Api(stack.tenant())


def test_reading_mail(api: Api) -> None:
    id_ = api.send(tags=["welcome"], metadata={"user id": "4 2"}, subject="An unusual word")
    api.tenant.wait(id_, "sent")
    other = api.send(subject="Another")
    filters = [
        {"tag": "welcome"},
        {"metadata[user id]": "4 2"},
        {"subject": "WORD unusual"},
        {"recipient": "ADA@example.com", "status": "sent", "tag": "welcome"},
        {"provider_account": "sendgrid", "tag": "welcome"},
    ]
    for params in filters:
        assert [mail["id"] for mail in api.ask("GET", "/v1/email", params=params)["emails"]] == [id_], params
    page = api.ask("GET", "/v1/email", params={"page_size": 1})
    assert [mail["id"] for mail in page["emails"]] == [other]
    page = api.ask("GET", "/v1/email", params={"page_size": 1, "page_token": page["next_page_token"]})
    (summary,) = page["emails"]
    assert (summary["id"], summary["status"], summary["tags"]) == (id_, "sent", ["welcome"])
    assert summary["recipients"][0]["email"] == "ada@example.com"
    explained = api.ask("GET", f"/v1/email/{id_}/explanation")
    assert "sendgrid" in explained["summary"] + " ".join(explained["paragraphs"])
    wrong = api.ask("GET", "/v1/email", 422, params={"page_token": "x"})
    assert wrong["code"] == "invalid_fields"
    assert wrong["errors"][0]["parameter"] == "page_token"


def test_what_is_told_without_a_key(api: Api) -> None:
    id_ = api.send(to=[{"email": "secret.person@example.com", "name": "Secret"}])
    view = requests.get(f"{api.tenant.stack.web_address}/v1/email/{id_}", timeout=15).json()
    assert "secret.person" not in str(view)
    assert "Secret" not in str(view)
    assert {"id", "status", "recipients", "timeline"} <= set(view)
    assert "subject" not in view


def test_scheduling(api: Api) -> None:
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    id_ = api.send(send_at=later)
    assert api.tenant.get(id_)["status"] == "scheduled"
    sooner = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    changed = api.ask("PATCH", f"/v1/email/{id_}", json={"send_at": sooner})
    assert (changed["id"], changed["status"]) == (id_, "scheduled")
    wrong = api.ask("PATCH", f"/v1/email/{id_}", 422, json={"send_at": "2999-01-01T00:00:00Z"})
    assert wrong["errors"][0]["pointer"] == "/send_at"
    assert api.ask("POST", f"/v1/email/{id_}/cancel")["status"] == "canceled"
    assert api.ask("PATCH", f"/v1/email/{id_}", 409, json={"send_at": sooner})["code"] == "not_scheduled"
    again = api.ask("POST", f"/v1/email/{id_}/resend", 202, json={"recipients": "all"})
    assert again["resent_from"] == id_
    assert api.ask("POST", f"/v1/email/{NOBODY}/cancel", 404)["code"] == "email_not_found"


def test_a_dry_run(api: Api) -> None:
    plan = api.ask("POST", "/v1/email", json=api.tenant.body(access_token=api.token, dry_run=True))
    assert plan["sendable"]
    assert [route["provider_account"] for route in plan["groups"][0]["routes"]] == ["sendgrid", "postmark"]
    assert api.ask("GET", "/v1/email")["emails"] == []


def test_events_and_statistics(api: Api) -> None:
    start = api.ask("GET", "/v1/events", params={"latest": "true"})
    assert start["events"] == []
    id_ = api.send()
    seen: list[Json] = []
    token = start["next_page_token"]

    def sent() -> bool:
        nonlocal token
        page = api.ask("GET", "/v1/events", params={"page_token": token, "types": "accepted,sent"})
        token = page["next_page_token"]
        seen.extend(page["events"])
        return "sent" in {event["type"] for event in seen}

    until(sent, "events")
    assert {event["email_id"] for event in seen} == {id_}
    assert {event["type"] for event in seen} == {"accepted", "sent"}
    assert len({event["id"] for event in seen}) == len(seen)
    own = {event["id"] for event in api.tenant.get(id_)["timeline"]}
    assert {event["id"] for event in seen} <= own

    def counted() -> Any:
        rows = api.ask("GET", "/v1/statistics", params={"interval": "total", "group_by": "provider_account"})[
            "rows"
        ]
        return next((row for row in rows if row["counts"].get("sent")), None)

    row = until(counted, "statistics")
    assert row["group"] == "sendgrid"
    assert row["time_to_send"]["p50_s"] > 0


def test_suppressions(api: Api) -> None:
    made = api.ask("POST", "/v1/suppressions", 201, json={"email": "Eve@Example.com", "text": "by phone"})
    assert (made["email"], made["reason"], made["text"]) == ("eve@example.com", "manual", "by phone")
    assert api.ask("GET", f"/v1/suppressions/{made['id']}") == made
    id_ = api.send(to=[{"email": "eve@example.com"}])
    assert api.tenant.wait(id_, "suppressed")["attempts"] == []
    given = "email,reason\nbob@example.com,unsubscribe\neve@example.com,bounce\nnobody,manual\n"
    told = api.ask(
        "POST", "/v1/suppressions/import", data=given.encode(), headers={"Content-Type": "text/csv"}
    )
    assert (told["added"], told["known"], told["refused"]) == (1, 1, 1)
    assert told["problems"][0]["line"] == 4
    rows = list(csv.DictReader(io.StringIO(api.ask("GET", "/v1/suppressions/export"))))
    assert {(row["email"], row["reason"]) for row in rows} == {
        ("eve@example.com", "manual"),
        ("bob@example.com", "unsubscribe"),
    }
    found = api.ask("GET", "/v1/suppressions", params={"reason": "unsubscribe"})["suppressions"]
    assert [row["email"] for row in found] == ["bob@example.com"]
    api.ask("DELETE", f"/v1/suppressions/{made['id']}", 204)
    assert api.ask("DELETE", f"/v1/suppressions/{made['id']}", 404)["code"] == "not_found"
    wrong = api.ask("POST", "/v1/suppressions", 422, json={"email": "x"})
    assert wrong["errors"][0]["pointer"] == "/email"


def test_webhook_endpoints(api: Api) -> None:
    made = api.ask(
        "POST", "/v1/webhook-endpoints", 201, json={"url": "http://127.0.0.1:9/hook", "paused": True}
    )
    endpoint = made["webhook_endpoint"]
    place = f"/v1/webhook-endpoints/{endpoint['id']}"
    assert made["secret"].startswith("whsec_")
    assert api.ask("GET", place) == endpoint
    changed = api.ask("PATCH", place, json={"event_types": ["delivered"], "description": "mine"})
    assert (changed["event_types"], changed["description"], changed["paused"]) == (
        ["delivered"],
        "mine",
        True,
    )
    assert api.ask("PATCH", place, json={"event_types": None})["event_types"] == []
    assert api.ask("POST", f"{place}/rotate-secret", json={"overlap_s": 0})["secret"] != made["secret"]
    refused = api.ask("POST", f"{place}/rotate-secret", 400, headers={"Idempotency-Key": "k"})
    assert refused["code"] == "idempotency_key_unsupported"
    assert api.ask("POST", f"{place}/test")["status"] == 0
    assert api.ask("GET", f"{place}/deliveries", params={"status": "failed"})["webhook_deliveries"] == []
    assert api.ask("GET", "/v1/webhook-endpoints")["webhook_endpoints"][0]["id"] == endpoint["id"]
    wrong = api.ask("POST", "/v1/webhook-endpoints", 422, json={"url": "ftp://example.com"})
    assert wrong["errors"][0]["pointer"] == "/url"
    api.ask("DELETE", place, 204)
    assert api.ask("GET", place, 404)["code"] == "not_found"


def test_the_environment(api: Api) -> None:
    environment = api.ask("GET", "/v1/environment")
    assert environment["id"] == api.tenant.environment_id
    assert environment["give_up_after_s"] == 86400
    assert (environment["on_ambiguous"], environment["rate_limit"]) == ("resend", None)


def test_a_key_without_the_scope(api: Api) -> None:
    api.token = api.tenant.access_token  # sends and reads
    wrong = api.ask("POST", "/v1/suppressions", 403, json={"email": "eve@example.com"})
    assert wrong["code"] == "insufficient_scope"
