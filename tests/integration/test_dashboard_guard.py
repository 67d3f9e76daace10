"""What stands around every page: who may come in, forged requests, headers, and where a login leads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flute.v1.annotations_pb2 import ROLE_OWNER
from flute.v1.member_service_pb2 import InvitationView, ListMembersResponse, Member
from flute.v1.person_service_pb2 import SIGN_UP_MODE_OPEN, Me, SignUpPolicy
from flute.v1.session_service_pb2 import LogInResponse
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tests.integration.web_script import METHODS, Script, web_before

# All that anybody may open. What is not here asks for a login.
PUBLIC = {"log_in", "log_in_code", "log_out", "sign_up", "confirm", "forgot", "reset", "invitation"}
TOKEN = "flute_session_" + "s" * 43
PAGE = {"Accept": "text/html"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}'


def answers(**by_request: Message) -> Callable[[Any, grpc.ServicerContext], Any]:
    """For Script.answer: by the name of the request; empty for the others."""
    outputs = {method.input_type.name: method.output_type for method in METHODS.values()}
    policy = SignUpPolicy(mode=SIGN_UP_MODE_OPEN, mail_configured=True)
    known: dict[str, Message] = {"GetMeRequest": somebody(), "GetSignUpPolicyRequest": policy, **by_request}

    def answer(request: Any, _: grpc.ServicerContext) -> Any:
        name = type(request).__name__
        return known[name] if name in known else GetMessageClass(outputs[name])()

    return answer


def somebody(name: str = "Ada", account: str = "Acme") -> Me:
    return Me(
        id="u",
        name=name,
        email="ada@acme.example",
        confirmed=True,
        account_id="a",
        account_name=account,
        role=ROLE_OWNER,
        operator=True,
    )


@pytest.fixture(scope="module")
def app() -> Iterator[tuple[Script, Flask]]:
    script = Script()
    with web_before(script) as client:
        yield script, client.application


@pytest.fixture
def script(app: tuple[Script, Flask]) -> Script:
    app[0].reset()
    app[0].answer = answers()
    return app[0]


@pytest.fixture
def web(app: tuple[Script, Flask], script: Script) -> FlaskClient:
    """A browser without cookies."""
    return app[1].test_client()


@pytest.fixture
def inside(web: FlaskClient) -> FlaskClient:
    """Of somebody who is logged in."""
    with web.session_transaction() as session:
        session["token"] = TOKEN
    return web


def pages(app: Flask, method: str) -> list[tuple[str, str]]:
    """Endpoint and an address of every page that knows the method."""

    def address(rule: Rule) -> str:
        return re.sub("<[^>]*>", "0f8f3c52-6f0e-4f1e-9a53-0d6a1a4f7b10", rule.rule)

    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("dashboard.")]
    return [
        (rule.endpoint.partition(".")[2], address(rule)) for rule in rules if method in (rule.methods or ())
    ]


def forgery_token(page: TestResponse) -> str:
    found = re.search('name="csrf_token" value="([^"]+)"', page.text)
    assert found
    return found[1]


# ----- who may come in


def test_what_is_not_public_asks_for_a_login(web: FlaskClient, script: Script):
    for endpoint, address in pages(web.application, "GET"):
        if endpoint in PUBLIC:
            continue
        answer = web.get(address, headers=PAGE)
        where = "" if address == "/" else f"?next={address}"
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/login{where}"), address
        live = web.get(
            address, headers={"HX-Request": "true", "HX-Current-URL": "http://localhost/emails?q=x"}
        )
        assert (live.status_code, live.headers["HX-Redirect"]) == (204, "/login?next=/emails"), address
    assert script.calls == []


def test_the_public_pages_are_these(web: FlaskClient):
    open_to_all = {
        endpoint for endpoint, address in pages(web.application, "GET") if not web.get(address).location
    }
    assert open_to_all == PUBLIC - {"log_in_code", "log_out"}


def test_every_page_outlives_a_server_that_is_away(inside: FlaskClient, script: Script):
    script.fail(code_pb2.UNAVAILABLE, "127.0.0.1:50051 refused the connection")
    for _, address in pages(inside.application, "GET"):
        answer = inside.get(address, headers=PAGE)
        assert answer.status_code in {302, 200, 404, 503}, address
        assert "50051" not in answer.text, address
        check_headers(answer)


def test_an_ended_session_leads_to_the_login_and_back(inside: FlaskClient, script: Script):
    script.fail(code_pb2.UNAUTHENTICATED, "over", error_details_pb2.ErrorInfo(reason="SESSION_ENDED"))
    answer = inside.get("/team?page=2", headers=PAGE)
    assert answer.location == "/login?next=/team?page%3D2"
    script.answer = answers()
    assert inside.get("/team").location.startswith("/login")


def test_an_ended_session_is_not_in_the_way_of_a_new_one(inside: FlaskClient, script: Script):
    token = forgery_token(inside.get("/settings"))

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        if "authorization" in dict(context.invocation_metadata()):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "you are not logged in any more")
        return answers(LogInRequest=LogInResponse(session_token="flute_session_new"))(request, context)

    script.answer = answer
    data = {"email": "ada@acme.example", "password": "p", "csrf_token": token}
    assert inside.post("/login", data=data).location == "/"
    with inside.session_transaction() as session:
        assert session["token"] == "flute_session_new"


def test_who_was_taken_out_of_the_account_goes_on_in_another(inside: FlaskClient, script: Script):
    script.fail(code_pb2.PERMISSION_DENIED, "no member", error_details_pb2.ErrorInfo(reason="NO_ACCOUNT"))
    assert inside.get("/audit", headers=PAGE).location == "/settings/account"


# ----- forged requests


@pytest.mark.parametrize("token", ["", "wrong", "IjEyMyI.x.y"])
def test_nothing_is_done_without_the_token_of_a_page(inside: FlaskClient, script: Script, token: str):
    walked = pages(inside.application, "POST")
    assert len(walked) > 20
    for _, address in walked:
        answer = inside.post(address, data={"csrf_token": token} if token else {}, headers=PAGE)
        assert (answer.status_code, answer.mimetype) == (400, "text/html"), address
        assert "reload it" in answer.text
        check_headers(answer)
    # Who is looking is asked for the page that says so.
    assert set(script.calls) <= {"GetMe"}


def test_the_token_of_another_browser_does_not_count(inside: FlaskClient, script: Script):
    other = inside.application.test_client()
    token = forgery_token(other.get("/login"))
    assert inside.post("/settings/name", data={"name": "x", "csrf_token": token}).status_code == 400
    own = forgery_token(inside.get("/settings"))
    assert inside.post("/settings/name", data={"name": "x", "csrf_token": own}).status_code == 303
    assert script.calls[-1] == "UpdateMe"


def test_the_json_api_knows_no_session(inside: FlaskClient, script: Script):
    assert inside.get("/v1/email").status_code == 401
    assert all("authorization" not in metadata for metadata in script.metadata)


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


# ----- headers and errors


def check_headers(answer: TestResponse) -> None:
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert re.search("frame-ancestors '(none|self)'", policy)
    # What a mail brings along is shown as it is, where it can do nothing.
    assert "unsafe" not in policy or policy.startswith("sandbox; default-src 'none'; style-src ")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_every_page_has_the_headers_and_nothing_inline(inside: FlaskClient):
    for _, address in pages(inside.application, "GET"):
        answer = inside.get(address, headers=PAGE)
        check_headers(answer)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", answer.text), address
        assert not re.search(r"<script(?![^>]*\s(?:src=|type=\"application/json))", answer.text), address


@pytest.mark.parametrize("address", ["/nowhere", "/team/nowhere", "/team%00", "/assets/0/nothing.css"])
def test_an_address_that_nobody_serves(inside: FlaskClient, address: str):
    answer = inside.get(address, headers=PAGE)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert answer.headers["X-Request-Id"] in answer.text
    check_headers(answer)


def test_the_wrong_method_is_told_to_people_as_a_page(inside: FlaskClient):
    answer = inside.get("/logout", headers=PAGE)
    assert (answer.status_code, answer.mimetype) == (405, "text/html")
    assert "POST" in answer.headers["Allow"]
    check_headers(answer)
    assert inside.get("/v1/email/batch", headers=PAGE).mimetype == "application/problem+json"


# ----- logging in


def log_in(web: FlaskClient) -> TestResponse:
    token = forgery_token(web.get("/login"))
    return web.post("/login", data={"email": "ada@acme.example", "password": "secret", "csrf_token": token})


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


def failing(name: str, code: grpc.StatusCode, text: str) -> Callable[[Any, grpc.ServicerContext], Any]:
    usual = answers()

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        if type(request).__name__ == name:
            context.abort(code, text)
        return usual(request, context)

    return answer


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


# ----- hostile names


def test_names_are_text_wherever_they_are_shown(inside: FlaskClient, script: Script):
    view = InvitationView(account_name=HOSTILE, email=HOSTILE, inviter=HOSTILE, role=ROLE_OWNER)
    member = Member(user_id="u", name=HOSTILE, email=HOSTILE, role=ROLE_OWNER)
    script.answer = answers(
        GetMeRequest=somebody(HOSTILE, HOSTILE),
        GetInvitationRequest=view,
        ListMembersRequest=ListMembersResponse(members=[member]),
    )
    for _, address in pages(inside.application, "GET"):
        text = inside.get(address, headers=PAGE).text
        assert "<script>alert" not in text, address
        assert "<img src=x" not in text, address
        assert "49" not in re.findall(r"&lt;img src=x onerror=alert\(1\)&gt;(..)", text), address
