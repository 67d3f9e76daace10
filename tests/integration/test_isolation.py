"""No tenant sees or touches anything of another through any RPC that a key may call.

Every such RPC of the contract needs a row in ROWS, so a new one without a row fails here; every list needs
one in PAGES too. Each row is called twice with the intruder's key: with what belongs to the owner, and with
ids that never were. Both must be answered alike, word for word.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import psycopg
import pytest
import requests
from flute.v1 import (
    api_key_service_pb2,
    email_pb2,
    email_service_pb2,
    environment_service_pb2,
    event_service_pb2,
    statistics_service_pb2,
    suppression_service_pb2,
    webhook_service_pb2,
)
from flute.v1.annotations_pb2 import (
    ACCESS_ANYONE,
    ACCESS_MANAGE,
    ACCESS_READ,
    ACCESS_SEND,
    HttpRule,
    access,
    http,
)
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from flute_server.rpc.server import SERVICES
from tests.stack import DOMAIN, Stack, Tenant

EMAIL, SUPPRESSION, WEBHOOK = email_service_pb2, suppression_service_pb2, webhook_service_pb2
NOT_FOUND, DENIED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED


@dataclass(frozen=True)
class Things:
    """What a tenant has."""

    account_id: str
    environment_id: str
    email_id: str
    suppression_id: str
    endpoint_id: str
    delivery_id: str
    provider_account_id: str


@dataclass(frozen=True)
class Row:
    """A call that names somebody else's things, and how it must end."""

    request: Callable[[Things], Message]
    code: grpc.StatusCode


def content() -> email_pb2.EmailContent:
    made = email_pb2.EmailContent(subject="Hello", text="x", to=[email_pb2.Address(email="ada@example.com")])
    getattr(made, "from").email = f"hello@{DOMAIN}"
    return made


def suppression(things: Things) -> suppression_service_pb2.Suppression:
    return SUPPRESSION.Suppression(account_id=things.account_id, email="eve@example.com")


def endpoint(things: Things) -> webhook_service_pb2.WebhookEndpoint:
    return WEBHOOK.WebhookEndpoint(environment_id=things.environment_id, url="http://127.0.0.1:9/")


def soon() -> Timestamp:
    time = Timestamp()
    time.GetCurrentTime()
    time.seconds += 3600
    return time


ROWS: dict[str, Row] = {
    "EmailService.SendEmail": Row(
        lambda t: EMAIL.SendEmailRequest(environment_id=t.environment_id, content=content()), DENIED
    ),
    "EmailService.SendEmailBatch": Row(
        lambda t: EMAIL.SendEmailBatchRequest(environment_id=t.environment_id, emails=[content()]), DENIED
    ),
    "EmailService.PlanEmail": Row(
        lambda t: EMAIL.PlanEmailRequest(environment_id=t.environment_id, content=content()), DENIED
    ),
    "EmailService.GetEmail": Row(lambda t: EMAIL.GetEmailRequest(id=t.email_id), NOT_FOUND),
    "EmailService.GetEmailAttachment": Row(
        lambda t: EMAIL.GetEmailAttachmentRequest(id=t.email_id), NOT_FOUND
    ),
    "EmailService.ExplainEmail": Row(lambda t: EMAIL.ExplainEmailRequest(id=t.email_id), NOT_FOUND),
    "EmailService.ListEmails": Row(
        lambda t: EMAIL.ListEmailsRequest(environment_id=t.environment_id), DENIED
    ),
    "EmailService.CancelEmail": Row(lambda t: EMAIL.CancelEmailRequest(id=t.email_id), NOT_FOUND),
    "EmailService.RescheduleEmail": Row(
        lambda t: EMAIL.RescheduleEmailRequest(id=t.email_id, send_at=soon()), NOT_FOUND
    ),
    "EmailService.ResendEmail": Row(
        lambda t: EMAIL.ResendEmailRequest(id=t.email_id, recipients=EMAIL.RESEND_TO_ALL), NOT_FOUND
    ),
    "EnvironmentService.GetEnvironment": Row(
        lambda t: environment_service_pb2.GetEnvironmentRequest(id=t.environment_id), DENIED
    ),
    "EventService.ListEvents": Row(
        lambda t: event_service_pb2.ListEventsRequest(environment_id=t.environment_id), DENIED
    ),
    "EventService.StreamEvents": Row(
        lambda t: event_service_pb2.StreamEventsRequest(environment_id=t.environment_id), DENIED
    ),
    "StatisticsService.GetStatistics": Row(
        lambda t: statistics_service_pb2.GetStatisticsRequest(environment_id=t.environment_id), DENIED
    ),
    "SuppressionService.CreateSuppression": Row(
        lambda t: SUPPRESSION.CreateSuppressionRequest(suppression=suppression(t)), DENIED
    ),
    "SuppressionService.GetSuppression": Row(
        lambda t: SUPPRESSION.GetSuppressionRequest(id=t.suppression_id), NOT_FOUND
    ),
    "SuppressionService.ListSuppressions": Row(
        lambda t: SUPPRESSION.ListSuppressionsRequest(account_id=t.account_id), DENIED
    ),
    "SuppressionService.DeleteSuppression": Row(
        lambda t: SUPPRESSION.DeleteSuppressionRequest(id=t.suppression_id), NOT_FOUND
    ),
    "SuppressionService.ImportSuppressions": Row(
        lambda t: SUPPRESSION.ImportSuppressionsRequest(
            account_id=t.account_id, csv=b"email\neve@example.com"
        ),
        DENIED,
    ),
    "SuppressionService.ExportSuppressions": Row(
        lambda t: SUPPRESSION.ExportSuppressionsRequest(account_id=t.account_id), DENIED
    ),
    "WebhookService.CreateWebhookEndpoint": Row(
        lambda t: WEBHOOK.CreateWebhookEndpointRequest(webhook_endpoint=endpoint(t)), DENIED
    ),
    "WebhookService.GetWebhookEndpoint": Row(
        lambda t: WEBHOOK.GetWebhookEndpointRequest(id=t.endpoint_id), NOT_FOUND
    ),
    "WebhookService.ListWebhookEndpoints": Row(
        lambda t: WEBHOOK.ListWebhookEndpointsRequest(environment_id=t.environment_id), DENIED
    ),
    "WebhookService.UpdateWebhookEndpoint": Row(
        lambda t: WEBHOOK.UpdateWebhookEndpointRequest(
            id=t.endpoint_id, webhook_endpoint=WEBHOOK.WebhookEndpoint(description="mine")
        ),
        NOT_FOUND,
    ),
    "WebhookService.DeleteWebhookEndpoint": Row(
        lambda t: WEBHOOK.DeleteWebhookEndpointRequest(id=t.endpoint_id), NOT_FOUND
    ),
    "WebhookService.RotateWebhookSecret": Row(
        lambda t: WEBHOOK.RotateWebhookSecretRequest(id=t.endpoint_id), NOT_FOUND
    ),
    "WebhookService.TestWebhookEndpoint": Row(
        lambda t: WEBHOOK.TestWebhookEndpointRequest(id=t.endpoint_id), NOT_FOUND
    ),
    "WebhookService.ListWebhookDeliveries": Row(
        lambda t: WEBHOOK.ListWebhookDeliveriesRequest(endpoint_id=t.endpoint_id), NOT_FOUND
    ),
    "WebhookService.ListEmailWebhookDeliveries": Row(
        lambda t: WEBHOOK.ListEmailWebhookDeliveriesRequest(email_id=t.email_id), NOT_FOUND
    ),
    "WebhookService.GetWebhookDelivery": Row(
        lambda t: WEBHOOK.GetWebhookDeliveryRequest(id=t.delivery_id), NOT_FOUND
    ),
    "WebhookService.ReplayWebhookDeliveries": Row(
        lambda t: WEBHOOK.ReplayWebhookDeliveriesRequest(
            endpoint_id=t.endpoint_id, delivery_ids=[t.delivery_id]
        ),
        NOT_FOUND,
    ),
}
# How the JSON API says that there is no such thing.
MISSING = {(404, "not_found"), (404, "email_not_found")}
# What the JSON API wants besides the path.
BODIES: dict[str, dict[str, Any]] = {
    "EmailService.CancelEmail": {},
    "EmailService.RescheduleEmail": {"send_at": "2026-01-01T00:00:00Z"},
    "EmailService.ResendEmail": {"recipients": "all"},
    "WebhookService.UpdateWebhookEndpoint": {"description": "mine"},
    "WebhookService.RotateWebhookSecret": {},
    "WebhookService.TestWebhookEndpoint": {},
    "WebhookService.ReplayWebhookDeliveries": {"delivery_ids": [str(uuid.uuid4())]},
}
# What anybody may call, and why that shows nothing of anybody.
OPEN = {
    "EventService.IngestWebhook": "the provider's signature or password proves whose it is",
    "EventService.IngestBounce": "the signed return path proves whose it is",
    "SuppressionService.Unsubscribe": "the signed link proves whose it is",
    "PersonService.GetSignUpPolicy": "it tells of the installation alone",
    "PersonService.SignUp": "it makes something new, or joins by the token of an invitation",
    "PersonService.ConfirmEmail": "the mailed token proves whose address it is",
    "PersonService.RequestPasswordReset": "it answers nothing, and mails the owner of the address alone",
    "PersonService.ResetPassword": "the mailed token proves whose password it is",
    "SessionService.LogIn": "the password proves who it is",
    "SessionService.CompleteLogIn": "the challenge and a code prove who it is",
    "MemberService.GetInvitation": "whoever has the link is invited",
}
# The lists: a request for the caller's own.
PAGES: dict[str, Callable[[Things], Message]] = {
    "EmailService.ListEmails": lambda t: EMAIL.ListEmailsRequest(page_size=1),
    "EventService.ListEvents": lambda t: event_service_pb2.ListEventsRequest(page_size=1),
    "SuppressionService.ListSuppressions": lambda t: SUPPRESSION.ListSuppressionsRequest(page_size=1),
    "SuppressionService.ExportSuppressions": lambda t: SUPPRESSION.ExportSuppressionsRequest(),
    "WebhookService.ListWebhookEndpoints": lambda t: WEBHOOK.ListWebhookEndpointsRequest(page_size=1),
    "WebhookService.ListEmailWebhookDeliveries": lambda t: WEBHOOK.ListEmailWebhookDeliveriesRequest(
        email_id=t.email_id, page_size=1
    ),
    "WebhookService.ListWebhookDeliveries": lambda t: WEBHOOK.ListWebhookDeliveriesRequest(
        endpoint_id=t.endpoint_id, page_size=1
    ),
}


def methods() -> dict[str, MethodDescriptor]:
    return {
        f"{service.name}.{method.name}": method
        for module in SERVICES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


def accessible() -> dict[str, MethodDescriptor]:
    """What an API key may call."""
    return {
        name: method
        for name, method in methods().items()
        if method.GetOptions().Extensions[access] in {ACCESS_SEND, ACCESS_READ, ACCESS_MANAGE, ACCESS_ANYONE}
    }


def lists() -> dict[str, MethodDescriptor]:
    return {name: m for name, m in accessible().items() if "page_token" in m.input_type.fields_by_name}


@dataclass
class Caller:
    """Calls any RPC with one key."""

    channel: grpc.Channel
    token: str
    things: Things
    mark: str = field(default_factory=lambda: "m" + secrets.token_hex(8))

    def call(self, name: str, request: Message) -> Any:
        """The answer, of a stream the first. Raises grpc.RpcError."""
        method = methods()[name]
        path = f"/{method.containing_service.full_name}/{method.name}"
        answer = GetMessageClass(method.output_type)
        connect: Any = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        call = connect(path, type(request).SerializeToString, answer.FromString)
        done = call(request, metadata=(("authorization", f"Bearer {self.token}"),), timeout=60)
        return next(done) if method.server_streaming else done

    def outcome(self, name: str, request: Message) -> tuple[grpc.StatusCode, str]:
        """How the call ends, in all the words that are told."""
        try:
            return grpc.StatusCode.OK, str(self.call(name, request))
        except grpc.RpcError as raised:
            error: Any = raised
            details = dict(error.trailing_metadata()).get("grpc-status-details-bin")
            return error.code(), f"{error.details()} {details}"


def caller(stack: Stack, channel: grpc.Channel, tenant: Tenant) -> Caller:
    """A tenant with two of everything, and a key that may do all that a key may."""
    client, kinds = stack.client, api_key_service_pb2
    scopes = [kinds.API_KEY_SCOPE_SEND, kinds.API_KEY_SCOPE_READ, kinds.API_KEY_SCOPE_MANAGE]
    asked = kinds.CreateApiKeyRequest(environment_id=tenant.environment_id, name="all", scopes=scopes)
    made = Caller(channel, client.call(client.api_keys.CreateApiKey, asked).access_token, no_things())
    for number in (1, 2):
        mail = tenant.send(
            to=[{"email": f"{made.mark}{number}@example.com"}],
            subject=made.mark,
            tags=[made.mark],
            metadata={"mark": made.mark},
            attachments=[{"filename": made.mark, "content": "aGVsbG8="}],
        )
        listed = SUPPRESSION.Suppression(email=f"{made.mark}-no{number}@example.com", text=made.mark)
        new = SUPPRESSION.CreateSuppressionRequest(suppression=listed)
        suppressed = made.call("SuppressionService.CreateSuppression", new)
        called = WEBHOOK.WebhookEndpoint(url=f"http://127.0.0.1:9/{made.mark}{number}", paused=True)
        asked_for = WEBHOOK.CreateWebhookEndpointRequest(webhook_endpoint=called)
        point = made.call("WebhookService.CreateWebhookEndpoint", asked_for).webhook_endpoint
    tenant.wait(mail, "sent")
    delivery, _ = (deliver(stack, point.id, mail) for _ in range(2))
    made.things = Things(
        tenant.account_id,
        tenant.environment_id,
        mail,
        suppressed.id,
        point.id,
        delivery,
        tenant.provider_accounts["postmark"],
    )
    return made


def deliver(stack: Stack, endpoint_id: str, email_id: str) -> str:
    """Put an event of the mail that is not there yet into the log of an endpoint."""
    with psycopg.connect(stack.services.database_url, autocommit=True) as database:
        row = database.execute(
            "INSERT INTO webhook_delivery (endpoint_id, event_id, email_id, tries, lease) "
            "SELECT %s, id, email_id, 0, 0 FROM event WHERE email_id = %s "
            "AND id NOT IN (SELECT event_id FROM webhook_delivery WHERE endpoint_id = %s) "
            "ORDER BY id LIMIT 1 ON CONFLICT DO NOTHING RETURNING id",
            (endpoint_id, email_id, endpoint_id),
        ).fetchone()
        row = (
            row
            or database.execute(
                "SELECT id FROM webhook_delivery WHERE endpoint_id = %s", (endpoint_id,)
            ).fetchone()
        )
    assert row
    return str(row[0])


def no_things() -> Things:
    return Things(*(str(uuid.uuid4()) for _ in range(7)))


@pytest.fixture(scope="module")
def callers(running_stack: Stack) -> Iterator[tuple[Caller, Caller]]:
    """The owner and the intruder."""
    with grpc.insecure_channel(running_stack.grpc) as channel:
        owner, intruder = (caller(running_stack, channel, running_stack.tenant("postmark")) for _ in range(2))
        yield owner, intruder


def test_every_rpc_has_a_row():
    assert set(accessible()) == set(ROWS) | set(OPEN)
    assert set(lists()) == set(PAGES)
    for name in OPEN:
        assert methods()[name].GetOptions().Extensions[access] == ACCESS_ANYONE


@pytest.mark.parametrize("name", ROWS)
def test_what_belongs_to_others_is_as_if_it_never_was(callers: tuple[Caller, Caller], name: str):
    owner, intruder = callers
    unknown = no_things()
    row = ROWS[name]
    code, words = intruder.outcome(name, row.request(owner.things))
    assert code is row.code, words
    other_code, other_words = intruder.outcome(name, row.request(unknown))
    assert (code, anonymous(words, owner.things)) == (other_code, anonymous(other_words, unknown))
    assert owner.mark not in words


def anonymous(words: str, things: Things) -> str:
    """What was said, but for the ids of the request."""
    for value in vars(things).values():
        words = words.replace(value, "ID")
    return words


def addressed() -> dict[str, HttpRule]:
    """The calls of the JSON API that name something in their path."""
    rules = {name: method.GetOptions().Extensions[http] for name, method in accessible().items()}
    return {name: rule for name, rule in rules.items() if "{" in rule.path}


@pytest.mark.parametrize("name", addressed())
def test_the_json_api_does_not_tell_either(running_stack: Stack, callers: tuple[Caller, Caller], name: str):
    owner, intruder = callers
    unknown = no_things()
    found = []
    for things in (owner.things, unknown):
        request: Any = ROWS[name].request(things)
        values = {field.name: getattr(request, field.name) for field in request.DESCRIPTOR.fields}
        answer = requests.request(
            addressed()[name].method,
            running_stack.web_address + addressed()[name].path.format_map(values),
            headers={"Authorization": f"Bearer {intruder.token}", "X-Request-Id": "same"},
            json=BODIES.get(name),
            timeout=60,
        )
        assert (answer.status_code, answer.json()["code"]) in MISSING, answer.text
        assert "at this address" not in answer.text  # the path is one
        found.append(anonymous(answer.text, things))
    assert found[0] == found[1]
    assert owner.mark not in found[0]


@pytest.mark.parametrize("name", PAGES)
def test_a_cursor_of_others_leads_nowhere(callers: tuple[Caller, Caller], name: str):
    owner, intruder = callers
    request: Any = PAGES[name](owner.things)
    first = owner.call(name, request)
    token = first.next_page_token
    if name == "SuppressionService.ExportSuppressions":  # its pieces are too large to make two here
        listing = PAGES["SuppressionService.ListSuppressions"](owner.things)
        token = owner.call("SuppressionService.ListSuppressions", listing).next_page_token
    assert token
    request = PAGES[name](intruder.things)
    request.page_token = token
    code, words = intruder.outcome(name, request)
    assert code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK}, words
    assert not [value for value in (owner.mark, *vars(owner.things).values()) if value in words]


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"recipient": "{mark}1@example.com"},
        {"tag": "{mark}"},
        {"metadata": "{mark}"},
        {"subject": "{mark}"},
    ],
)
def test_filters_find_nothing_of_others(callers: tuple[Caller, Caller], filters: dict[str, str]):
    owner, intruder = callers
    given: dict[str, Any] = {name: value.format(mark=owner.mark) for name, value in filters.items()}
    if "metadata" in given:
        given["metadata"] = {"mark": owner.mark}
    request = EMAIL.ListEmailsRequest(**given)
    assert owner.call("EmailService.ListEmails", request).emails
    found = intruder.call("EmailService.ListEmails", request).emails
    assert not found if filters else {mail.subject for mail in found} == {intruder.mark}


def test_a_provider_account_of_others_is_no_filter(callers: tuple[Caller, Caller]):
    owner, intruder = callers
    code, words = intruder.outcome(
        "EmailService.ListEmails", EMAIL.ListEmailsRequest(provider_account=owner.things.provider_account_id)
    )
    assert (code, words) == intruder.outcome(
        "EmailService.ListEmails", EMAIL.ListEmailsRequest(provider_account=str(uuid.uuid4()))
    )


def test_lists_hold_nothing_of_others(callers: tuple[Caller, Caller]):
    owner, intruder = callers
    for name, make in PAGES.items():
        request: Any = make(intruder.things)
        if "page_size" in request.DESCRIPTOR.fields_by_name:
            request.page_size = 200
        answer = str(intruder.call(name, request))
        for value in (owner.mark, *vars(owner.things).values()):
            assert value not in answer, name


@pytest.mark.parametrize("name", sorted(set(methods()) - set(accessible())))
def test_what_only_the_service_may_do_no_key_may(callers: tuple[Caller, Caller], name: str):
    _, intruder = callers
    code, _ = intruder.outcome(name, GetMessageClass(methods()[name].input_type)())
    assert code is DENIED


def test_what_the_owner_has_is_as_before(callers: tuple[Caller, Caller]):
    owner, _ = callers
    request = SUPPRESSION.ListSuppressionsRequest()
    listed = owner.call("SuppressionService.ListSuppressions", request).suppressions
    assert [row.email for row in listed] == [f"{owner.mark}-no{n}@example.com" for n in (1, 2)]
    points = owner.call("WebhookService.ListWebhookEndpoints", WEBHOOK.ListWebhookEndpointsRequest())
    assert [row.url for row in points.webhook_endpoints] == [
        f"http://127.0.0.1:9/{owner.mark}{n}" for n in (1, 2)
    ]
    assert all(row.paused and not row.description for row in points.webhook_endpoints)
    assert len(owner.call("EmailService.ListEmails", EMAIL.ListEmailsRequest()).emails) == 2
