"""web with Flask's client in front and a scripted gRPC server behind, on a real port."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from flask.testing import FlaskClient
from flute.v1.email_pb2 import Email
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2

from tests.integration.web_script import BODY, EMAIL_ID, KEY, Script, accepted, serve
from tests.stack import free_port
from web import create_app
from web.config import WebConfig


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def address(script: Script) -> Iterator[str]:
    server, address = serve(script)
    yield address
    server.stop(0).wait()


@pytest.fixture
def web(address: str) -> Iterator[FlaskClient]:
    app = create_app(WebConfig(grpc_address=address, max_body_bytes=200_000))
    yield app.test_client()
    app.extensions["flute"].close()


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(answer.data)
    assert (answer.status_code, body["code"]) == (status, code)
    assert answer.mimetype == "application/problem+json"
    assert body["status"] == status
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert body["type"] == f"urn:flute:problem:{code}"
    assert KEY not in answer.text
    return body


# ----- POST


def test_a_mail_is_handed_over_and_told_accepted(web: FlaskClient, script: Script) -> None:
    answer = web.post("/v1/email", json=BODY, headers={"X-Request-Id": "req-1"})
    assert answer.status_code == 202
    assert answer.json == {
        "id": EMAIL_ID,
        "status": "queued",
        "create_time": "2026-11-22T10:00:00Z",
        "recipients": [{"email": "ada@example.com", "status": "queued"}],
    }
    assert answer.headers["Location"] == f"/v1/email/{EMAIL_ID}"
    assert answer.headers["X-Request-Id"] == "req-1"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert script.requests[0].content.to[0].email == "ada@example.com"
    assert script.metadata[0]["authorization"] == f"Bearer {KEY}"
    assert script.metadata[0]["x-request-id"] == "req-1"


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer   {KEY}"])
def test_the_key_may_be_in_the_header(web: FlaskClient, script: Script, header: str) -> None:
    body = {name: value for name, value in BODY.items() if name != "access_token"}
    assert web.post("/v1/email", json=body, headers={"Authorization": header}).status_code == 202
    assert script.metadata[0]["authorization"] == f"Bearer {KEY}"


def test_the_same_key_twice_is_one_key(web: FlaskClient) -> None:
    assert web.post("/v1/email", json=BODY, headers={"Authorization": f"Bearer {KEY}"}).status_code == 202


def test_two_different_keys_are_refused(web: FlaskClient, script: Script) -> None:
    answer = web.post("/v1/email", json=BODY, headers={"Authorization": "Bearer flute_other"})
    assert problem(answer, 400, "conflicting_credentials")["errors"][0]["pointer"] == "/access_token"
    assert not script.requests


@pytest.mark.parametrize(
    ("token", "header", "code"),
    [
        (None, None, "missing_api_key"),
        ("", None, "missing_api_key"),
        ("with space", None, "invalid_api_key"),
        ("ключ", None, "invalid_api_key"),
        ("x" * 1000, None, "invalid_api_key"),
        (None, "Basic YTpi", "unsupported_scheme"),
        (None, "Bearer", "invalid_api_key"),
    ],
)
def test_without_a_possible_key_nobody_is_asked(
    web: FlaskClient, script: Script, token: str | None, header: str | None, code: str
) -> None:
    headers = {"Authorization": header} if header else {}
    answer = web.post("/v1/email", json=BODY | {"access_token": token}, headers=headers)
    problem(answer, 401, code)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert not script.requests


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"{", "application/json", (400, "malformed_json")),
        (b"", "application/json", (400, "malformed_json")),
        (b"[]", "application/json", (400, "not_an_object")),
        (b'{"sbject": 1}', "application/json", (400, "malformed_body")),
        (b"{}", "text/plain", (415, "unsupported_media_type")),
        (b"{}", "", (415, "unsupported_media_type")),
        (b"{}", "application/json; charset=latin-1", (415, "unsupported_media_type")),
        (b"{}", 'application/JSON; charset="UTF-8"', (401, "missing_api_key")),
        (b" " * 200_001, "application/json", (413, "request_entity_too_large")),
    ],
)
def test_what_is_no_mail_is_refused_here(
    web: FlaskClient, script: Script, body: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    problem(web.post("/v1/email", data=body, content_type=content_type), *expected)
    assert not script.requests


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, "é"])
def test_a_request_id_that_is_not_sane_is_replaced(web: FlaskClient, script: Script, request_id: str) -> None:
    answer = web.post("/v1/email", json=BODY, headers={"X-Request-Id": request_id})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])
    assert script.metadata[0]["x-request-id"] == answer.headers["X-Request-Id"]


def test_the_servers_violations_become_pointers(web: FlaskClient, script: Script) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field="content.to[0].email", description="not an address"
    )
    violation.reason = "INVALID_ADDRESS"  # type: ignore[attr-defined]  # younger than the annotations
    script.fail(
        code_pb2.INVALID_ARGUMENT,
        "The mail is not valid.",
        error_details_pb2.ErrorInfo(reason="INVALID_MAIL", domain="flute"),
        error_details_pb2.BadRequest(field_violations=[violation]),
    )
    found = problem(web.post("/v1/email", json=BODY), 422, "invalid_mail")
    assert found["detail"] == "The mail is not valid."
    assert found["errors"] == [
        {"pointer": "/to/0/email", "code": "invalid_address", "detail": "not an address"}
    ]


def test_the_detail_names_the_first_wrong_field_as_the_caller_does(web: FlaskClient, script: Script) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="request_id", description="too long")
    script.fail(
        code_pb2.INVALID_ARGUMENT,
        "request_id: too long",
        error_details_pb2.ErrorInfo(reason="INVALID_FIELDS", domain="flute"),
        error_details_pb2.BadRequest(field_violations=[violation]),
    )
    found = problem(web.post("/v1/email", json=BODY), 422, "invalid_fields")
    assert found["detail"] == "Idempotency-Key: too long"


def test_a_limit_says_when_to_come_back(web: FlaskClient, script: Script) -> None:
    retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=7))
    script.fail(
        code_pb2.RESOURCE_EXHAUSTED, "slow", error_details_pb2.ErrorInfo(reason="RATE_LIMITED"), retry
    )
    answer = web.post("/v1/email", json=BODY)
    problem(answer, 429, "rate_limited")
    assert answer.headers["Retry-After"] == "7"


def test_a_refused_key_is_401_and_not_echoed(web: FlaskClient, script: Script) -> None:
    script.fail(
        code_pb2.UNAUTHENTICATED, f"no key {KEY}", error_details_pb2.ErrorInfo(reason="INVALID_API_KEY")
    )
    answer = web.post("/v1/email", json=BODY)
    problem(answer, 401, "invalid_api_key")
    assert answer.headers["WWW-Authenticate"]


def crash(_: object, __: object) -> Email:
    raise RuntimeError("psycopg.OperationalError: password=hunter2")


def sleep(_: object, context: grpc.ServicerContext) -> Email:
    threading.Event().wait(1.5)
    return accepted()


@pytest.mark.parametrize(("answer", "code"), [(crash, "unavailable"), (sleep, "timeout")])
def test_never_a_500(address: str, script: Script, answer: Any, code: str) -> None:
    script.answer = answer
    app = create_app(WebConfig(grpc_address=address, rpc_timeout_s=1.0))
    reply = app.test_client().post("/v1/email", json=BODY)
    app.extensions["flute"].close()
    assert "hunter2" not in json.dumps(problem(reply, 503, code))
    assert reply.headers["Retry-After"]


def test_a_bug_here_is_a_503_too(
    web: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(web.application.extensions, "flute", None)
    answer = web.post("/v1/email", json=BODY)
    assert problem(answer, 503, "unavailable")["request_id"] in caplog.text


# ----- GET


def test_a_mail_is_shown_without_a_key(web: FlaskClient, script: Script) -> None:
    answer = web.get(f"/v1/email/{EMAIL_ID.upper()}")
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["status"] == "queued"
    assert script.requests[0].id == EMAIL_ID
    assert "authorization" not in script.metadata[0]


def test_a_mail_is_shown_with_a_key(web: FlaskClient, script: Script) -> None:
    assert web.get(f"/v1/email/{EMAIL_ID}", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert script.metadata[0]["authorization"] == f"Bearer {KEY}"


def test_a_key_in_the_address_is_refused(web: FlaskClient, script: Script) -> None:
    found = problem(web.get(f"/v1/email/{EMAIL_ID}?access_token={KEY}"), 400, "key_in_address")
    assert "Authorization" in found["detail"]
    assert not script.requests


def test_unknown_and_impossible_ids_look_the_same(web: FlaskClient, script: Script) -> None:
    script.fail(code_pb2.NOT_FOUND, "no row in table email", error_details_pb2.ErrorInfo(reason="EMAIL_GONE"))
    ids = [str(uuid.uuid4()), "nope", "1", EMAIL_ID + "0", "%00", "{" + EMAIL_ID + "}"]
    bodies = []
    for email_id in ids:
        found = problem(web.get(f"/v1/email/{email_id}"), 404, "email_not_found")
        del found["request_id"]
        bodies.append(found)
    assert all(body == bodies[0] for body in bodies)


def test_other_addresses_and_methods(web: FlaskClient) -> None:
    problem(web.get("/nothing"), 404, "not_found")
    problem(web.get("//v1/email/x"), 404, "not_found")
    problem(web.post("/v1/email/", json=BODY), 404, "not_found")
    answer = web.put("/v1/email")
    problem(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


# ----- the server comes and goes


def test_health_follows_the_server(script: Script) -> None:
    server, address = serve(script)
    app = create_app(WebConfig(grpc_address=address))
    web = app.test_client()
    assert web.get("/healthz").json == {"status": "ok"}
    server.stop(0).wait()
    assert web.get("/healthz").status_code == 503
    app.extensions["flute"].close()


def test_without_a_server_it_fails_fast_and_recovers_quickly(script: Script) -> None:
    port = free_port()
    app = create_app(WebConfig(grpc_address=f"127.0.0.1:{port}"))
    web = app.test_client()
    begin = time.monotonic()
    answer = web.post("/v1/email", json=BODY)
    assert time.monotonic() - begin < 5
    assert "127.0.0.1" not in problem(answer, 503, "unavailable")["detail"]
    assert answer.headers["Retry-After"]
    for _ in range(2):
        server, _address = serve(script, port)
        begin = time.monotonic()
        while web.post("/v1/email", json=BODY).status_code != 202:
            assert time.monotonic() - begin < 20
            time.sleep(0.02)
        server.stop(0).wait()
        assert web.post("/v1/email", json=BODY).status_code == 503
    app.extensions["flute"].close()


def test_a_server_that_says_nothing_is_given_up_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = create_app(WebConfig(grpc_address=f"127.0.0.1:{silent.getsockname()[1]}"))
        begin = time.monotonic()
        problem(app.test_client().post("/v1/email", json=BODY), 503, "unavailable")
        assert time.monotonic() - begin < 8
        app.extensions["flute"].close()
