"""Logging in and out as a browser sees it: cookies, where it leads, what is said."""

from __future__ import annotations

import grpc
import pytest
from flask.testing import FlaskClient
from flute.v1.member_service_pb2 import InvitationView
from flute.v1.person_service_pb2 import (
    SIGN_UP_MODE_CLOSED,
    SIGN_UP_MODE_INVITATION,
    SignUpMode,
    SignUpPolicy,
)
from flute.v1.session_service_pb2 import LogInResponse
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2

from tests.integration.board import (
    TOKEN,
    answers,
    failing,
    forgery_token,
)
from tests.integration.web_script import Script, web_before

# ----- cookies


def test_the_cookie_over_plain_http(web: FlaskClient):
    cookie = web.get("/login").headers["Set-Cookie"]
    assert cookie.startswith("flute=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_the_cookie_over_tls(script: Script):
    with web_before(script, public_url="https://mail.acme.example") as web:
        cookie = web.get("/login").headers["Set-Cookie"]
    assert cookie.startswith("__Host-flute=")
    assert {"HttpOnly", "SameSite=Lax", "Secure", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_a_login_starts_from_nothing(web: FlaskClient, script: Script):
    script.answer = answers(LogInRequest=LogInResponse(session_token=TOKEN))
    before = forgery_token(web.get("/login"))
    with web.session_transaction() as session:
        session["planted"] = "by somebody who had the browser before"
    answer = web.post("/login", data={"email": "e", "password": "p", "csrf_token": before})
    assert answer.status_code == 303
    with web.session_transaction() as session:
        assert dict(session) == {"token": TOKEN, "_permanent": True}
    assert web.post("/settings/name", data={"csrf_token": before}).status_code == 400


def test_logging_out_forgets_everything(inside: FlaskClient, script: Script):
    token = forgery_token(inside.get("/settings"))
    assert inside.post("/logout", data={"csrf_token": token}).location == "/login"
    assert script.calls[-1] == "LogOut"
    with inside.session_transaction() as session:
        assert "token" not in session


def test_logging_out_works_here_while_the_server_is_away(inside: FlaskClient, script: Script):
    token = forgery_token(inside.get("/settings"))
    script.fail(code_pb2.UNAVAILABLE, "away")
    assert inside.post("/logout", data={"csrf_token": token}).location == "/login"
    script.answer = answers()
    assert "the server did not answer" in inside.get("/login").text


# ----- where a login leads


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/team?page=2", "/team?page=2"),
        ("", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("\\\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        (" //evil.example", "/"),
        ("/team\\..\\..", "/"),
        ("javascript:alert(1)", "/"),
        ("team", "/"),
        ("/%2f/evil.example", "/%2f/evil.example"),
        ("/team\r\nSet-Cookie: a=b", "/"),
    ],
)
def test_a_login_leads_to_a_page_of_ours(web: FlaskClient, script: Script, given: str, expected: str):
    script.answer = answers(LogInRequest=LogInResponse(session_token=TOKEN))
    token = forgery_token(web.get("/login"))
    data = {"email": "e", "password": "p", "csrf_token": token}
    answer = web.post("/login", query_string={"next": given}, data=data)
    assert (answer.status_code, answer.location) == (303, expected)


def test_the_way_back_survives_the_second_factor(web: FlaskClient, script: Script):
    script.answer = answers(
        LogInRequest=LogInResponse(challenge_token="challenge"),
        CompleteLogInRequest=LogInResponse(session_token=TOKEN),
    )
    page = web.get("/login?next=/team")
    page = web.post("/login?next=/team", data={"csrf_token": forgery_token(page)})
    assert 'action="/login/code?next=/team"' in page.text
    data = {"csrf_token": forgery_token(page), "challenge": "challenge", "code": "123456"}
    assert web.post("/login/code?next=/team", data=data).location == "/team"
    assert script.requests[-1].challenge_token == "challenge"


# ----- logging in


def test_a_wrong_password_is_said_at_the_form(web: FlaskClient, script: Script):
    token = forgery_token(web.get("/login"))
    script.answer = failing(
        "LogInRequest", grpc.StatusCode.UNAUTHENTICATED, "there is nobody with this address and this password"
    )
    answer = web.post("/login", data={"email": "ada@acme.example", "password": "secret", "csrf_token": token})
    assert answer.status_code == 422
    assert "There is nobody with this address and this password." in answer.text
    assert 'value="ada@acme.example"' in answer.text
    assert "secret" not in answer.text


def test_too_many_tries_say_when_to_come_back(web: FlaskClient, script: Script):
    token = forgery_token(web.get("/login"))
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=540))
    script.fail(code_pb2.RESOURCE_EXHAUSTED, "too many tries; try again in 540 s", retry)
    fail, usual = script.answer, answers()
    assert fail
    script.answer = lambda request, context: (fail if type(request).__name__ == "LogInRequest" else usual)(
        request, context
    )
    answer = web.post("/login", data={"email": "e", "password": "p", "csrf_token": token})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "540")
    assert "Too many tries. Please try again in 9 minutes." in answer.text


# ----- who was invited

LOG_IN, NEW_PASSWORD, NEEDS_LOGIN = "Log in as bob@", 'name="password"', "Nobody can sign up here."


@pytest.mark.parametrize(
    ("exists", "mode", "shown"),
    [
        (True, SIGN_UP_MODE_INVITATION, {LOG_IN}),
        (False, SIGN_UP_MODE_INVITATION, {NEW_PASSWORD}),
        (None, SIGN_UP_MODE_INVITATION, {LOG_IN, NEW_PASSWORD}),
        (True, SIGN_UP_MODE_CLOSED, {LOG_IN}),
        (False, SIGN_UP_MODE_CLOSED, {NEEDS_LOGIN}),
        (None, SIGN_UP_MODE_CLOSED, {LOG_IN, NEEDS_LOGIN}),
    ],
)
def test_an_invitation_offers_what_leads_somewhere(
    web: FlaskClient, script: Script, exists: bool | None, mode: SignUpMode.ValueType, shown: set[str]
):
    view = InvitationView(account_name="Acme", email="bob@acme.example", user_exists=exists)
    script.answer = answers(
        GetInvitationRequest=view, GetSignUpPolicyRequest=SignUpPolicy(mode=mode, mail_configured=True)
    )
    page = web.get("/invitation/token").text
    assert {text for text in (LOG_IN, NEW_PASSWORD, NEEDS_LOGIN) if text in page} == shown
