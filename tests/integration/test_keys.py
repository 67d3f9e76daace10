"""API keys over gRPC: what each may call, how they end, and how often they may be used."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import grpc
import psycopg
import pytest
from flute.v1 import api_key_service_pb2, email_pb2, email_service_pb2, environment_service_pb2
from flute.v1.annotations_pb2 import (
    ACCESS_ANYONE,
    ACCESS_MANAGE,
    ACCESS_OPERATOR,
    ACCESS_PERSON,
    ACCESS_READ,
    ACCESS_SEND,
    access,
)
from flute.v1.email_service_pb2 import (
    GetEmailRequest,
    PlanEmailRequest,
    SendEmailBatchRequest,
    SendEmailRequest,
)
from flute.v1.email_service_pb2_grpc import add_EmailServiceServicer_to_server as add
from flute.v1.limit_pb2 import RateLimit
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from flute_server.local.client import RpcFailed, open_channel
from flute_server.rpc.emails import EmailServicer
from flute_server.rpc.server import SERVICES
from tests.integration.people import other_redis
from tests.integration.serving import serving
from tests.stack import DOMAIN, Stack, Tenant

SCOPES = {
    "send": api_key_service_pb2.API_KEY_SCOPE_SEND,
    "read": api_key_service_pb2.API_KEY_SCOPE_READ,
    "manage": api_key_service_pb2.API_KEY_SCOPE_MANAGE,
}
NEEDS: dict[int, str] = {ACCESS_SEND: "send", ACCESS_READ: "read", ACCESS_MANAGE: "manage"}
METHODS = [
    method
    for module in SERVICES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
BATCH = "/flute.v1.EmailService/SendEmailBatch"


class Caller:
    """Calls as an app would, and keeps what came with the last answer."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self.trailing: dict[str, str] = {}

    def __call__(self, method: MethodDescriptor, request: Any, token: str = "", **metadata: str) -> Any:
        """The answer, or the error. Of a stream, the first answer within a moment."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        forms = (type(request).SerializeToString, GetMessageClass(method.output_type).FromString)
        sent: Any = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        sent += (("authorization", f"Bearer {token}"),) if token else ()
        done: Any
        try:
            if method.server_streaming:
                return next(iter(self._channel.unary_stream(path, *forms)(request, 0.3, sent)))
            answer, done = self._channel.unary_unary(path, *forms).with_call(request, 10, sent)
        except grpc.RpcError as error:
            answer = done = error
        self.trailing = {name: str(value) for name, value in done.trailing_metadata()}
        return answer

    def email(self, name: str, request: Any, token: str, **metadata: str) -> Any:
        method = next(m for m in METHODS if m.full_name == f"flute.v1.EmailService.{name}")
        return self(method, request, token, **metadata)


@pytest.fixture
def call(stack: Stack) -> Iterator[Caller]:
    with open_channel(stack.grpc) as channel:
        yield Caller(channel)


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    return stack.tenant()


def reason(answer: Any) -> str:
    """Why a call was refused; empty if it was not."""
    if not isinstance(answer, grpc.RpcError):
        return ""
    return str(detail(answer, error_details_pb2.ErrorInfo()).reason)


def detail(error: Any, empty: Any) -> Any:
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        if packed.Unpack(empty):
            break
    return empty


def create(tenant: Tenant, **fields: Any) -> api_key_service_pb2.CreateApiKeyResponse:
    client = tenant.stack.client
    request = api_key_service_pb2.CreateApiKeyRequest(
        **{"environment_id": tenant.environment_id, "name": "app", **fields}
    )
    return client.call(client.api_keys.CreateApiKey, request)


def rotate(tenant: Tenant, id_: str, overlap: timedelta | None = None) -> Any:
    client = tenant.stack.client
    request = api_key_service_pb2.RotateApiKeyRequest(id=id_)
    if overlap is not None:
        request.overlap.FromTimedelta(overlap)
    return client.call(client.api_keys.RotateApiKey, request)


def keys(tenant: Tenant) -> dict[str, api_key_service_pb2.ApiKey]:
    client = tenant.stack.client
    request = api_key_service_pb2.ListApiKeysRequest(environment_id=tenant.environment_id)
    return {row.id: row for row in client.pages(client.api_keys.ListApiKeys, request, "api_keys")}


def change(tenant: Tenant, **settings: Any) -> environment_service_pb2.Environment:
    client = tenant.stack.client
    request = environment_service_pb2.UpdateEnvironmentRequest(
        environment=environment_service_pb2.Environment(id=tenant.environment_id, **settings)
    )
    request.update_mask.paths.extend(settings)
    return client.call(client.environments.UpdateEnvironment, request)


def sql(stack: Stack, statement: str, *values: object) -> list[Any]:
    with psycopg.connect(stack.services.database_url, autocommit=True) as connection:
        done = connection.execute(statement, values)
        return done.fetchall() if done.description else []


def content(**fields: Any) -> email_pb2.EmailContent:
    values = {"subject": "Hi", "text": "Hi", "to": [{"email": "ada@example.com"}], **fields}
    return email_pb2.EmailContent(**{"from": {"email": f"hello@{DOMAIN}"}, **values})


def invalid() -> email_pb2.EmailContent:
    return content(to=[{"email": "nobody"}])


# ----- what a key may call


def test_every_call_of_the_contract_needs_what_the_contract_says(tenant: Tenant, call: Caller):
    tokens = {name: create(tenant, scopes=[scope]).access_token for name, scope in SCOPES.items()}
    tokens["all"] = create(tenant, scopes=SCOPES.values()).access_token
    wrong = []
    for method in METHODS:
        needed = method.GetOptions().Extensions[access]
        for name, token in {**tokens, "nobody": ""}.items():
            told = reason(call(method, GetMessageClass(method.input_type)(), token))
            # Whoever may call is told something else: mostly that the empty request is wrong.
            refused = told if told in _REFUSALS else ""
            if refused != _expected(method.name, needed, name):
                wrong.append((method.full_name, name, told))
    assert not wrong
    assert len(METHODS) > 50


_REFUSALS = ("INSUFFICIENT_SCOPE", "SERVICE_TOKEN_REQUIRED", "NO_CREDENTIALS", "NO_SESSION")


def _expected(method: str, needed: int, name: str) -> str:
    if needed == ACCESS_ANYONE:
        # With a key it shows everything, so the key must be one that may read.
        return "INSUFFICIENT_SCOPE" if method == "GetEmail" and name in {"send", "manage"} else ""
    if name == "nobody":
        return "NO_SESSION" if needed in {ACCESS_PERSON, ACCESS_OPERATOR} else "NO_CREDENTIALS"
    if needed not in NEEDS:
        return "SERVICE_TOKEN_REQUIRED"
    return "" if name in {"all", NEEDS[needed]} else "INSUFFICIENT_SCOPE"


# ----- how keys begin and end


def test_a_key_is_shown_with_what_it_may_do(tenant: Tenant, call: Caller):
    expire = datetime(2100, 1, 2, 3, 4, tzinfo=UTC)
    made = create(
        tenant,
        name="robot",
        kind=api_key_service_pb2.API_KEY_KIND_TEST,
        scopes=[SCOPES["manage"], SCOPES["send"], SCOPES["send"]],
        expire_time=expire,
        rate_limit=RateLimit(per_second=7),
    ).api_key
    row = keys(tenant)[made.id]
    assert row == made
    assert (row.name, row.kind) == ("robot", api_key_service_pb2.API_KEY_KIND_TEST)
    assert list(row.scopes) == [SCOPES["send"], SCOPES["manage"]]
    assert row.expire_time.ToDatetime(UTC) == expire
    assert row.rate_limit == RateLimit(per_second=7, burst=7)
    usual = create(tenant).api_key
    assert list(usual.scopes) == [SCOPES["send"], SCOPES["read"]]
    assert usual.kind == api_key_service_pb2.API_KEY_KIND_LIVE
    assert not usual.HasField("rate_limit")
    assert not usual.HasField("expire_time")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("expire_time", {"expire_time": datetime(2020, 1, 1, tzinfo=UTC)}),
        ("rate_limit.per_second", {"rate_limit": RateLimit(burst=5)}),
        ("rate_limit.per_second", {"rate_limit": RateLimit(per_second=100_001)}),
        ("rate_limit.burst", {"rate_limit": RateLimit(per_second=1, burst=-1)}),
        ("scopes[1]", {"scopes": [1, 9]}),
        ("kind", {"kind": 9}),
        ("name", {"name": " "}),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(tenant: Tenant, field: str, values: dict[str, Any]):
    with pytest.raises(RpcFailed, match=f"^{re.escape(field)}: "):
        create(tenant, **values)


def test_an_expired_key_and_a_revoked_one_are_told_apart(tenant: Tenant, stack: Stack, call: Caller):
    made = create(tenant, expire_time=datetime.now(UTC) + timedelta(hours=1))
    request = SendEmailRequest(content=content())
    assert reason(call.email("SendEmail", request, made.access_token)) == ""
    sql(stack, "UPDATE api_key SET expire_time = now() WHERE id = %s", made.api_key.id)
    assert reason(call.email("SendEmail", request, made.access_token)) == "EXPIRED_ACCESS_TOKEN"
    with pytest.raises(RpcFailed, match="has expired"):
        rotate(tenant, made.api_key.id)
    client = stack.client
    revoke = api_key_service_pb2.RevokeApiKeyRequest(id=made.api_key.id)
    first = client.call(client.api_keys.RevokeApiKey, revoke)
    assert client.call(client.api_keys.RevokeApiKey, revoke) == first
    assert reason(call.email("SendEmail", request, made.access_token)) == "REVOKED_ACCESS_TOKEN"
    with pytest.raises(RpcFailed, match="was revoked"):
        rotate(tenant, made.api_key.id)


def test_rotation_gives_a_key_with_the_same_rights_and_ends_the_old_one_later(tenant: Tenant, call: Caller):
    expire = datetime(2100, 1, 1, tzinfo=UTC)
    old = create(
        tenant,
        name="app",
        kind=api_key_service_pb2.API_KEY_KIND_TEST,
        scopes=[SCOPES["send"]],
        expire_time=expire,
        rate_limit=RateLimit(per_second=50, burst=60),
    )
    new = rotate(tenant, old.api_key.id)
    assert new.access_token != old.access_token
    for field in ("name", "kind", "scopes", "expire_time", "rate_limit", "environment_id"):
        assert getattr(new.api_key, field) == getattr(old.api_key, field)
    end = keys(tenant)[old.api_key.id].expire_time.ToDatetime(UTC)
    assert abs(end - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=1)
    request = SendEmailRequest(content=content())
    for token in (old.access_token, new.access_token):
        assert reason(call.email("SendEmail", request, token)) == ""
    # A second rotation with a longer overlap does not give it more time.
    rotate(tenant, old.api_key.id, timedelta(days=30))
    assert keys(tenant)[old.api_key.id].expire_time.ToDatetime(UTC) == end
    rotate(tenant, old.api_key.id, timedelta(0))
    assert reason(call.email("SendEmail", request, old.access_token)) == "EXPIRED_ACCESS_TOKEN"
    assert reason(call.email("SendEmail", request, new.access_token)) == ""


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=30, seconds=1)])
def test_an_overlap_is_at_most_thirty_days(tenant: Tenant, overlap: timedelta):
    made = create(tenant)
    with pytest.raises(RpcFailed, match=r"^overlap: 0 to 30 days"):
        rotate(tenant, made.api_key.id, overlap)
    with pytest.raises(RpcFailed, match="there is no API key"):
        rotate(tenant, str(uuid.uuid4()))


def test_the_audit_log_has_every_change_of_keys(tenant: Tenant, stack: Stack):
    made = create(tenant, name="app", scopes=[SCOPES["manage"]])
    rotated = rotate(tenant, made.api_key.id, timedelta(hours=1))
    request = api_key_service_pb2.RevokeApiKeyRequest(id=rotated.api_key.id)
    stack.client.call(stack.client.api_keys.RevokeApiKey, request)
    query = """
        SELECT actor, action, subject, text FROM audit_entry
        WHERE account_id = %s AND action LIKE 'api_key.%%' ORDER BY create_time
    """
    entries = sql(stack, query, tenant.account_id)[1:]  # the tenant's own key comes first
    hints = [f"app ({row.hint}…)" for row in (made.api_key, made.api_key, rotated.api_key)]
    assert [entry[:3] for entry in entries] == [
        ("service", action, hint)
        for action, hint in zip(("api_key.create", "api_key.rotate", "api_key.revoke"), hints, strict=True)
    ]
    assert entries[0][3] == "live key for manage"
    assert f"replaced by {rotated.api_key.hint}" in entries[1][3]
    assert not any(made.access_token in str(entry) for entry in entries)


# ----- how often


def test_a_call_over_the_limit_is_refused_and_told_when_to_come_back(tenant: Tenant, call: Caller):
    token = create(tenant, rate_limit=RateLimit(per_second=1, burst=3)).access_token
    request = SendEmailRequest(content=content())
    begin = time.monotonic()
    left = []
    for _ in range(3):
        assert reason(call.email("SendEmail", request, token)) == ""
        assert call.trailing["ratelimit-policy"] == '"key";q=3;w=3'
        found = re.fullmatch(r'"key";r=(\d);t=[123]', call.trailing["ratelimit"])
        assert found
        left.append(int(found[1]))
    answer = call.email("SendEmail", request, token)
    if time.monotonic() - begin > 0.9:
        pytest.skip("this machine is too slow just now to exceed the limit")
    assert left == [2, 1, 0]
    assert reason(answer) == "RATE_LIMITED"
    assert answer.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    wait = detail(answer, error_details_pb2.RetryInfo()).retry_delay.ToTimedelta()
    assert timedelta(0) < wait <= timedelta(seconds=1)
    assert call.trailing["ratelimit"] == '"key";r=0;t=3'
    assert call.trailing["ratelimit-policy"] == '"key";q=3;w=3'
    time.sleep(wait.total_seconds())
    assert reason(call.email("SendEmail", request, token)) == ""


def test_the_json_api_says_the_same_in_headers(tenant: Tenant):
    tenant.access_token = create(tenant, rate_limit=RateLimit(per_second=1, burst=2)).access_token
    begin = time.monotonic()
    answers = [tenant.post() for _ in range(3)]
    if time.monotonic() - begin > 0.9:
        pytest.skip("this machine is too slow just now to exceed the limit")
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert [answer.headers["RateLimit"] for answer in answers] == [
        '"key";r=1;t=1',
        '"key";r=0;t=2',
        '"key";r=0;t=2',
    ]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"key";q=2;w=2'}
    assert answers[2].headers["Retry-After"] == "1"
    assert answers[2].json()["code"] == "rate_limited"
    assert answers[2].json()["request_id"] == answers[2].headers["X-Request-Id"]


def test_reading_costs_the_key_and_not_the_environment(tenant: Tenant, call: Caller):
    change(tenant, rate_limit=RateLimit(per_second=1, burst=100))
    token = create(tenant, rate_limit=RateLimit(per_second=1, burst=50)).access_token
    assert reason(call.email("GetEmail", GetEmailRequest(id=str(uuid.uuid4())), token)) == "EMAIL_NOT_FOUND"
    assert call.trailing["ratelimit"] == '"key";r=49;t=1'
    assert reason(call.email("SendEmail", SendEmailRequest(content=content()), token)) == ""
    assert '"environment";r=99;t=1' in call.trailing["ratelimit"]
    assert call.trailing["ratelimit-policy"] == '"key";q=50;w=50, "environment";q=100;w=100'
    # A key without a limit of its own takes from the environment's, too.
    assert reason(call.email("SendEmail", SendEmailRequest(content=content()), tenant.access_token)) == ""
    assert call.trailing["ratelimit"].startswith('"environment";r=98;')


def test_a_batch_costs_as_many_as_it_has_mails(tenant: Tenant, call: Caller):
    change(tenant, rate_limit=RateLimit(per_second=1, burst=10))
    five = SendEmailBatchRequest(emails=[content()] * 5)
    assert reason(call.email("SendEmailBatch", five, tenant.access_token)) == ""
    assert call.trailing["ratelimit"].startswith('"environment";r=5;')
    six = SendEmailBatchRequest(emails=[content()] * 6)
    assert reason(call.email("SendEmailBatch", six, tenant.access_token)) == "RATE_LIMITED"
    assert reason(call.email("SendEmailBatch", five, tenant.access_token)) == ""


def test_the_quota_counts_what_was_accepted_and_nothing_else(tenant: Tenant, stack: Stack, call: Caller):
    assert change(tenant, monthly_quota=5).monthly_quota == 5
    token = tenant.access_token
    test = create(tenant, kind=api_key_service_pb2.API_KEY_KIND_TEST).access_token

    def send(request_id: str = "", content: email_pb2.EmailContent | None = None) -> str:
        mail = content or _MAIL
        return reason(call.email("SendEmail", SendEmailRequest(content=mail, request_id=request_id), token))

    assert send("one") == ""
    assert call.trailing["ratelimit"].startswith('"month";r=4;t=')
    assert send("one") == ""  # a repetition is no mail
    assert call.trailing["idempotent-replayed"] == "true"
    assert send(content=invalid()) == "INVALID_FIELDS"
    mixed = SendEmailBatchRequest(emails=[content(), invalid(), content()])
    assert reason(call.email("SendEmailBatch", mixed, token)) == ""
    for _ in range(3):
        assert reason(call.email("SendEmail", SendEmailRequest(content=content()), test)) == ""
        assert reason(call.email("PlanEmail", PlanEmailRequest(content=content()), token)) == ""
    assert send() == ""
    assert call.trailing["ratelimit"].startswith('"month";r=1;t=')
    two = SendEmailBatchRequest(emails=[content()] * 2)
    assert reason(call.email("SendEmailBatch", two, token)) == "QUOTA_EXCEEDED"
    assert send() == ""
    assert send() == "QUOTA_EXCEEDED"
    assert send("two") == "QUOTA_EXCEEDED"
    assert send("one") == ""  # its first answer, whatever the quota
    assert change(tenant, monthly_quota=0).monthly_quota == 0
    assert send() == ""
    assert "ratelimit" not in call.trailing


_MAIL = content()


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("environment.monthly_quota", {"monthly_quota": -1}),
        ("environment.rate_limit.per_second", {"rate_limit": RateLimit(burst=1)}),
    ],
)
def test_limits_that_make_no_sense_are_refused(tenant: Tenant, field: str, settings: dict[str, Any]):
    with pytest.raises(RpcFailed, match=f"^{re.escape(field)}: "):
        change(tenant, **settings)


def test_an_environment_keeps_its_limits_and_loses_them(stack: Stack):
    limit = RateLimit(per_second=5, burst=9)
    tenant = stack.tenant(rate_limit=limit, monthly_quota=1000)
    row = change(tenant, name="Renamed")
    assert (row.rate_limit, row.monthly_quota) == (limit, 1000)
    row = change(tenant, rate_limit=None)
    assert not row.HasField("rate_limit")
    assert row.monthly_quota == 1000


# ----- strangers, and ids of requests


def test_a_flood_of_unknown_tokens_is_held_up_and_known_ones_are_not(tenant: Tenant, call: Caller):
    address = f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1"
    request = GetEmailRequest(id=str(uuid.uuid4()))
    found = [reason(call.email("GetEmail", request, "flute_x", x_client_address=address)) for _ in range(30)]
    assert found[:20] == ["BAD_ACCESS_TOKEN"] * 20
    assert "RATE_LIMITED" in found[20:]
    known = call.email("GetEmail", request, tenant.access_token, x_client_address=address)
    assert reason(known) == "EMAIL_NOT_FOUND"
    other = address.replace("::1", ":9::1").replace("2001", "2002")
    assert reason(call.email("GetEmail", request, "flute_x", x_client_address=other)) == "BAD_ACCESS_TOKEN"


def test_who_is_not_our_web_cannot_call_from_another_address_each_time(stack: Stack):
    request = GetEmailRequest(id=str(uuid.uuid4()))

    def reasons(address: str) -> list[str]:
        with open_channel(address) as channel:
            call = Caller(channel)
            return [
                reason(call.email("GetEmail", request, "flute_x", x_client_address=f"203.0.113.{number}"))
                for number in range(30)
            ]

    # Limits of its own: other tests call from here, too.
    config = replace(stack.config, redis_url=other_redis(stack.config.redis_url, 9))
    strict = replace(config, trusted_peers=(ip_network("203.0.113.0/24"),))
    with serving(config, email_service_pb2, lambda _, server: add(EmailServicer(config), server)) as web:
        assert set(reasons(web)) == {"BAD_ACCESS_TOKEN"}
    with serving(strict, email_service_pb2, lambda _, server: add(EmailServicer(strict), server)) as other:
        assert "RATE_LIMITED" in reasons(other)[20:]


def test_every_answer_names_the_request(tenant: Tenant, stack: Stack, call: Caller):
    request = SendEmailRequest(content=content())
    assert reason(call.email("SendEmail", request, tenant.access_token, x_request_id="mine-1")) == ""
    assert call.trailing["x-request-id"] == "mine-1"
    wrong = SendEmailRequest(content=invalid())
    assert reason(call.email("SendEmail", wrong, tenant.access_token, x_request_id="mine-2"))
    assert call.trailing["x-request-id"] == "mine-2"
    assert reason(call.email("SendEmail", wrong, tenant.access_token, x_request_id="no good"))
    assert re.fullmatch(r"[0-9a-f]{32}", call.trailing["x-request-id"])
