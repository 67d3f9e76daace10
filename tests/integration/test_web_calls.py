"""Every call of the JSON API, as the contract has it, against a scripted gRPC server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from flute.v1.annotations_pb2 import ACCESS_ANYONE, no_json_input
from flute.v1.email_pb2 import Email
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2

from tests.integration.web_script import EMAIL_ID, KEY, Script, web_before
from web.api.operations import Operation, operations

AUTH = {"Authorization": f"Bearer {KEY}"}
OPERATIONS = {operation.name: operation for operation in operations()}
# Those that are no more than the contract says.
PLAIN = [op for op in operations() if op.name not in {"SendEmail", "SendEmailBatch"}]
every_call = pytest.mark.parametrize("op", PLAIN, ids=lambda op: op.name)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Script, FlaskClient]]:
    script = Script()
    with web_before(script, max_body_bytes=200_000) as web:
        yield script, web


@pytest.fixture
def script(running: tuple[Script, FlaskClient]) -> Script:
    running[0].reset()
    return running[0]


@pytest.fixture
def web(running: tuple[Script, FlaskClient], script: Script) -> FlaskClient:
    return running[1]


# ----- messages that have everything, and how JSON has it: said here once more, without web's own code


def filled(descriptor: Descriptor, wanted: Callable[[FieldDescriptor], bool] = lambda _: True) -> Any:
    message: Any = GetMessageClass(descriptor)()
    for field in filter(wanted, descriptor.fields):
        value = getattr(message, field.name)
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            text = kind.fields_by_name["value"].type == FieldDescriptor.TYPE_STRING
            value.update({"a": "b"} if text else {"a": 5})
        elif field.is_repeated:
            value.append(filled(kind, wanted) if kind else scalar(field))
        elif kind is None:
            setattr(message, field.name, scalar(field))
        elif kind.full_name == "google.protobuf.Timestamp":
            value.FromJsonString("2026-11-22T10:00:00.250Z")
        elif kind.full_name == "google.protobuf.Duration":
            value.FromMilliseconds(1500)
        else:
            value.CopyFrom(filled(kind, wanted))
    return message


def scalar(field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[1].number
    return {
        FieldDescriptor.TYPE_BOOL: True,
        FieldDescriptor.TYPE_INT32: 7,
        FieldDescriptor.TYPE_INT64: 1 << 40,
        FieldDescriptor.TYPE_BYTES: b"\0",
    }.get(field.type, f"some {field.name}")


def in_json(message: Message) -> dict[str, Any]:
    plain = MessageToDict(message, preserving_proto_field_name=True)
    return dict(told(field, plain[field.name], value) for field, value in message.ListFields())


def told(field: FieldDescriptor, plain: Any, value: Any) -> tuple[str, Any]:
    kind = field.message_type
    name = "status" if field.name == "state" else field.name
    if field.enum_type is not None:
        prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
        words = [word.removeprefix(prefix).lower() for word in ([plain] if isinstance(plain, str) else plain)]
        return name, words if field.is_repeated else words[0]
    if kind is not None and kind.full_name == "google.protobuf.Duration":
        return ("duration_ms", 1500) if name == "duration" else (f"{name}_s", 1.5)
    if kind is not None and kind.GetOptions().map_entry:
        return name, dict(value)
    if field.type == FieldDescriptor.TYPE_INT64:
        return name, int(plain)
    if kind is None or kind.full_name == "google.protobuf.Timestamp":
        return name, plain
    return name, [in_json(item) for item in value] if field.is_repeated else in_json(value)


def is_given(field: FieldDescriptor) -> bool:
    return not field.GetOptions().Extensions[no_json_input]


def path_of(op: Operation) -> str:
    return op.path.format(**{place: step(op, place) for place in op.places})


def step(op: Operation, place: str) -> Any:
    """What stands in the path."""
    return 3 if op.request.fields_by_name[place].type == FieldDescriptor.TYPE_INT32 else EMAIL_ID


def a_request(op: Operation) -> tuple[Any, dict[str, Any]]:
    """What the server is to get, and what a JSON caller sends for it."""
    message = filled(op.request, lambda field: is_given(field) and field.name not in op.places)
    given = in_json(getattr(message, op.body_field) if op.body_field else message)
    for place in op.places:
        setattr(message, place, step(op, place))
    return message, given


def ask(web: FlaskClient, op: Operation, given: dict[str, Any], **more: Any) -> Any:
    headers = AUTH | more.pop("headers", {})
    if op.body is not None:
        return web.open(path_of(op), method=op.method, json=given, headers=headers, **more)
    flat = {
        f"{name}[{key}]" if key else name: str(item).lower() if isinstance(item, bool) else item
        for name, value in given.items()
        for key, item in (value.items() if isinstance(value, dict) else [("", value)])
    }
    query = urlencode(flat, doseq=True)
    return web.open(f"{path_of(op)}?{query}", method=op.method, headers=headers, **more)


# ----- what every call has in common


@every_call
def test_the_server_gets_all_that_a_caller_can_say(web: FlaskClient, script: Script, op: Operation) -> None:
    message, given = a_request(op)
    answer: Any = ask(
        web, op, given, headers={"Idempotency-Key": "k-1"} if "request_id" in fields(op) else {}
    )
    assert answer.status_code == op.status, answer.text
    (seen,) = script.requests
    if "request_id" in fields(op):
        message.request_id = "k-1"
    if "update_mask" in fields(op):
        assert set(seen.update_mask.paths) == set(op.fields)
        seen.ClearField("update_mask")
    assert seen == message
    assert script.calls == [op.name]
    assert script.metadata[0]["authorization"] == f"Bearer {KEY}"
    assert script.metadata[0]["x-client-address"] == "127.0.0.1"


def fields(op: Operation) -> set[str]:
    return {field.name for field in op.request.fields}


@every_call
def test_a_caller_gets_all_that_the_server_says(web: FlaskClient, script: Script, op: Operation) -> None:
    full = filled(op.response)
    script.answer = lambda request, context: full
    answer: Any = ask(web, op, {})
    assert answer.status_code == op.status, answer.text
    if op.status == 204:
        assert answer.data == b""
        assert "Content-Type" not in answer.headers
    elif op.response is not Email.DESCRIPTOR:
        assert answer.json == in_json(full)


@every_call
def test_a_caller_sees_what_the_server_does_not_say(web: FlaskClient, script: Script, op: Operation) -> None:
    """Every field is there, so that a caller's code can rely on it."""
    empty = GetMessageClass(op.response)()
    script.answer = lambda request, context: empty
    answer: Any = ask(web, op, {})
    if op.status != 204 and op.response is not Email.DESCRIPTOR:
        assert set(answer.json) == set(in_json(filled(op.response)))
        assert all(value in (None, "", [], {}, 0, False) for value in answer.json.values())


@every_call
def test_the_key_is_needed_where_the_contract_says_so(
    web: FlaskClient, script: Script, op: Operation
) -> None:
    answer: Any = web.open(path_of(op), method=op.method, json={} if op.body is not None else None)
    if op.access == ACCESS_ANYONE:
        assert answer.status_code == op.status
        assert "authorization" not in script.metadata[0]
    else:
        assert (answer.status_code, answer.json["code"]) == (401, "missing_api_key")
        assert not script.requests


@every_call
def test_the_key_may_be_in_the_body(web: FlaskClient, script: Script, op: Operation) -> None:
    if op.body is None:
        return
    answer: Any = web.open(path_of(op), method=op.method, json={"access_token": KEY})
    assert answer.status_code == op.status
    assert script.metadata[0]["authorization"] == f"Bearer {KEY}"


@every_call
def test_nothing_that_is_not_known_gets_through(web: FlaskClient, script: Script, op: Operation) -> None:
    for name in ["nothing", "environment_id", "account_id", "request_id", "update_mask"]:
        if name in op.places:
            continue
        query: Any = web.open(f"{path_of(op)}?{name}=1", method=op.method, headers=AUTH)
        assert (query.status_code, query.json["code"]) == (400, "malformed_query")
        assert [error["parameter"] for error in query.json["errors"]] == [name]
        if op.body is not None:
            body: Any = ask(web, op, {name: "1"})
            assert (body.status_code, body.json["code"]) == (400, "malformed_body")
            assert body.json["errors"][0]["pointer"] == f"/{name}"
    assert not script.requests


@every_call
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"access_token": NaN}', (400, "malformed_body")),
        (b'{"access_token": "a", "access_token": "b"}', (400, "malformed_body")),
        (b'{"access_token": "\\ud800"}', (400, "malformed_body")),
        (b'{"access_token": "\\u0000"}', (400, "malformed_body")),
        (b'{"access_token": "\xff"}', (400, "malformed_json")),
        (b'{"a":' + b"[" * 50_000, (400, "malformed_json")),
        (b"[]", (400, "not_an_object")),
        (b" " * 200_001, (413, "request_entity_too_large")),
    ],
)
def test_a_hostile_body_is_refused(
    web: FlaskClient, script: Script, op: Operation, data: bytes, expected: tuple[int, str]
) -> None:
    if op.body is None:
        return
    answer: Any = web.open(
        path_of(op), method=op.method, data=data, headers=AUTH, content_type="application/json"
    )
    assert (answer.status_code, answer.json["code"]) == expected
    wrong: Any = web.open(path_of(op), method=op.method, data=b"{}", headers=AUTH, content_type="text/plain")
    assert wrong.status_code == 415
    assert not script.requests


@every_call
def test_an_impossible_id_is_like_one_that_is_not_known(
    web: FlaskClient, script: Script, op: Operation
) -> None:
    if not op.places:
        return
    expected = "email_not_found" if "email_not_found" in op.problems else "not_found"
    for id_ in ["x", "%00", "%ff", EMAIL_ID + "0"]:
        path = op.path.format(**dict.fromkeys(op.places, id_))
        answer: Any = web.open(path, method=op.method, headers=AUTH, json={} if op.body is not None else None)
        assert (answer.status_code, answer.json["code"]) == (404, expected)
    assert not script.requests
    script.fail(code_pb2.NOT_FOUND, "there is none", error_details_pb2.ErrorInfo(reason="NOT_FOUND"))
    inside = "not_found" if "not_found" in op.problems else expected
    assert ask(web, op, {}).json["code"] == inside


@every_call
def test_what_is_told_besides_the_answer_is_in_its_header(
    web: FlaskClient, script: Script, op: Operation
) -> None:
    script.trailing = (("ratelimit", '"key";r=9;t=1'), ("ratelimit-policy", '"key";q=10;w=1'), ("other", "x"))
    good = ask(web, op, {})
    script.fail(code_pb2.PERMISSION_DENIED, "no", error_details_pb2.ErrorInfo(reason="INSUFFICIENT_SCOPE"))
    bad = ask(web, op, {})
    assert (bad.status_code, bad.json["code"]) == (403, "insufficient_scope")
    for answer in (good, bad):
        assert answer.headers["RateLimit"] == '"key";r=9;t=1'
        assert answer.headers["RateLimit-Policy"] == '"key";q=10;w=1'
        assert "other" not in answer.headers


@every_call
def test_methods(web: FlaskClient, script: Script, op: Operation) -> None:
    allowed = set(web.options(path_of(op)).headers["Allow"].split(", "))
    assert op.method in allowed
    assert (op.method != "GET") or "HEAD" in allowed
    answer: Any = web.open(path_of(op), method="PUT")
    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed
    if op.method == "GET":
        head = web.head(path_of(op), headers=AUTH)
        assert (head.status_code, head.data) == (200, b"")


@every_call
def test_an_idempotency_key_is_never_passed_over_where_it_matters(
    web: FlaskClient, script: Script, op: Operation
) -> None:
    answer: Any = ask(web, op, {}, headers={"Idempotency-Key": "k"})
    if op.method == "POST" and "request_id" not in fields(op):
        assert (answer.status_code, answer.json["code"]) == (400, "idempotency_key_unsupported")
        assert answer.json["errors"][0]["parameter"] == "Idempotency-Key"
    else:
        assert answer.status_code == op.status


# ----- single calls


def test_a_change_names_the_fields_that_are_given(web: FlaskClient, script: Script) -> None:
    op = OPERATIONS["UpdateWebhookEndpoint"]
    assert ask(web, op, {"paused": False, "description": None}).status_code == 200
    (seen,) = script.requests
    assert sorted(seen.update_mask.paths) == ["description", "paused"]
    assert seen.webhook_endpoint.description == ""
    assert seen.id == EMAIL_ID


def test_an_empty_body_is_enough_where_nothing_is_required(web: FlaskClient, script: Script) -> None:
    for name in ("CancelEmail", "ResendEmail", "RotateWebhookSecret", "TestWebhookEndpoint"):
        op = OPERATIONS[name]
        assert web.post(path_of(op), headers=AUTH).status_code == op.status
    assert web.post("/v1/suppressions", headers=AUTH).json["code"] == "unsupported_media_type"  # type: ignore[index]


def test_a_time_that_ends_at_once_is_not_the_default(web: FlaskClient, script: Script) -> None:
    op = OPERATIONS["RotateWebhookSecret"]
    ask(web, op, {"overlap_s": 0})
    ask(web, op, {"overlap_s": 0.5})
    ask(web, op, {})
    zero, half, absent = script.requests
    assert (zero.HasField("overlap"), half.overlap.ToMilliseconds(), absent.HasField("overlap")) == (
        True,
        500,
        False,
    )


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("status=Sent", ("status", "unknown_value")),
        ("state=sent", ("state", "unknown_parameter")),
        ("page_size=1&page_size=2", ("page_size", "repeated_parameter")),
        ("page_size=", ("page_size", "wrong_type")),
        ("page_size=1.5", ("page_size", "wrong_type")),
        ("page_size=99999999999", ("page_size", "out_of_range")),
        ("page_size=٣", ("page_size", "wrong_type")),
        ("start_time=yesterday", ("start_time", "invalid_time")),
        ("start_time=2026-11-22T10:00:00+01:00", ("start_time", "invalid_time")),
        ("metadata=a", ("metadata", "unknown_parameter")),
        ("metadata[a]=1&metadata[a]=2", ("metadata[a]", "repeated_parameter")),
        ("tag[a]=1", ("tag[a]", "unknown_parameter")),
        ("tag=%zz", None),
        ("tag=%ff", None),
        ("tag=%00", None),
        ("tag=%ED%A0%80", None),
    ],
)
def test_a_wrong_filter_is_named(
    web: FlaskClient, script: Script, query: str, wrong: tuple[str, str] | None
) -> None:
    answer: Any = web.get(f"/v1/email?{query}", headers=AUTH)
    assert (answer.status_code, answer.json["code"]) == (400, "malformed_query")
    found = [(error["parameter"], error["code"]) for error in answer.json.get("errors", [])]
    assert found == ([wrong] if wrong else [])
    assert not script.requests


def test_filters_are_understood(web: FlaskClient, script: Script) -> None:
    query = "metadata[a%5Bb]=%E2%82%AC&metadata[]=&subject=two+words&page_token="
    query += "&start_time=2026-11-22t10:00:00%2B01:00"
    assert web.get(f"/v1/email?{query}&", headers=AUTH).status_code == 200
    (seen,) = script.requests
    assert dict(seen.metadata) == {"a[b": "€", "": ""}
    assert seen.subject == "two words"
    assert seen.start_time.ToJsonString() == "2026-11-22T09:00:00Z"
    web.get("/v1/events?types=sent,bounced&types=delivered&latest=true", headers=AUTH)
    assert list(script.requests[1].types) == ["sent", "bounced", "delivered"]
    assert script.requests[1].latest


@pytest.mark.parametrize(
    ("op", "path", "place"),
    [
        ("CreateWebhookEndpoint", "webhook_endpoint.event_types[1]", {"pointer": "/event_types/1"}),
        ("CreateWebhookEndpoint", "url", {"pointer": "/url"}),
        ("RotateWebhookSecret", "overlap", {"pointer": "/overlap_s"}),
        ("RescheduleEmail", "id", {"parameter": "id"}),
        ("ResendEmail", "request_id", {"parameter": "Idempotency-Key"}),
        ("ListEmails", "state", {"parameter": "status"}),
        ("ListEmails", "metadata.a", {"parameter": "metadata[a]"}),
        ("ListEmails", "", {"pointer": ""}),
        ("ListWebhookDeliveries", "page_size", {"parameter": "page_size"}),
    ],
)
def test_a_wrong_field_is_told_where_the_caller_gave_it(
    web: FlaskClient, script: Script, op: str, path: str, place: dict[str, str]
) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field=path, description="no good")
    info = error_details_pb2.ErrorInfo(reason="INVALID_FIELDS")
    script.fail(
        code_pb2.INVALID_ARGUMENT, "no", info, error_details_pb2.BadRequest(field_violations=[violation])
    )
    answer: Any = ask(web, OPERATIONS[op], {})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_fields")
    assert answer.json["errors"] == [{**place, "code": "invalid", "detail": "no good"}]


def test_a_resent_mail_is_told_like_an_accepted_one(web: FlaskClient, script: Script) -> None:
    full = filled(Email.DESCRIPTOR)
    script.answer = lambda request, context: full
    answer: Any = ask(web, OPERATIONS["ResendEmail"], {"recipients": "all"})
    assert answer.headers["Location"] == "/v1/email/some%20id"
    assert answer.json == {
        "id": "some id",
        "status": "queued",
        "create_time": "2026-11-22T10:00:00.250Z",
        "recipients": [{"email": "some email", "status": "queued"}],
        "test": True,
        "resent_from": "some resent_from",
        "send_at": "2026-11-22T10:00:00.250Z",
    }


def test_a_mail_is_told_completely(web: FlaskClient, script: Script) -> None:
    full = filled(Email.DESCRIPTOR)
    script.answer = lambda request, context: full
    answer: Any = ask(web, OPERATIONS["GetEmail"], {})
    expected = in_json(full)
    content = expected.pop("content")
    del content["attachments"]
    expected["timeline"] = expected.pop("events")
    assert json.loads(answer.data) == expected | content
