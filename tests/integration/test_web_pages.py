"""What in web is no JSON: the suppression list as CSV, and the page behind the List-Unsubscribe link."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from flask.testing import FlaskClient
from flute.v1.suppression_service_pb2 import (
    CsvProblem,
    ExportSuppressionsResponse,
    ImportSuppressionsResponse,
    UnsubscribeResponse,
)
from google.rpc import code_pb2, error_details_pb2

from tests.integration.web_script import KEY, Script, web_before
from web.client import PATIENCE_S

AUTH = {"Authorization": f"Bearer {KEY}"}
CSV = b"email\r\nada@example.com\r\n"
ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def web(script: Script) -> Iterator[FlaskClient]:
    with web_before(script) as client:
        yield client


# ----- CSV


def test_a_file_is_imported(web: FlaskClient, script: Script) -> None:
    problem = CsvProblem(line=3, detail="not an address")
    script.answer = lambda request, context: ImportSuppressionsResponse(
        added=1, known=2, refused=1, problems=[problem]
    )
    answer = web.post(
        "/v1/suppressions/import", data=CSV, content_type="text/csv; charset=utf-8", headers=AUTH
    )
    assert answer.status_code == 200
    assert answer.json == {
        "added": 1,
        "known": 2,
        "refused": 1,
        "problems": [{"line": 3, "detail": "not an address"}],
    }
    assert script.requests[0].csv == CSV
    assert script.metadata[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("data", "content_type", "headers", "expected"),
    [
        (CSV, "application/json", AUTH, (415, "unsupported_media_type")),
        (CSV, "text/csv; charset=latin-1", AUTH, (415, "unsupported_media_type")),
        (CSV, "text/csv", {}, (401, "missing_api_key")),
        (CSV, "text/csv", AUTH | {"Idempotency-Key": "k"}, (400, "idempotency_key_unsupported")),
        (b"x" * (10 * 1024 * 1024 + 1), "text/csv", AUTH, (413, "request_entity_too_large")),
    ],
)
def test_what_is_not_imported(
    web: FlaskClient, data: bytes, content_type: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer: Any = web.post("/v1/suppressions/import", data=data, content_type=content_type, headers=headers)
    assert (answer.status_code, answer.json["code"]) == expected


def pieces(request: Any, _: object) -> ExportSuppressionsResponse:
    number = int(request.page_token or 0)
    text = b"email\r\n" if number == 0 else b"ada%d@example.com\r\n" % number
    return ExportSuppressionsResponse(csv=text, next_page_token=str(number + 1) if number < 3 else "")


def test_the_list_is_exported_piece_by_piece(web: FlaskClient, script: Script) -> None:
    script.answer = pieces
    answer = web.get("/v1/suppressions/export", headers=AUTH)
    assert answer.status_code == 200
    assert answer.mimetype == "text/csv"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="suppressions.csv"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Content-Length" not in answer.headers
    assert answer.data == b"email\r\nada1@example.com\r\nada2@example.com\r\nada3@example.com\r\n"
    assert len(script.requests) == 4


def test_a_refused_export_is_a_problem(web: FlaskClient, script: Script) -> None:
    script.fail(code_pb2.PERMISSION_DENIED, "no", error_details_pb2.ErrorInfo(reason="INSUFFICIENT_SCOPE"))
    answer: Any = web.get("/v1/suppressions/export", headers=AUTH)
    assert (answer.status_code, answer.json["code"]) == (403, "insufficient_scope")


def test_an_export_that_breaks_off_does_not_look_complete(web: FlaskClient, script: Script) -> None:
    def answer(request: Any, context: grpc.ServicerContext) -> ExportSuppressionsResponse:
        if request.page_token:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return pieces(request, context)

    script.answer = answer
    exported = web.get("/v1/suppressions/export", headers=AUTH)
    assert exported.status_code == 200
    with pytest.raises(ConnectionResetError):
        exported.get_data()


def limited(script: Script, context: grpc.ServicerContext, wait_s: float) -> None:
    """Refuse the present call: the key's rate limit is used up for so long."""
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(int(wait_s * 1000))
    info = error_details_pb2.ErrorInfo(reason="RATE_LIMITED")
    script.refuse(context, code_pb2.RESOURCE_EXHAUSTED, "too many calls", info, retry)


def test_an_export_waits_for_the_rate_limit_of_its_key(web: FlaskClient, script: Script) -> None:
    waits = iter((0.2, 0.1))

    def answer(request: Any, context: grpc.ServicerContext) -> ExportSuppressionsResponse:
        if request.page_token == "2" and (wait_s := next(waits, 0)):
            limited(script, context, wait_s)
        return pieces(request, context)

    script.answer = answer
    begin = time.monotonic()
    assert web.get("/v1/suppressions/export", headers=AUTH).data.count(b"\r\n") == 4
    assert time.monotonic() - begin >= 0.3
    assert [request.page_token for request in script.requests] == ["", "1", "2", "2", "2", "3"]


def test_an_export_does_not_wait_for_ever(web: FlaskClient, script: Script) -> None:
    def answer(request: Any, context: grpc.ServicerContext) -> ExportSuppressionsResponse:
        if request.page_token:
            limited(script, context, PATIENCE_S + 1)
        return pieces(request, context)

    script.answer = answer
    begin = time.monotonic()
    with pytest.raises(ConnectionResetError):
        web.get("/v1/suppressions/export", headers=AUTH).get_data()
    assert time.monotonic() - begin < 5


def test_exports_that_wait_leave_threads_to_others(script: Script) -> None:
    free_at = time.monotonic() + 1

    def answer(request: Any, context: grpc.ServicerContext) -> ExportSuppressionsResponse:
        if request.page_token and (wait_s := free_at - time.monotonic()) > 0:
            limited(script, context, wait_s)
        return pieces(request, context)

    def is_whole(web: FlaskClient) -> bool:
        try:
            return bool(web.get("/v1/suppressions/export", headers=AUTH).data)
        except ConnectionResetError:
            return False

    script.answer = answer
    with web_before(script, threads=4) as web, ThreadPoolExecutor(2) as exports:
        both = exports.map(is_whole, [web.application.test_client() for _ in range(2)])
        assert sorted(both) == [False, True]


# ----- unsubscribing


@pytest.fixture
def link(script: Script) -> str:
    script.answer = lambda request, context: UnsubscribeResponse(
        email="a***@example.com", domain="flutemail.io"
    )
    return "/unsubscribe/some-token.abc"


def test_opening_the_link_shows_a_page_and_changes_nothing(
    web: FlaskClient, script: Script, link: str
) -> None:
    answer = web.get(link)
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert "a***@example.com" in answer.text
    assert "flutemail.io" in answer.text
    assert answer.text.count("<button>") == 1
    assert [(request.token, request.only_look) for request in script.requests] == [("some-token.abc", True)]
    assert web.head(link).status_code == 200
    assert script.requests[1].only_look
    assert "authorization" not in script.metadata[0]


def test_the_page_can_do_nothing_but_what_it_is_for(web: FlaskClient, link: str) -> None:
    answer = web.get(link)
    style = re.search("<style>(.*)</style>", answer.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policies = answer.headers.getlist("Content-Security-Policy")
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    for word in ("<script", "<img", "<link", "http:", "https:", "src=", "style="):
        assert word not in answer.text


MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n',
    "multipart/form-data; boundary=b",
)


@pytest.mark.parametrize(("data", "content_type"), [(ONE_CLICK.encode(), FORM), MULTIPART])
def test_a_post_unsubscribes(
    web: FlaskClient, script: Script, link: str, data: bytes, content_type: str
) -> None:
    answer = web.post(link, data=data, content_type=content_type)
    assert answer.status_code == 200
    assert "You are unsubscribed" in answer.text
    assert "<form" not in answer.text
    assert [(request.token, request.only_look) for request in script.requests] == [("some-token.abc", False)]


def test_the_button_sends_what_a_mail_program_would(web: FlaskClient, script: Script, link: str) -> None:
    page = web.get(link).text
    assert '<form method="post">' in page
    fields = dict(re.findall('<input type="hidden" name="(.*)" value="(.*)">', page))
    assert web.post(link, data=fields).status_code == 200
    assert not script.requests[-1].only_look


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"", FORM),
        (b"List-Unsubscribe=yes", FORM),
        (b"{}", "application/json"),
        (b"--b", "multipart/form-data; boundary=b"),
        (b"x", "multipart/form-data"),
    ],
)
def test_any_other_post_changes_nothing(
    web: FlaskClient, script: Script, link: str, data: bytes, content_type: str
) -> None:
    answer = web.post(link, data=data, content_type=content_type)
    assert (answer.status_code, answer.mimetype) == (400, "text/html")
    assert not script.requests


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_bad_link_is_told_in_plain_words(web: FlaskClient, script: Script, link: str, method: str) -> None:
    info = error_details_pb2.ErrorInfo(reason="UNSUBSCRIBE_LINK_INVALID")
    script.fail(code_pb2.NOT_FOUND, "the signature does not fit", info)
    answer = web.open(link, method=method, data=ONE_CLICK, content_type=FORM)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "This link does not work" in answer.text
    assert "signature" not in answer.text


def test_while_the_server_is_away_the_page_says_so(web: FlaskClient, script: Script, link: str) -> None:
    script.fail(code_pb2.UNAVAILABLE, "away")
    answer = web.post(link, data=ONE_CLICK, content_type=FORM)
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert answer.headers["Retry-After"]
    assert "try again" in answer.text


def test_what_the_page_shows_is_text(web: FlaskClient, script: Script, link: str) -> None:
    script.answer = lambda request, context: UnsubscribeResponse(email="<b>&", domain="<script>")
    text = web.get(link).text
    assert "&lt;b&gt;&amp;" in text
    assert "<script" not in text
