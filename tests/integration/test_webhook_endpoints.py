"""Webhook endpoints over gRPC: what is refused, whose they are, and how their calls are made."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import grpc
import psycopg
import pytest
from click.testing import CliRunner
from flask import Flask
from flute.v1 import webhook_service_pb2 as pb
from flute.v1.api_key_service_pb2 import API_KEY_SCOPE_MANAGE, API_KEY_SCOPE_READ, CreateApiKeyRequest
from flute.v1.audit_service_pb2 import ListAuditEntriesRequest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from standardwebhooks import Webhook

from flute_server.admin.webhook_endpoints import MAX_ENDPOINTS, why_no_url
from flute_server.app import create_app
from flute_server.cli import main
from flute_server.local.client import Client, RpcFailed
from flute_server.models import db
from flute_server.sending.position import BEGINNING, Position
from flute_server.sending.webhooks.call import call, new_session
from flute_server.sending.webhooks.fan_out import fan_out
from flute_server.sending.webhooks.retention import forget_old
from tests.receiver import Receiver, receiving
from tests.stack import Stack, Tenant, until

URL = "https://example.com/flute"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def create(tenant: Tenant, url: str = URL, **fields: Any) -> pb.CreateWebhookEndpointResponse:
    client = tenant.stack.client
    given = pb.WebhookEndpoint(environment_id=tenant.environment_id, url=url, **fields)
    return client.call(
        client.webhooks.CreateWebhookEndpoint, pb.CreateWebhookEndpointRequest(webhook_endpoint=given)
    )


@pytest.fixture
def app(stack: Stack) -> Iterator[Flask]:
    made = create_app(stack.config)
    yield made
    with made.app_context():
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()


@pytest.fixture
def manager(stack: Stack) -> Iterator[tuple[Tenant, Client]]:
    """A tenant, and a client with a key of its environment that may manage."""
    tenant = stack.tenant()
    request = CreateApiKeyRequest(
        environment_id=tenant.environment_id,
        name="manager",
        scopes=[API_KEY_SCOPE_MANAGE, API_KEY_SCOPE_READ],
    )
    token = stack.client.call(stack.client.api_keys.CreateApiKey, request).access_token
    with Client(stack.grpc, token) as client:
        yield tenant, client


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "required"),
        ("ftp://example.com/", "https://"),
        ("example.com", "https://"),
        ("https://", "https://"),
        ("https://user:secret@example.com/", "password"),
        ("https://example.com/#here", "fragment"),
        ("https://exämple.com/", "xn--"),
        ("https://example.com/\n", "without spaces"),
        ("https://example.com/" + "x" * 2000, "2,000"),
        ("https://example.com:99999/", "no web address"),
        ("http://127.0.0.1/", "private"),
        ("http://[::1]:80/", "private"),
        ("http://169.254.169.254/latest", "private"),
        ("http://10.1.2.3/", "private"),
        ("http://localhost:8080/", "private"),
        ("http://localhost./", "private"),
        ("http://127.1/", "private"),
        ("http://0x7f.1/", "private"),
        ("http://2130706433:80/", "private"),
        ("http://0/", "private"),
    ],
)
def test_urls_that_are_refused(url: str, reason: str):
    assert reason in why_no_url(url, allow_private=False)


@pytest.mark.parametrize("url", [URL, "http://example.com:8080/a?b=c", "https://93.184.216.34/x"])
def test_urls_that_are_taken(url: str):
    assert not why_no_url(url, allow_private=False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1"])
def test_a_name_that_leads_home_is_refused_when_it_is_called(receiver: Receiver, host: str):
    config = type("Config", (), {"allow_private_addresses": False})
    session = new_session(config)  # type: ignore[arg-type]
    answer, _ = call(session, receiver.url.replace("127.0.0.1", host), {}, b"{}")
    session.close()
    assert answer.status == 0
    assert "private" in answer.text
    assert not receiver.calls


def test_unknown_event_types_are_refused_with_the_known_ones(stack: Stack):
    with pytest.raises(RpcFailed, match=r"event_types\[1\].*delivered"):
        create(stack.tenant(), event_types=["delivered", "devoured"])


def test_an_environment_has_at_most_20(stack: Stack):
    tenant = stack.tenant()
    made = [create(tenant).webhook_endpoint for _ in range(MAX_ENDPOINTS)]
    with pytest.raises(RpcFailed, match="at most 20") as caught:
        create(tenant)
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION
    request = pb.ListWebhookEndpointsRequest(environment_id=tenant.environment_id)
    listed = stack.client.pages(stack.client.webhooks.ListWebhookEndpoints, request, "webhook_endpoints")
    assert [row.id for row in listed] == [row.id for row in made]
    delete = pb.DeleteWebhookEndpointRequest(id=made[0].id)
    stack.client.call(stack.client.webhooks.DeleteWebhookEndpoint, delete)
    create(tenant)


def test_a_key_sees_its_own_environments_endpoints_alone(manager: tuple[Tenant, Client]):
    tenant, client = manager
    stub = client.webhooks
    own = create(tenant).webhook_endpoint
    other = create(tenant.stack.tenant()).webhook_endpoint
    assert client.call(stub.GetWebhookEndpoint, pb.GetWebhookEndpointRequest(id=own.id)) == own
    never = "8f14e45f-ceea-467f-a0e6-1f5b9d6a8c11"
    for id_ in (other.id, never, "nonsense"):
        for method, request in (
            (stub.GetWebhookEndpoint, pb.GetWebhookEndpointRequest(id=id_)),
            (stub.UpdateWebhookEndpoint, pb.UpdateWebhookEndpointRequest(id=id_)),
            (stub.DeleteWebhookEndpoint, pb.DeleteWebhookEndpointRequest(id=id_)),
            (stub.RotateWebhookSecret, pb.RotateWebhookSecretRequest(id=id_)),
            (stub.TestWebhookEndpoint, pb.TestWebhookEndpointRequest(id=id_)),
            (stub.ListWebhookDeliveries, pb.ListWebhookDeliveriesRequest(endpoint_id=id_)),
            (stub.ReplayWebhookDeliveries, pb.ReplayWebhookDeliveriesRequest(endpoint_id=id_)),
        ):
            with pytest.raises(RpcFailed) as caught:
                client.call(method, request)
            assert caught.value.code is grpc.StatusCode.NOT_FOUND
            assert str(caught.value) == f"there is no webhook endpoint {id_!r}, or none that you may see"


def test_a_delivery_of_another_environment_is_not_there(manager: tuple[Tenant, Client], receiver: Receiver):
    tenant, client = manager
    other = tenant.stack.tenant()
    made = create(other, receiver.url).webhook_endpoint
    other.send()
    request = pb.ListWebhookDeliveriesRequest(endpoint_id=made.id)
    stub = tenant.stack.client
    [row, *_] = until(
        lambda: stub.call(stub.webhooks.ListWebhookDeliveries, request).webhook_deliveries, "told"
    )
    with pytest.raises(RpcFailed, match="there is no webhook delivery"):
        client.call(client.webhooks.GetWebhookDelivery, pb.GetWebhookDeliveryRequest(id=row.id))
    with pytest.raises(RpcFailed, match="there is no webhook delivery 'nonsense'"):
        client.call(client.webhooks.GetWebhookDelivery, pb.GetWebhookDeliveryRequest(id="nonsense"))
    own = create(tenant).webhook_endpoint
    replay = pb.ReplayWebhookDeliveriesRequest(endpoint_id=own.id, delivery_ids=[row.id])
    with pytest.raises(RpcFailed, match=r"delivery_ids\[0\]"):
        client.call(client.webhooks.ReplayWebhookDeliveries, replay)


def test_an_update_changes_what_is_named_or_given_and_is_on_record(manager: tuple[Tenant, Client]):
    tenant, client = manager
    stub, id_ = client.webhooks, create(tenant, description="first").webhook_endpoint.id

    def update(mask: list[str], **fields: Any) -> pb.WebhookEndpoint:
        request = pb.UpdateWebhookEndpointRequest(
            id=id_, webhook_endpoint=pb.WebhookEndpoint(**fields), update_mask=FieldMask(paths=mask)
        )
        return client.call(stub.UpdateWebhookEndpoint, request)

    assert update([], event_types=["sent", "bounced", "sent"]).event_types == ["bounced", "sent"]
    row = update([], paused=True)
    assert (row.paused, row.description, row.url) == (True, "first", URL)
    row = update(["paused", "description"])
    assert (row.paused, row.description, list(row.event_types)) == (False, "", ["bounced", "sent"])
    with pytest.raises(RpcFailed, match="secret cannot be changed"):
        update(["secret"])
    with pytest.raises(RpcFailed, match="is required"):
        update(["url"])
    told = tenant.stack.client.call(
        tenant.stack.client.audit.ListAuditEntries, ListAuditEntriesRequest(account_id=tenant.account_id)
    )
    actions = [(entry.action, entry.actor.split(" (")[0]) for entry in told.audit_entries]
    assert actions.count(("webhook_endpoint.update", "key manager")) == 3
    assert ("webhook_endpoint.create", "service") in actions


def test_an_overlap_is_at_most_a_week(stack: Stack):
    id_ = create(stack.tenant()).webhook_endpoint.id
    for seconds in (-1, 7 * 86400 + 1, 2**62):
        request = pb.RotateWebhookSecretRequest(id=id_, overlap=Duration(seconds=seconds))
        with pytest.raises(RpcFailed, match="0 to 7 days"):
            stack.client.call(stack.client.webhooks.RotateWebhookSecret, request)


def test_a_second_rotation_does_not_end_the_secret_that_programs_still_use(stack: Stack):
    id_ = create(stack.tenant()).webhook_endpoint.id

    def rotated(**fields: Any) -> Any:
        request = pb.RotateWebhookSecretRequest(id=id_, **fields)
        return stack.client.call(stack.client.webhooks.RotateWebhookSecret, request)

    first = rotated()
    with pytest.raises(RpcFailed, match="only one old secret is kept; rotate after that, or with an overlap"):
        rotated(overlap=Duration(seconds=3600))
    show = pb.GetWebhookEndpointRequest(id=id_)
    assert stack.client.call(stack.client.webhooks.GetWebhookEndpoint, show) == first.webhook_endpoint
    assert not rotated(overlap=Duration()).webhook_endpoint.HasField("previous_secret_expire_time")
    assert rotated().webhook_endpoint.HasField("previous_secret_expire_time")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "either delivery_ids"),
        ({"only_failed": True}, "start_time"),
        ({"start_time": Timestamp(seconds=1)}, "30 days"),
        ({"start_time": Timestamp(seconds=2**40)}, "after start_time"),
        ({"delivery_ids": ["x"], "only_failed": True}, "either delivery_ids"),
        ({"delivery_ids": ["x"]}, r"delivery_ids\[0\]"),
        ({"delivery_ids": ["x"] * 1001}, "1,000"),
    ],
)
def test_replays_that_are_refused(stack: Stack, fields: dict[str, Any], reason: str):
    id_ = create(stack.tenant()).webhook_endpoint.id
    request = pb.ReplayWebhookDeliveriesRequest(endpoint_id=id_, **fields)
    with pytest.raises(RpcFailed, match=reason):
        stack.client.call(stack.client.webhooks.ReplayWebhookDeliveries, request)


def test_a_test_call_is_real_and_leaves_no_trace(stack: Stack, receiver: Receiver):
    made = create(stack.tenant(), receiver.url)
    id_, client = made.webhook_endpoint.id, stack.client
    receiver.answer = lambda _: (202, {})
    request = pb.TestWebhookEndpointRequest(id=id_)
    answer = client.call(client.webhooks.TestWebhookEndpoint, request)
    assert (answer.status, answer.text) == (202, "status 202")
    [taken] = receiver.calls
    assert Webhook(made.secret).verify(taken.body, taken.headers)["type"] == "test"
    listing = pb.ListWebhookDeliveriesRequest(endpoint_id=id_)
    assert not client.call(client.webhooks.ListWebhookDeliveries, listing).webhook_deliveries


def test_a_redirect_is_not_followed_and_said(stack: Stack, receiver: Receiver):
    with receiving() as elsewhere:
        receiver.answer = lambda _: (307, {"Location": elsewhere.url})
        id_ = create(stack.tenant(), receiver.url).webhook_endpoint.id
        request = pb.TestWebhookEndpointRequest(id=id_)
        answer = stack.client.call(stack.client.webhooks.TestWebhookEndpoint, request)
        assert not elsewhere.calls
    assert answer.status == 307
    assert "redirects are not followed" in answer.text
    assert elsewhere.url in answer.text


def test_nobody_there_is_told_in_words(stack: Stack):
    with receiving() as gone:
        url = gone.url
    id_ = create(stack.tenant(), url).webhook_endpoint.id
    request = pb.TestWebhookEndpointRequest(id=id_)
    answer = stack.client.call(stack.client.webhooks.TestWebhookEndpoint, request)
    assert answer.status == 0
    assert "Connection refused" in answer.text


def test_pages_of_deliveries_and_what_is_too_old(stack: Stack, app: Flask, receiver: Receiver):
    tenant, client = stack.tenant(), stack.client
    id_ = create(tenant, receiver.url).webhook_endpoint.id
    for _ in range(3):
        tenant.wait(tenant.send(), "sent")
    request = pb.ListWebhookDeliveriesRequest(
        endpoint_id=id_, page_size=4, state=pb.WEBHOOK_DELIVERY_STATE_DELIVERED
    )

    def listed() -> list[str]:
        request.page_token = ""
        first = client.call(client.webhooks.ListWebhookDeliveries, request)
        rows = list(first.webhook_deliveries)
        if first.next_page_token:
            request.page_token = first.next_page_token
            rows += client.call(client.webhooks.ListWebhookDeliveries, request).webhook_deliveries
        return [row.event_id for row in rows]

    ids = until(lambda: found if len(found := listed()) == 6 else None, "all are told")
    assert ids == sorted(ids, key=lambda id_: int(id_.removeprefix("evt_")), reverse=True)
    request.page_token = "nonsense"
    with pytest.raises(RpcFailed, match="page_token"):
        client.call(client.webhooks.ListWebhookDeliveries, request)
    with psycopg.connect(stack.services.database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE webhook_delivery SET create_time = now() - interval '31 days' WHERE event_id = ANY(%s)",
            [[int(id_.removeprefix("evt_")) for id_ in ids[3:]]],
        )
    assert forget_old(app)
    assert listed() == ids[:3]


def test_what_was_told_of_one_mail_to_all_endpoints(stack: Stack, receiver: Receiver):
    tenant, client = stack.tenant("simulator"), stack.client
    points = {create(tenant, f"{receiver.url}{path}").webhook_endpoint.id for path in ("a", "b")}
    mail, other = tenant.send(), tenant.send()
    for id_ in (mail, other):
        tenant.wait(id_, "delivered")
    request = pb.ListEmailWebhookDeliveriesRequest(
        email_id=mail, page_size=3, state=pb.WEBHOOK_DELIVERY_STATE_DELIVERED
    )

    def listed() -> list[pb.WebhookDelivery]:
        rows: list[pb.WebhookDelivery] = []
        request.page_token = ""
        while True:
            page = client.call(client.webhooks.ListEmailWebhookDeliveries, request)
            rows += page.webhook_deliveries
            if not page.next_page_token:
                return rows
            assert len(page.webhook_deliveries) == 3
            request.page_token = page.next_page_token

    events = len(tenant.get(mail)["timeline"]) - 1  # the start of a call is no event
    rows = until(lambda: found if len(found := listed()) == 2 * events else None, "all are told")
    assert {row.email_id for row in rows} == {mail}
    assert {row.endpoint_id for row in rows} == points
    assert len({row.id for row in rows}) == len(rows)
    assert [row.tries[-1].status for row in rows] == [204] * len(rows)
    order = [int(row.event_id.removeprefix("evt_")) for row in rows]
    assert order == sorted(order, reverse=True)
    request.state = pb.WEBHOOK_DELIVERY_STATE_FAILED
    assert listed() == []
    for token in ("nonsense", base64.urlsafe_b64encode(b"before 1 x").decode()):
        request.page_token = token
        with pytest.raises(RpcFailed, match="page_token"):
            client.call(client.webhooks.ListEmailWebhookDeliveries, request)


def test_events_are_fanned_out_once_and_to_nobody_from_before(stack: Stack, app: Flask):
    tenant = stack.tenant()
    before = tenant.send()
    tenant.wait(before, "sent")
    id_ = create(tenant, paused=True).webhook_endpoint.id
    after = tenant.send()
    tenant.wait(after, "sent")
    with app.app_context():
        connection = db.session.connection()
        for _ in range(2):
            fan_out(connection, BEGINNING, Position(str(2**63), 0))
        found = connection.exec_driver_sql(
            "SELECT email_id::text FROM webhook_delivery WHERE endpoint_id = %(id)s", {"id": id_}
        )
        assert [row.email_id for row in found] == [after, after]
        db.session.rollback()


def test_the_command_line(stack: Stack, receiver: Receiver):
    tenant = stack.tenant()
    env = {"FLUTE_GRPC_ADDRESS": stack.grpc, "FLUTE_SERVICE_TOKEN": stack.service_token}

    def run(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["webhook", *words], env=env)
        assert result.exit_code == code, result.output
        return result.stdout

    where = ("--environment", tenant.environment_id)
    made = json.loads(run("add", receiver.url, *where, "--event", "accepted", "--json"))
    id_ = made["webhook_endpoint"]["id"]
    assert receiver.url in run("list", *where)
    assert "events: accepted" in run("show", id_)
    assert "204" in run("test", id_)
    assert run("rotate-secret", id_).startswith("whsec_")
    run("pause", id_)
    assert "paused" in run("list", *where)
    run("resume", id_)
    email = tenant.send()
    until(lambda: receiver.of(email), "told")
    until(lambda: "delivered" in run("deliveries", id_), "on record")
    assert "1 events" in run("replay", id_, "--since", "1h")
    until(lambda: len(receiver.of(email)) == 2, "told again")
    receiver.answer = lambda _: (500, {})
    assert "500" in run("test", id_, code=1)
    run("delete", id_, "--yes")
    assert "no webhook endpoint" in CliRunner().invoke(main, ["webhook", "show", id_], env=env).output
