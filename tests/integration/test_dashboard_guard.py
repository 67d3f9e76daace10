"""What stands around every page: who may come in, forged requests, headers, hostile names."""

from __future__ import annotations

import re
import time
from typing import Any

import grpc
import pytest
from flask.testing import FlaskClient
from flute.v1.session_service_pb2 import LogInResponse
from flute.v1.suppression_service_pb2 import ImportSuppressionsRequest
from google.rpc import code_pb2, error_details_pb2
from urllib3 import encode_multipart_formdata

from tests.integration.board import (
    HOSTILE,
    PAGE,
    answers,
    check_headers,
    forgery_token,
    hostile,
    is_caged,
    pages,
    somebody,
)
from tests.integration.web_script import METHODS, Script

# All that anybody may open. What is not here asks for a login.
PUBLIC = {"log_in", "log_in_code", "log_out", "sign_up", "confirm", "forgot", "reset", "invitation"}


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


def test_a_page_of_htmx_that_is_no_address_leads_to_the_login_too(web: FlaskClient):
    answer = web.get("/emails", headers={"HX-Request": "true", "HX-Current-URL": "http://["})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/login")


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


# ----- forms that nobody fills in


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/x-url-encoded"])
def test_a_form_of_millions_of_fields_is_not_taken_apart(inside: FlaskClient, script: Script, kind: str):
    begin = time.process_time()
    answer = inside.post("/settings/name", data=b"&a=" * 4_000_000, content_type=kind, headers=PAGE)
    assert (answer.status_code, answer.mimetype) == (413, "text/html")
    assert "1,000 fields" in answer.text
    assert time.process_time() - begin < 1
    assert set(script.calls) <= {"GetMe"}


def test_a_long_list_may_be_pasted(inside: FlaskClient, script: Script):
    lines = "".join(f"user{number}@example.com\n" for number in range(50_000))
    form = {"csrf_token": forgery_token(inside.get("/suppressions/import")), "lines": lines}
    body, kind = encode_multipart_formdata(form)
    assert inside.post("/suppressions/import", data=body, content_type=kind).status_code == 200
    [asked] = [one for one in script.requests if isinstance(one, ImportSuppressionsRequest)]
    assert asked.csv.decode().splitlines() == ["email", *lines.splitlines()]


def test_who_is_not_logged_in_fills_in_short_forms(web: FlaskClient, script: Script):
    answer = web.post("/login", data={"email": "x" * 70_000}, headers=PAGE)
    assert (answer.status_code, answer.mimetype) == (413, "text/html")
    assert "64 KB" in answer.text
    assert script.calls == []


# ----- headers and errors


def test_every_page_has_the_headers_and_nothing_inline(inside: FlaskClient):
    for _, address in pages(inside.application, "GET"):
        answer = inside.get(address, headers=PAGE)
        assert answer.status_code in {200, 302, 404}, address
        check_headers(answer)
        if is_caged(answer):
            continue
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


# ----- hostile names


def test_what_anybody_wrote_is_text_wherever_it_is_shown(inside: FlaskClient, script: Script):
    outputs = {method.input_type.name: method.output_type for method in METHODS.values()}
    usual = answers(GetMeRequest=somebody(HOSTILE, HOSTILE))
    known = {"GetMeRequest", "GetSignUpPolicyRequest"}

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        name = type(request).__name__
        return usual(request, context) if name in known else hostile(outputs[name])

    script.answer = answer
    shown = 0
    for _, address in pages(inside.application, "GET"):
        answered = inside.get(address, headers=PAGE)
        assert answered.status_code in {200, 302, 404}, address
        if answered.mimetype != "text/html" or is_caged(answered):
            continue
        text = answered.text
        assert "<script>alert" not in text, address
        assert "<img src=x" not in text, address
        assert "alert(1)&gt;49" not in text, address
        shown += "&lt;script&gt;alert" in text
    assert shown > 10
