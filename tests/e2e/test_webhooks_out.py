"""Events told to the owner's own programs: over a real network, verified with the public library."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from flute.v1 import webhook_service_pb2 as pb
from flute.v1.alert_service_pb2 import ListAlertsRequest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from redis import Redis
from standardwebhooks import Webhook, WebhookVerificationError

from flute_server.local.client import RpcFailed
from flute_server.local.embedded import Services
from flute_server.sandbox import Sandbox
from flute_server.sending.webhooks.call import ANSWER_S
from tests.receiver import Receiver, Taken, receiving
from tests.stack import Stack, Tenant, fresh_database, running, until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def endpoint(tenant: Tenant, url: str, *types: str) -> pb.CreateWebhookEndpointResponse:
    """A new endpoint and its secret."""
    client = tenant.stack.client
    given = pb.WebhookEndpoint(environment_id=tenant.environment_id, url=url, event_types=types)
    request = pb.CreateWebhookEndpointRequest(webhook_endpoint=given)
    return client.call(client.webhooks.CreateWebhookEndpoint, request)


def deliveries(stack: Stack, endpoint_id: str) -> list[pb.WebhookDelivery]:
    request = pb.ListWebhookDeliveriesRequest(endpoint_id=endpoint_id)
    answer = stack.client.call(stack.client.webhooks.ListWebhookDeliveries, request)
    return list(answer.webhook_deliveries)


def verified(call: Taken, secret: str) -> bool:
    try:
        Webhook(secret).verify(call.body, call.headers)
    except WebhookVerificationError:
        return False
    return True


def execute(stack: Stack, statement: str) -> None:
    with psycopg.connect(stack.services.database_url, autocommit=True) as connection:
        connection.execute(statement)


def test_events_are_told_signed_and_in_order(stack: Stack, receiver: Receiver):
    tenant = stack.tenant()
    made = endpoint(tenant, receiver.url)
    id_ = tenant.send(tags=["welcome"], metadata={"user": "7"}, subject="Grüße")
    until(lambda: len(receiver.of(id_)) >= 2, "accepted and sent are told")
    accepted, sent = receiver.of(id_)[:2]
    assert (accepted.type, sent.type) == ("accepted", "sent")
    assert verified(accepted, made.secret)
    assert verified(sent, made.secret)
    assert accepted.headers["user-agent"] == "Flute-Webhooks/1"
    data = sent.json["data"]
    assert data["id"] == sent.id
    assert data["provider_account"] == "sendgrid"
    assert data["recipient"] == "ada@example.com"
    assert data["subject"] == "Grüße"
    assert data["tags"] == ["welcome"]
    assert data["metadata"] == {"user": "7"}
    assert data["environment_id"] == tenant.environment_id
    assert data["test"] is False

    def settled() -> list[pb.WebhookDelivery]:
        rows = deliveries(stack, made.webhook_endpoint.id)
        done = [row for row in rows if row.state == pb.WEBHOOK_DELIVERY_STATE_DELIVERED]
        return rows if len(done) == len(rows) == 2 else []

    newest, oldest = until(settled, "both are on record")
    assert (newest.event_type, oldest.event_type) == ("sent", "accepted")
    assert newest.tries[0].status == 204
    request = pb.GetWebhookDeliveryRequest(id=newest.id)
    whole = stack.client.call(stack.client.webhooks.GetWebhookDelivery, request)
    assert whole.body.encode() == sent.body
    assert whole.event_id == sent.id


def test_what_is_told_is_the_event_of_the_feed_and_more(stack: Stack, receiver: Receiver):
    tenant = stack.tenant()
    endpoint(tenant, receiver.url)
    id_ = tenant.send()
    until(lambda: len(receiver.of(id_)) >= 2, "accepted and sent are told")
    answer = requests.get(
        f"{stack.web_address}/v1/events",
        headers={"Authorization": f"Bearer {tenant.access_token}"},
        timeout=60,
    )
    for event, call in zip(answer.json()["events"], receiver.of(id_), strict=True):
        data = call.json["data"]
        times = [datetime.fromisoformat(time) for time in (event.pop("time"), data["time"])]
        assert times[0] == times[1]
        assert event == {name: data[name] for name in event}
    assert receiver.of(id_)[0].json["data"]["recipient"] is None
    assert set(data) - set(event) == {"time", "environment_id", "subject", "tags", "metadata", "test"}


def test_only_the_wanted_types_are_told(stack: Stack, receiver: Receiver):
    tenant = stack.tenant()
    endpoint(tenant, receiver.url, "sent")
    id_ = tenant.send()
    until(lambda: receiver.of(id_), "sent is told")
    assert [call.type for call in receiver.of(id_)] == ["sent"]


def test_a_failed_call_is_made_again_and_later_events_of_the_mail_wait_for_it(
    stack: Stack, receiver: Receiver
):
    failed: list[str] = []

    def once(call: Taken) -> tuple[int, dict[str, str]]:
        if call.type == "accepted" and not failed:
            failed.append(call.id)
            return 500, {}
        return 200, {}

    receiver.answer = once
    tenant = stack.tenant()
    made = endpoint(tenant, receiver.url)
    id_ = tenant.send()
    until(lambda: len(receiver.of(id_)) >= 3, "told again")
    first, again, sent = receiver.of(id_)
    assert (first.type, again.type, sent.type) == ("accepted", "accepted", "sent")
    assert first.id == again.id
    assert first.body == again.body
    assert again.at - first.at > 3.9
    assert verified(again, made.secret)
    oldest = until(lambda: [d for d in deliveries(stack, made.webhook_endpoint.id) if len(d.tries)], "log")[
        -1
    ]
    request = pb.GetWebhookDeliveryRequest(id=oldest.id)
    whole = until(
        lambda: (
            found
            if len((found := stack.client.call(stack.client.webhooks.GetWebhookDelivery, request)).tries) == 2
            else None
        ),
        "two tries on record",
    )
    assert [made_try.status for made_try in whole.tries] == [500, 200]
    assert whole.tries[0].text == "status 500"


def test_an_endpoint_that_hangs_slows_no_other_one(stack: Stack, receiver: Receiver):
    release = threading.Event()
    with receiving() as hanging:
        hanging.answer = lambda _: (204 if release.wait(30) else 500, {})
        slow, well = stack.tenant(), stack.tenant()
        endpoint(slow, hanging.url)
        endpoint(well, receiver.url)
        for _ in range(8):
            slow.send()
        until(lambda: len(hanging.calls) >= 2, "calls to the endpoint that hangs")
        begin = time.monotonic()
        ids = [well.send() for _ in range(8)]
        until(lambda: len(receiver.calls) >= 2 * len(ids), "the well one is told")
        took = time.monotonic() - begin
        release.set()
    assert took < ANSWER_S
    assert hanging.most_at_once <= 4


def test_both_secrets_sign_until_the_overlap_ends(stack: Stack, receiver: Receiver):
    tenant = stack.tenant()
    made = endpoint(tenant, receiver.url, "accepted")
    client, id_ = stack.client, made.webhook_endpoint.id
    request = pb.RotateWebhookSecretRequest(id=id_, overlap=Duration(seconds=60))
    rotated = client.call(client.webhooks.RotateWebhookSecret, request)
    assert rotated.webhook_endpoint.HasField("previous_secret_expire_time")
    tenant.send()
    until(lambda: receiver.calls, "told")
    assert verified(receiver.calls[0], made.secret)
    assert verified(receiver.calls[0], rotated.secret)
    request = pb.RotateWebhookSecretRequest(id=id_, overlap=Duration())
    last = client.call(client.webhooks.RotateWebhookSecret, request)
    assert not last.webhook_endpoint.HasField("previous_secret_expire_time")
    tenant.send()
    until(lambda: len(receiver.calls) == 2, "told")
    assert verified(receiver.calls[1], last.secret)
    assert not verified(receiver.calls[1], rotated.secret)


def test_a_range_is_replayed_with_what_came_before_the_endpoint(stack: Stack, receiver: Receiver):
    tenant = stack.tenant()
    id_ = tenant.send()
    tenant.wait(id_, "sent")
    made = endpoint(tenant, receiver.url)
    client, endpoint_id = stack.client, made.webhook_endpoint.id
    start = Timestamp()
    start.FromSeconds(int(time.time()) - 60)
    request = pb.ReplayWebhookDeliveriesRequest(endpoint_id=endpoint_id, start_time=start)
    assert client.call(client.webhooks.ReplayWebhookDeliveries, request).count == 2
    until(lambda: len(receiver.of(id_)) == 2, "told although it came before")
    until(
        lambda: all(d.state == pb.WEBHOOK_DELIVERY_STATE_DELIVERED for d in deliveries(stack, endpoint_id)),
        "on record",
    )
    request.only_failed = True
    assert client.call(client.webhooks.ReplayWebhookDeliveries, request).count == 0
    one = deliveries(stack, endpoint_id)[0]
    named = pb.ReplayWebhookDeliveriesRequest(endpoint_id=endpoint_id, delivery_ids=[one.id])
    assert client.call(client.webhooks.ReplayWebhookDeliveries, named).count == 1
    until(lambda: len(receiver.of(id_)) == 3, "told again")
    assert receiver.of(id_)[2].id == one.event_id
    assert receiver.of(id_)[2].body == next(c for c in receiver.of(id_) if c.id == one.event_id).body


def test_an_endpoint_that_is_gone_is_paused_and_goes_on_when_unpaused(stack: Stack, receiver: Receiver):
    receiver.answer = lambda _: (410, {})
    tenant = stack.tenant()
    made = endpoint(tenant, receiver.url, "accepted")
    client, id_ = stack.client, made.webhook_endpoint.id
    tenant.send()
    request = pb.GetWebhookEndpointRequest(id=id_)
    row = until(
        lambda: row if (row := client.call(client.webhooks.GetWebhookEndpoint, request)).paused else None,
        "paused",
    )
    assert "410" in row.pause_reason
    alerts = ListAlertsRequest(account_id=tenant.account_id)
    [alert] = until(lambda: client.call(client.alerts.ListAlerts, alerts).alerts, "the alert")
    assert (alert.kind, alert.subject) == ("webhook", id_)
    assert "wait for 30 days" in alert.text
    late = tenant.send()
    tenant.wait(late, "sent")
    receiver.answer = lambda _: (200, {})
    moved = pb.WebhookEndpoint(url=f"{receiver.url}/moved")
    change = pb.UpdateWebhookEndpointRequest(
        id=id_, webhook_endpoint=moved, update_mask=FieldMask(paths=["paused", "url"])
    )
    row = client.call(client.webhooks.UpdateWebhookEndpoint, change)
    assert not row.paused
    assert row.pause_reason == ""
    until(lambda: receiver.of(late), "what waited is told")
    # Each call tells where it went, whatever the endpoint's URL is by now.
    execute(
        stack,
        f"UPDATE webhook_delivery SET due_time = now() WHERE endpoint_id = '{id_}' AND due_time IS NOT NULL",
    )
    first = pb.GetWebhookDeliveryRequest(id=deliveries(stack, id_)[-1].id)

    def went() -> list[str]:
        return [made.url for made in client.call(client.webhooks.GetWebhookDelivery, first).tries]

    until(lambda: went() == [receiver.url, moved.url], "the first is told again where the endpoint is now")
    assert not client.call(client.alerts.ListAlerts, alerts).alerts


def test_a_dead_endpoint_gets_few_calls_and_is_paused_after_a_day(stack: Stack, receiver: Receiver):
    receiver.answer = lambda _: (500, {})
    tenant = stack.tenant()
    made = endpoint(tenant, receiver.url, "accepted")
    client, id_ = stack.client, made.webhook_endpoint.id
    ids = [tenant.send() for _ in range(30)]
    request = pb.GetWebhookEndpointRequest(id=id_)

    def row() -> pb.WebhookEndpoint:
        return client.call(client.webhooks.GetWebhookEndpoint, request)

    until(lambda: row().HasField("failing_since"), "it is known to fail")
    until(lambda: len(deliveries(stack, id_)) == len(ids), "all are to be told")
    # Each call beyond the first few must wait for a pause of 5 s and more.
    assert len(receiver.calls) <= 12
    execute(
        stack,
        "UPDATE webhook_endpoint SET failing_since = now() - interval '25 hours', failures = 9, "
        f"retry_time = NULL WHERE id = '{id_}'",
    )
    reason = until(lambda: row().pause_reason, "paused")
    assert "every call has failed since" in reason
    assert "the last: 500" in reason
    alerts = ListAlertsRequest(account_id=tenant.account_id)
    [alert] = client.call(client.alerts.ListAlerts, alerts).alerts
    assert receiver.url in alert.text
    receiver.answer = lambda _: (200, {})
    change = pb.UpdateWebhookEndpointRequest(id=id_, update_mask=FieldMask(paths=["paused"]))
    client.call(client.webhooks.UpdateWebhookEndpoint, change)
    execute(stack, f"UPDATE webhook_delivery SET due_time = now() WHERE endpoint_id = '{id_}'")
    until(
        lambda: {call.json["data"]["email_id"] for call in receiver.calls[-30:]} == set(ids), "all are told"
    )


def test_a_call_whose_worker_died_before_writing_it_down_is_made_again(
    services: Services, sandbox: Sandbox, tmp_path: Path, receiver: Receiver
):
    hold = threading.Event()
    receiver.answer = lambda _: (204 if hold.wait(20) else 500, {})
    redis_url = services.redis_url.replace("db=0", "db=2")
    Redis.from_url(redis_url).flushdb()
    own = Services(fresh_database(services, "webhooks_out"), redis_url)
    with running(own, sandbox, tmp_path) as stack:
        tenant = stack.tenant()
        made = endpoint(tenant, receiver.url, "accepted")
        id_ = tenant.send()
        until(lambda: receiver.of(id_), "the call is under way")
        stack.workers[0].kill()
        hold.set()
        execute(stack, "UPDATE webhook_delivery SET due_time = now() WHERE due_time IS NOT NULL")
        stack.add_worker()
        until(lambda: len(receiver.of(id_)) == 2, "told again")
        assert receiver.of(id_)[0].id == receiver.of(id_)[1].id
        until(lambda: deliveries(stack, made.webhook_endpoint.id)[0].tries, "on record")


def test_what_is_deleted_while_it_is_changed_is_not_there(stack: Stack, receiver: Receiver):
    tenant = stack.tenant()
    client = stack.client

    def code(method: Callable[..., Any], request: Any) -> str:
        try:
            client.call(method, request)
        except RpcFailed as error:
            return error.code.name
        return "OK"

    with ThreadPoolExecutor() as pool:
        for _ in range(12):
            id_ = endpoint(tenant, receiver.url).webhook_endpoint.id
            calls = [
                (client.webhooks.RotateWebhookSecret, pb.RotateWebhookSecretRequest(id=id_)),
                (client.webhooks.DeleteWebhookEndpoint, pb.DeleteWebhookEndpointRequest(id=id_)),
                (client.webhooks.RotateWebhookSecret, pb.RotateWebhookSecretRequest(id=id_)),
                (client.webhooks.DeleteWebhookEndpoint, pb.DeleteWebhookEndpointRequest(id=id_)),
            ]
            answers = {"OK", "NOT_FOUND", "FAILED_PRECONDITION"}  # the last for the second overlap
            assert set(pool.map(code, *zip(*calls, strict=True))) <= answers
