"""What providers tell afterwards, over the running system: failover on a bounce, with proof."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from flute.v1 import (
    alert_service_pb2,
    email_service_pb2,
    environment_service_pb2,
    provider_account_service_pb2,
    route_service_pb2,
    suppression_service_pb2,
)

from flute_server.local.client import Client
from tests.e2e.test_delivery import moments, outcomes
from tests.stack import Stack, Tenant, until

HTTP = ["sendgrid", "postmark", "sparkpost", "mailgun"]


def listening(stack: Stack, *slugs: str, **settings: Any) -> Tenant:
    tenant = stack.tenant(*slugs, **settings)
    stack.listen(tenant, *(slug for slug in slugs if slug != "smtp"))
    return tenant


def other(slug: str) -> str:
    return "postmark" if slug != "postmark" else "mailgun"


@pytest.mark.parametrize("slug", HTTP)
def test_delivery_is_told(stack: Stack, slug: str) -> None:
    tenant = listening(stack, slug)
    story = tenant.wait(tenant.send(), "delivered")
    assert story["timeline"][-1]["type"] == "delivered"


@pytest.mark.parametrize("slug", HTTP)
def test_a_block_by_the_receiver_is_resent_through_the_next_provider(stack: Stack, slug: str) -> None:
    stack.sandbox.set_mode(slug, "block")
    tenant = listening(stack, slug, other(slug))
    id_ = tenant.send()
    story = tenant.wait(id_, "delivered")
    assert [attempt["provider"] for attempt in story["attempts"]] == [slug, other(slug)]
    bounce = next(moment for moment in story["timeline"] if moment["type"] == "bounced")
    assert "cause: provider" in bounce["text"]
    assert "resending to this recipient" in bounce["text"]


def test_a_stranger_is_not_told_what_providers_and_people_say(stack: Stack) -> None:
    tenant = listening(stack, "postmark", "sendgrid")
    note = suppression_service_pb2.Suppression(
        account_id=tenant.account_id, email="bob@example.com", text="asked for it, says Carol"
    )
    client = stack.client
    client.call(
        client.suppressions.CreateSuppression,
        suppression_service_pb2.CreateSuppressionRequest(suppression=note),
    )
    stack.sandbox.set_mode("postmark", "bounce", text="550 5.1.1 <ada@example.com> is unknown here")
    id_ = tenant.send(to=[{"email": "ada@example.com"}, {"email": "bob@example.com"}])
    owned = tenant.wait(id_, "bounced")
    told = requests.get(f"{stack.web_address}/v1/email/{id_}", timeout=60)
    for hidden in ("<ada@", "is unknown here", "says Carol"):
        assert hidden in str(owned)
        assert hidden not in told.text
    story = told.json()
    seen = [(moment["type"], moment["time"]) for moment in story["timeline"]]
    assert seen == [(moment["type"], moment["time"]) for moment in owned["timeline"]]
    assert all(moment["text"] for moment in story["timeline"])
    assert [(a["provider"], a["candidates"]) for a in story["attempts"]] == [("postmark", [])]


@pytest.mark.parametrize("slug", HTTP)
def test_an_unknown_user_is_not_resent_but_suppressed(stack: Stack, slug: str) -> None:
    stack.sandbox.set_mode(slug, "bounce")
    tenant = listening(stack, slug, other(slug))
    story = tenant.wait(tenant.send(), "bounced")
    assert len(story["attempts"]) == 1
    again = tenant.wait(tenant.send(), "suppressed")
    assert again["attempts"] == []
    assert "suppressed" in again["timeline"][-1]["text"]
    client = stack.client
    request = suppression_service_pb2.ListSuppressionsRequest(account_id=tenant.account_id)
    [row] = client.call(client.suppressions.ListSuppressions, request).suppressions
    assert row.email == "ada@example.com"
    assert row.reason == suppression_service_pb2.SUPPRESSION_REASON_BOUNCE


def test_one_block_of_three_makes_one_more_mail_to_one_address(stack: Stack) -> None:
    stack.sandbox.set_mode("sendgrid", "block", domains=["outlook.com"])
    tenant = listening(stack, "sendgrid", "postmark")
    to = [{"email": f"ada@{domain}"} for domain in ("gmail.com", "outlook.com", "example.org")]
    id_ = tenant.send(to=to)
    story = tenant.wait(id_, "delivered")
    assert len(story["attempts"]) == 2
    assert [result["email"] for result in story["attempts"][1]["results"]] == ["ada@outlook.com"]
    first, second = stack.sandbox.inbox()
    assert (first["provider"], second["provider"]) == ("sendgrid", "postmark")
    assert second["envelope"]["recipients"] == ["ada@outlook.com"]


def test_deferred_mail_is_delivered_in_the_end(stack: Stack) -> None:
    stack.sandbox.set_mode("postmark", "defer", seconds=1)
    tenant = listening(stack, "postmark", "mailgun")
    id_ = tenant.send()
    story = tenant.wait(id_, "delivered")
    assert "deferred" in moments(story)
    assert len(story["attempts"]) == 1


def test_complaints_suppress(stack: Stack) -> None:
    stack.sandbox.set_mode("sendgrid", "complain")
    tenant = listening(stack, "sendgrid")
    id_ = tenant.send()
    until(lambda: "complained" in moments(tenant.get(id_)), "the complaint is told")
    tenant.wait(tenant.send(), "suppressed")


@pytest.mark.parametrize("slug", HTTP)
def test_doubled_and_shuffled_events_change_nothing(stack: Stack, slug: str) -> None:
    stack.sandbox.set_mode(slug, "block", duplicate_events=True, shuffle_events=True)
    tenant = listening(stack, slug, other(slug))
    ids = [tenant.send(to=[{"email": f"ada{n}@example.com"}]) for n in range(5)]
    for id_ in ids:
        story = tenant.wait(id_, "delivered")
        assert moments(story).count("bounced") <= 1
        accounts = [attempt["provider"] for attempt in story["attempts"]]
        assert len(accounts) == len(set(accounts))


@pytest.mark.parametrize("slug", HTTP)
def test_a_webhook_without_proof_is_refused(stack: Stack, slug: str) -> None:
    tenant = listening(stack, slug)
    url = f"{stack.web_address}/v1/webhooks/{slug}/{tenant.provider_accounts[slug]}"
    body = [{"email": "ada@example.com", "event": "bounce", "sg_event_id": "x", "timestamp": 1}]
    assert requests.post(url, json=body, timeout=60).status_code == 401
    assert requests.post(url, json=body, auth=("flute", "wrong"), timeout=60).status_code == 401
    assert requests.post(url, data=b"x" * 10_000_000, timeout=60).status_code == 413
    other_account = url[:-4] + "0000"
    assert requests.post(other_account, json=body, timeout=60).status_code == 404


def test_a_truncated_body_with_the_right_password_is_malformed(stack: Stack) -> None:
    tenant = listening(stack, "postmark")
    url = f"{stack.web_address}/v1/webhooks/postmark/{tenant.provider_accounts['postmark']}"
    answer = requests.post(url, data=b'{"RecordType": "Bou', auth=("flute", "a-webhook-password"), timeout=60)
    assert answer.status_code == 400


def test_events_of_one_account_never_touch_anothers_mail(stack: Stack) -> None:
    tenant, stranger = listening(stack, "postmark"), stack.tenant("postmark")
    stack.sandbox.set_mode("postmark", "silent")
    id_ = stranger.send()
    story = stranger.wait(id_, "sent")
    event = {
        "RecordType": "Bounce",
        "Type": "Blocked",
        "Email": "ada@example.com",
        "MessageID": story["attempts"][0]["results"][0]["provider_message_id"],
        "BouncedAt": "2026-11-22T20:00:00Z",
        "ID": 1,
        "Metadata": {"flute_email": id_, "flute_attempt": story["attempts"][0]["id"]},
    }
    url = f"{stack.web_address}/v1/webhooks/postmark/{tenant.provider_accounts['postmark']}"
    answer = requests.post(url, json=event, auth=("flute", "a-webhook-password"), timeout=60)
    assert answer.status_code == 200
    mine = tenant.wait(tenant.send(), "sent")
    assert stranger.get(id_)["status"] == mine["status"] == "sent"


WAIT = environment_service_pb2.AMBIGUITY_POLICY_WAIT


@pytest.mark.parametrize("slug", ["postmark", "sparkpost", "mailgun"])
def test_a_lost_answer_is_not_repeated_where_the_policy_is_to_wait_for_proof(stack: Stack, slug: str) -> None:
    stack.sandbox.set_mode(slug, "drop_answer")
    tenant = listening(stack, slug, other(slug), on_ambiguous=WAIT)
    id_ = tenant.send()
    tenant.wait(id_, "delivered")
    # The proof may come before the worker has written down that the answer was lost.
    expected = [(slug, "accepted", "ambiguous")]
    until(lambda: outcomes(tenant.get(id_)) == expected, "the lost answer is on record")
    assert len(tenant.inbox(id_)) == 1


def test_sender_domain_faults_move_only_to_a_provider_that_signs_for_the_domain(stack: Stack) -> None:
    dmarc = "550 5.7.26 unauthenticated email from flutemail.io is not accepted due to domain's DMARC policy"
    stack.sandbox.set_mode("sendgrid", "block", text=dmarc)
    tenant = listening(stack, "sendgrid", "postmark")
    story = tenant.wait(tenant.send(), "failed")
    assert [attempt["provider"] for attempt in story["attempts"]] == ["sendgrid"]
    client = stack.client
    request = alert_service_pb2.ListAlertsRequest(account_id=tenant.account_id)
    assert [a.kind for a in client.call(client.alerts.ListAlerts, request).alerts] == ["sender_domain"]
    routes = client.call(
        client.routes.ListRoutes, route_service_pb2.ListRoutesRequest(environment_id=tenant.environment_id)
    ).routes
    signed = route_service_pb2.UpdateRouteRequest(
        route=route_service_pb2.Route(id=routes[1].id, authenticated=True)
    )
    signed.update_mask.paths.append("authenticated")
    client.call(client.routes.UpdateRoute, signed)
    story = tenant.wait(tenant.send(), "delivered")
    assert [attempt["provider"] for attempt in story["attempts"]] == ["sendgrid", "postmark"]


def test_the_story_is_told_in_words(stack: Stack) -> None:
    stack.sandbox.set_mode("sendgrid", "block")
    tenant = listening(stack, "sendgrid", "postmark")
    id_ = tenant.send()
    tenant.wait(id_, "delivered")
    with Client(stack.grpc, tenant.access_token) as client:
        told = client.call(client.emails.ExplainEmail, email_service_pb2.ExplainEmailRequest(id=id_))
    assert "has arrived" in told.summary
    assert any("cause: provider" in text for text in told.paragraphs)
    [verdict] = told.verdicts
    assert (verdict.cause, verdict.action, verdict.permanent) == ("provider", "failover", True)
    assert verdict.confidence_percent > 50
    assert verdict.rule
    assert verdict.reason
    assert verdict.evidence.reply == "550"
    assert verdict.evidence.destination == "example.com"
    events = {event["id"]: event for event in tenant.get(id_)["timeline"]}
    assert verdict.evidence.text in events[verdict.event_id]["text"]


def test_blocked_at_one_domain_only_that_domain_moves_and_comes_back(stack: Stack) -> None:
    stack.sandbox.set_mode("sendgrid", "block", domains=["outlook.com"])
    tenant = listening(stack, "sendgrid", "postmark")

    def taken_by(domain: str) -> list[str]:
        story = tenant.wait(tenant.send(to=[{"email": f"ada@{domain}"}]), "delivered")
        return [attempt["provider"] for attempt in story["attempts"]]

    for _ in range(3):
        assert taken_by("outlook.com") == ["sendgrid", "postmark"]
    # Not all of them: the breaker lets a mail through now and then, to see.
    until(lambda: taken_by("outlook.com") == ["postmark"], "outlook.com goes past sendgrid")
    assert taken_by("gmail.com") == ["sendgrid"]
    story = tenant.wait(tenant.send(to=[{"email": "ada@outlook.com"}]), "delivered")
    assert "outlook.com" in story["attempts"][0]["candidates"][0]["reason"]
    stack.sandbox.set_mode("sendgrid", "ok")
    until(lambda: taken_by("outlook.com") == ["sendgrid"], "outlook.com is back at sendgrid", 120)
    request = provider_account_service_pb2.GetProviderAccountRequest(id=tenant.provider_accounts["sendgrid"])
    account = stack.client.call(stack.client.provider_accounts.GetProviderAccount, request)
    assert account.breaker_state == provider_account_service_pb2.BREAKER_STATE_CLOSED
