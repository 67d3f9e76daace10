"""A key of type test, over the running system: everything happens but the sending."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import requests
from flute.v1 import (
    alert_service_pb2,
    api_key_service_pb2,
    email_pb2,
    email_service_pb2,
    suppression_service_pb2,
)

from flute_server.domain.simulation import DOMAIN
from tests.rpc import TOMORROW
from tests.stack import Stack, Tenant, until

ENDS = {
    "delivered": "delivered",
    "bounced+order17": "bounced",
    "blocked": "delivered",
    "deferred": "delivered",
    "complained": "delivered",
    "refused": "bounced",
    "unavailable": "delivered",
    "suppressed": "suppressed",
}


@pytest.fixture
def tester(stack: Stack) -> Tenant:
    """A tenant who holds a test key."""
    tenant = stack.tenant("sendgrid", "postmark")
    request = api_key_service_pb2.CreateApiKeyRequest(
        environment_id=tenant.environment_id, name="ci", kind=api_key_service_pb2.API_KEY_KIND_TEST
    )
    client = stack.client
    return replace(tenant, access_token=client.call(client.api_keys.CreateApiKey, request).access_token)


def address(name: str) -> str:
    return f"{name}@{DOMAIN}"


def types(story: dict[str, Any]) -> list[str]:
    return [moment["type"] for moment in story["timeline"]]


def test_each_outcome_can_be_had_and_nobody_gets_mail(stack: Stack, tester: Tenant) -> None:
    ids = {name: tester.send(to=[{"email": address(name)}]) for name in ENDS}
    stories = {name: tester.wait(id_, ENDS[name]) for name, id_ in ids.items()}
    until(lambda: "complained" in types(tester.get(ids["complained"])), "the complaint")
    assert stack.sandbox.inbox() == []

    providers = {name: [a["provider"] for a in story["attempts"]] for name, story in stories.items()}
    assert providers.pop("blocked") == providers.pop("unavailable") == ["sendgrid", "postmark"]
    assert set(map(tuple, providers.values())) == {("sendgrid",)}
    assert "deferred" in types(stories["deferred"])
    assert "failover" in types(stories["unavailable"])
    bounce = next(moment for moment in stories["bounced+order17"]["timeline"] if moment["type"] == "bounced")
    assert "with a live mail, the address would be suppressed" in bounce["text"]

    client = stack.client
    listed = suppression_service_pb2.ListSuppressionsRequest(account_id=tester.account_id)
    assert not client.call(client.suppressions.ListSuppressions, listed).suppressions
    alerts = alert_service_pb2.ListAlertsRequest(account_id=tester.account_id)
    assert not client.call(client.alerts.ListAlerts, alerts).alerts


def test_a_test_mail_says_that_it_is_one(stack: Stack, tester: Tenant) -> None:
    id_ = tester.send()
    client = stack.client
    email = client.call(client.emails.GetEmail, email_service_pb2.GetEmailRequest(id=id_))
    assert email.test
    told = client.call(client.emails.ExplainEmail, email_service_pb2.ExplainEmailRequest(id=id_)).summary
    assert "simulated" in told


def test_a_live_key_cannot_send_to_the_simulator(stack: Stack, tester: Tenant) -> None:
    live = stack.tenant("postmark")
    answer = live.post(to=[{"email": "ada@example.com"}], cc=[{"email": address("bounced+1")}])
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["pointer"] == "/cc/0/email"
    assert "use a key of the kind test (`flute key create --test`)" in error["detail"]

    dry = live.post(to=[{"email": address("bounced")}], dry_run=True)
    assert (dry.status_code, dry.json()["errors"][0]["pointer"]) == (422, "/to/0/email")
    mistyped = tester.post(to=[{"email": address("bounce")}])
    assert mistyped.status_code == 422
    assert "it plays delivered, bounced," in mistyped.json()["detail"]


def test_a_test_key_moves_no_live_mail(stack: Stack, tester: Tenant) -> None:
    client = stack.client
    request = api_key_service_pb2.CreateApiKeyRequest(environment_id=tester.environment_id, name="app")
    live = replace(tester, access_token=client.call(client.api_keys.CreateApiKey, request).access_token)
    id_ = live.send(send_at=TOMORROW.isoformat())
    url, headers = f"{stack.web_address}/v1/email/{id_}", {"Authorization": f"Bearer {tester.access_token}"}
    answers = [
        requests.patch(url, json={"send_at": "2020-01-01T00:00:00Z"}, headers=headers, timeout=15),
        requests.post(f"{url}/cancel", headers=headers, timeout=15),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "test_key")] * 2
    assert live.get(id_)["status"] == "scheduled"


def test_a_live_key_cannot_send_a_test_again(stack: Stack, tester: Tenant) -> None:
    client = stack.client
    request = api_key_service_pb2.CreateApiKeyRequest(environment_id=tester.environment_id, name="app")
    live = client.call(client.api_keys.CreateApiKey, request).access_token
    id_ = tester.send(to=[{"email": address("bounced")}])
    tester.wait(id_, "bounced")
    answers = {
        key: requests.post(
            f"{stack.web_address}/v1/email/{id_}/resend",
            headers={"Authorization": f"Bearer {key}"},
            timeout=15,
        )
        for key in (live, tester.access_token)
    }
    assert answers[live].status_code == 422
    assert "the mail was a test" in answers[live].json()["detail"]
    assert answers[tester.access_token].status_code == 202
    assert stack.sandbox.inbox() == []


def test_a_plan_over_grpc(stack: Stack, tester: Tenant) -> None:
    content = email_pb2.EmailContent(
        to=[email_pb2.Address(email="ada@example.com")], subject="Hello", text="Hi", tags=["one", "two"]
    )
    getattr(content, "from").email = "hello@flutemail.io"
    client = stack.client
    request = email_service_pb2.PlanEmailRequest(environment_id=tester.environment_id, content=content)
    plan = client.call(client.emails.PlanEmail, request)
    assert plan.sendable
    assert plan.summary == "The mail to ada@example.com would go through sendgrid."
    [group] = plan.groups
    first, second = group.routes
    assert (first.provider_account, first.chosen, first.usable, list(first.losses)) == (
        "sendgrid",
        True,
        True,
        [],
    )
    assert (second.provider, second.chosen, second.usable) == ("postmark", False, True)
    assert list(second.losses) == ['the provider does not get the tags "two"; Flute keeps them']
    assert stack.sandbox.inbox() == []


def test_a_simulator_stands_in_for_a_provider_that_is_not_connected_yet(stack: Stack) -> None:
    tenant = stack.tenant("simulator")
    story = tenant.wait(tenant.send(), "delivered")
    assert [attempt["provider"] for attempt in story["attempts"]] == ["simulator"]
    assert any("playing a hand-over" in moment["text"] for moment in story["timeline"])
    assert stack.sandbox.inbox() == []
