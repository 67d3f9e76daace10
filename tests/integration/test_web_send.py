"""Sending in the JSON API: idempotency, dry runs and batches, against a scripted gRPC server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from flute.v1 import email_pb2
from flute.v1.email_service_pb2 import (
    PlanEmailRequest,
    PlanEmailResponse,
    PlannedGroup,
    PlannedRoute,
    SendEmailBatchResponse,
    SendEmailResult,
)
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2

from tests.integration.web_script import BODY, EMAIL_ID, KEY, Script, web_before

MAIL = {name: value for name, value in BODY.items() if name != "access_token"}


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def web(script: Script) -> Iterator[FlaskClient]:
    with web_before(script) as client:
        yield client


# ----- one mail


def test_an_idempotency_key_is_handed_on_and_a_repetition_is_marked(web: FlaskClient, script: Script) -> None:
    script.trailing = (("idempotent-replayed", "true"),)
    answer = web.post("/v1/email", json=BODY, headers={"Idempotency-Key": "order 4711"})
    assert answer.status_code == 202
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert script.requests[0].request_id == "order 4711"


def test_without_an_idempotency_key_there_is_none(web: FlaskClient, script: Script) -> None:
    answer = web.post("/v1/email", json=BODY)
    assert script.requests[0].request_id == ""
    assert "Idempotent-Replayed" not in answer.headers


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/email", BODY),
        ("/v1/email/batch", {"access_token": KEY, "emails": [MAIL]}),
        (f"/v1/email/{EMAIL_ID}/resend", {"access_token": KEY}),
    ],
)
def test_an_empty_idempotency_key_is_no_key(
    web: FlaskClient, script: Script, path: str, body: dict[str, Any]
) -> None:
    answer: Any = web.post(path, json=body, headers={"Idempotency-Key": ""})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_fields")
    assert answer.json["errors"][0]["parameter"] == "Idempotency-Key"
    assert not script.requests


def test_a_first_call_that_is_not_over_says_when_to_come_back(web: FlaskClient, script: Script) -> None:
    retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000))
    info = error_details_pb2.ErrorInfo(reason="REQUEST_IN_FLIGHT")
    script.fail(code_pb2.ABORTED, "the first call with this key is not over", info, retry)
    answer: Any = web.post("/v1/email", json=BODY, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json["code"]) == (409, "request_in_flight")
    assert answer.headers["Retry-After"] == "2"


def test_a_time_of_sending(web: FlaskClient, script: Script) -> None:
    assert web.post("/v1/email", json=BODY | {"send_at": "2026-12-24T18:00:00+01:00"}).status_code == 202
    assert script.requests[0].content.send_at.ToJsonString() == "2026-12-24T17:00:00Z"
    answer: Any = web.post("/v1/email", json=BODY | {"send_at": "tomorrow"})
    assert answer.json["errors"][0]["pointer"] == "/send_at"


def test_a_dry_run_tells_the_way_and_accepts_nothing(web: FlaskClient, script: Script) -> None:
    route = PlannedRoute(
        provider_account="Main", provider="postmark", chosen=True, usable=True, reason="first"
    )
    plan = PlanEmailResponse(
        sendable=True,
        summary="through Main",
        groups=[PlannedGroup(recipients=["ada@example.com"], routes=[route])],
    )
    script.answer = lambda request, context: plan
    answer = web.post("/v1/email", json=BODY | {"dry_run": True})
    assert answer.status_code == 200
    assert script.calls == ["PlanEmail"]
    assert script.requests[0].content.subject == "Hello"
    assert answer.json == {
        "sendable": True,
        "summary": "through Main",
        "groups": [
            {
                "recipients": ["ada@example.com"],
                "routes": [
                    {
                        "provider_account": "Main",
                        "provider": "postmark",
                        "chosen": True,
                        "usable": True,
                        "reason": "first",
                        "losses": [],
                    }
                ],
            }
        ],
        "suppressed": [],
        "warnings": [],
    }


def test_a_dry_run_leaves_the_idempotency_key_free(web: FlaskClient, script: Script) -> None:
    script.answer = lambda request, context: PlanEmailResponse()
    answer: Any = web.post("/v1/email", json=BODY | {"dry_run": True}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 200
    [asked] = script.requests
    assert isinstance(asked, PlanEmailRequest)


@pytest.mark.parametrize(
    ("dry_run", "call"), [(False, "SendEmail"), (None, "SendEmail"), (True, "PlanEmail")]
)
def test_only_true_is_a_dry_run(web: FlaskClient, script: Script, dry_run: bool | None, call: str) -> None:
    script.answer = lambda request, context: (
        PlanEmailResponse() if call == "PlanEmail" else email_pb2.Email(id=EMAIL_ID)
    )
    assert web.post("/v1/email", json=BODY | {"dry_run": dry_run}).status_code in {200, 202}
    assert script.calls == [call]


def test_a_parameter_is_refused_rather_than_passed_over(web: FlaskClient, script: Script) -> None:
    for path in ("/v1/email?dry_run=true", "/v1/email/batch?x=1"):
        answer: Any = web.post(path, json=BODY)
        assert (answer.status_code, answer.json["code"]) == (400, "malformed_query")
    assert not script.requests


# ----- batches


def batch(web: FlaskClient, emails: Any, **more: Any) -> Any:
    return web.post("/v1/email/batch", json={"access_token": KEY, "emails": emails}, **more)


def answer_in_order(request: Any, _: object) -> SendEmailBatchResponse:
    """Names each mail by its subject."""
    state = email_pb2.DELIVERY_STATE_QUEUED
    results = [SendEmailResult(id=content.subject, state=state) for content in request.emails]
    return SendEmailBatchResponse(results=results)


def test_a_batch_is_accepted_in_one_call(web: FlaskClient, script: Script) -> None:
    script.answer = answer_in_order
    mails = [MAIL | {"subject": f"s{number}"} for number in range(3)]
    answer = batch(web, mails, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202
    assert answer.json == {"results": [{"id": f"s{number}", "status": "queued"} for number in range(3)]}
    assert script.calls == ["SendEmailBatch"]
    assert script.requests[0].request_id == "k"
    assert script.metadata[0]["authorization"] == f"Bearer {KEY}"


def test_what_cannot_be_read_hinders_no_other(web: FlaskClient, script: Script) -> None:
    script.answer = answer_in_order
    answer = batch(
        web, [{"to": [{"email": 5}]}, MAIL | {"subject": "a"}, "x", {"sbject": "b", "tags": [1]}, MAIL]
    )
    assert answer.status_code == 202
    results = answer.json["results"]
    assert [result.get("id") for result in results] == [None, "a", None, None, "Hello"]
    assert {result["code"] for result in results if "id" not in result} == {"malformed_body"}
    places = [[error["pointer"] for error in result.get("errors", [])] for result in results]
    assert places == [
        ["/emails/0/to/0/email"],
        [],
        ["/emails/2"],
        ["/emails/3/sbject", "/emails/3/tags/0"],
        [],
    ]


def test_what_cannot_be_read_makes_another_request_of_a_batch(web: FlaskClient, script: Script) -> None:
    """The server compares requests to know a repetition from another batch with the same key."""
    script.answer = answer_in_order
    bodies = [
        [MAIL, {"bad": 1}],
        [{"other": 2}, MAIL],
        [MAIL, {"bad": 2}],
        [MAIL],
        [MAIL, {"bad": 1}],
        [MAIL],
    ]
    for emails in bodies:
        assert batch(web, emails, headers={"Idempotency-Key": "k"}).status_code == 202
    asked = [request.SerializeToString(deterministic=True) for request in script.requests]
    assert len(set(asked)) == 4
    assert (asked[4], asked[5]) == (asked[0], asked[3])


def test_what_the_server_refuses_is_told_where_the_caller_gave_it(web: FlaskClient, script: Script) -> None:
    fields = ["content.to[0].email", "emails[1].send_at", 'headers["X-A"]', "content"]
    problem = email_pb2.Problem(
        code="invalid_fields",
        detail="no",
        errors=[email_pb2.FieldProblem(field=name, detail="bad") for name in fields],
    )
    script.answer = lambda request, context: SendEmailBatchResponse(
        results=[SendEmailResult(id=EMAIL_ID, state=10), SendEmailResult(problem=problem)]  # type: ignore[arg-type]
    )
    answer = batch(web, [{"subject": 1}, MAIL, MAIL])
    unreadable, good, bad = answer.json["results"]
    assert unreadable["code"] == "malformed_body"
    assert good == {"id": EMAIL_ID, "status": "scheduled"}
    assert bad == {
        "code": "invalid_fields",
        "detail": "/emails/2/to/0/email: bad (and 3 more; see errors)",
        "errors": [
            {"pointer": pointer, "code": "invalid", "detail": "bad"}
            for pointer in (
                "/emails/2/to/0/email",
                "/emails/2/send_at",
                "/emails/2/headers/X-A",
                "/emails/2",
            )
        ],
    }


def test_a_batch_that_is_refused_as_a_whole(web: FlaskClient, script: Script) -> None:
    details = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=name, description="bad")
            for name in ("emails", "emails[0].subject", "request_id")
        ]
    )
    script.fail(
        code_pb2.INVALID_ARGUMENT, "no", error_details_pb2.ErrorInfo(reason="INVALID_FIELDS"), details
    )
    answer = batch(web, [{"subject": 1}, MAIL])
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_fields")
    assert [error.get("pointer", error.get("parameter")) for error in answer.json["errors"]] == [
        "/emails",
        "/emails/1/subject",
        "Idempotency-Key",
    ]


@pytest.mark.parametrize(
    ("body", "expected", "pointer"),
    [
        ({"access_token": KEY}, (422, "invalid_fields"), "/emails"),
        ({"access_token": KEY, "emails": []}, (422, "invalid_fields"), "/emails"),
        ({"access_token": KEY, "emails": [MAIL] * 501}, (422, "invalid_fields"), "/emails"),
        ({"access_token": KEY, "emails": {}}, (400, "malformed_body"), "/emails"),
        ({"access_token": KEY, "mails": []}, (400, "malformed_body"), "/mails"),
        ({"access_token": KEY, "emails": [MAIL], "dry_run": True}, (400, "malformed_body"), "/dry_run"),
        ({"access_token": KEY, "emails": [{"a": 1}, 5]}, (400, "malformed_body"), "/emails/0/a"),
        ({"emails": [MAIL]}, (401, "missing_api_key"), None),
    ],
)
def test_what_is_no_batch(
    web: FlaskClient, script: Script, body: Any, expected: tuple[int, str], pointer: str | None
) -> None:
    answer: Any = web.post("/v1/email/batch", json=body)
    assert (answer.status_code, answer.json["code"]) == expected
    assert [error["pointer"] for error in answer.json.get("errors", [])[:1]] == ([pointer] if pointer else [])
    assert not script.requests


def test_the_largest_batch(web: FlaskClient, script: Script) -> None:
    script.answer = answer_in_order
    answer = batch(web, [MAIL | {"subject": str(number)} for number in range(500)])
    assert [result["id"] for result in answer.json["results"]] == [str(number) for number in range(500)]


def test_a_batch_of_rubbish_is_answered_in_few_words(web: FlaskClient, script: Script) -> None:
    answer = batch(web, [{str(name): 1 for name in range(60)}] * 500)
    assert answer.status_code == 400
    assert len(answer.json["errors"]) == 50


# ----- from where


@pytest.mark.parametrize(
    ("proxies", "header", "address"),
    [
        (0, "192.0.2.1", "127.0.0.1"),
        (1, "198.51.100.7, 192.0.2.1", "192.0.2.1"),
        (2, "203.0.113.9, 198.51.100.7,192.0.2.1", "198.51.100.7"),
        (2, "192.0.2.1", "127.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, '", 192.0.2.1', "192.0.2.1"),
        (1, "192.0.2.1, unknown", "127.0.0.1"),
        (1, "2001:DB8::0:1", "2001:db8::1"),
    ],
)
def test_the_callers_address(script: Script, proxies: int, header: str, address: str) -> None:
    with web_before(script, trusted_proxies=proxies) as web:
        web.post("/v1/email", json=BODY, headers={"X-Forwarded-For": header})
    assert script.metadata[0]["x-client-address"] == address
