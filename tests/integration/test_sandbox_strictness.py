"""The played providers refuse what the real ones refuse or would lose without a word."""

from __future__ import annotations

import base64
import smtplib
import time
from email.utils import formatdate
from typing import Any

import pytest
import requests

from flute_server.sandbox import Sandbox
from flute_server.sandbox.examples import (
    CHECK_PATHS,
    HEADERS,
    SEND_PATHS,
    body,
    login,
    message,
    request,
    send,
)

HTTP = ("sendgrid", "postmark", "sparkpost", "mailgun")
FILE = base64.b64encode(b"abc").decode()
SOON = int(time.time()) + 3600
LATE = int(time.time()) + 5 * 86400


def changed(provider: str, *changes: tuple[str, Any]) -> dict[str, Any]:
    """The example call with other values at these dotted paths; None removes one."""
    call = body(provider)
    for path, value in changes:
        place: Any = call
        # `h:X.Y` is a name of Mailgun's, not a path.
        *parents, last = [path] if provider == "mailgun" else path.split(".")
        for step in parents:
            place = place[int(step)] if step.isdecimal() else place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return call


SENDGRID: list[tuple[str, Any, str]] = [
    ("personalizations", [], "personalizations"),
    ("personalizations", None, "personalizations"),
    ("personalizations.0.to", [], "personalizations.0.to"),
    ("personalizations.0.to", [{"email": "ada"}], "personalizations.0.to.0.email"),
    ("personalizations.0.cc", [{"email": "ADA@example.com"}], "personalizations.0"),
    ("personalizations.0.bcc", [], "personalizations.0.bcc"),
    (
        "personalizations.0.to",
        [{"email": "ada@example.com", "name": "Ada, Dr"}],
        "personalizations.0.to.0.name",
    ),
    ("personalizations.0.custom_args", {"n": 1}, "null"),
    ("personalizations.0.colour", "red", "personalizations.0.colour"),
    ("from", None, '"from"'),
    ("from", "news@example.org", '"from"'),
    ("from", {"email": "grüße@example.org"}, "from.email"),
    ("reply_to", {"email": "nobody"}, "reply_to.email"),
    ("reply_to_list", [], "reply_to_list"),
    ("subject", "", "subject"),
    ("subject", None, "subject"),
    ("subject", "a\r\nBcc: eve@example.com", "subject"),
    ("content", [], "content"),
    ("content", None, "content"),
    ("content", [{"type": "text/plain", "value": ""}], "content.0.value"),
    (
        "content",
        [{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}],
        "text/plain must",
    ),
    ("attachments", [{"content": FILE}], "attachments.0.filename"),
    ("attachments", [{"content": "a b", "filename": "a"}], "attachments.0.content"),
    (
        "attachments",
        [{"content": FILE, "filename": "a", "disposition": "inline"}],
        "attachments.0.content_id",
    ),
    ("headers", {"Reply-To": "x@example.org"}, "headers.Reply-To"),
    ("headers", {"X-A": 1}, "Bad Request"),
    ("headers", {"X-A": "a\nb"}, "headers.X-A"),
    ("headers", {"X A": "b"}, "headers"),
    ("categories", ["a"] * 2, "categories"),
    ("categories", [str(n) for n in range(11)], "categories"),
    ("custom_args", {"a": "x" * 10_000}, "custom_args"),
    ("send_at", LATE, "send_at"),
    ("send_at", "tomorrow", "send_at"),
    ("tracking_settings", {"click_tracking": {"enable": "no"}}, "click_tracking.enable"),
    ("tracking_settings", {"clicks": {"enable": False}}, "tracking_settings.clicks"),
    ("tags", ["a"], "tags"),
]
POSTMARK: list[tuple[str, Any, str]] = [
    ("From", None, "'From'"),
    ("From", "a@example.org, b@example.org", "'From'"),
    ("To", "ada", "Error parsing 'To'"),
    ("To", "Doe, Ada <ada@example.com>", "Error parsing 'To'"),
    ("To", "jürgen@example.com", "Invalid 'To' address"),
    ("To", "", "Zero recipients"),
    ("To", ["ada@example.com"], '"ErrorCode":403,'),
    ("To", ",".join(f"u{n}@example.com" for n in range(51)), "51 addresses"),
    ("ReplyTo", "nobody", "Error parsing 'ReplyTo'"),
    ("Subject", "a\nb", "Subject"),
    ("Subject", "x" * 2001, "Subject"),
    ("TextBody", "x" * (5 * 1024 * 1024 + 1), "5 MB"),
    ("Headers", [{"name": "X-A", "value": "b"}], "Headers.0.name"),
    ("Headers", {"X-A": "b"}, "Headers"),
    ("Attachments", [{"Name": "a.txt", "Content": FILE}], "ContentType"),
    ("Attachments", [{"Name": "a.exe", "Content": FILE, "ContentType": "a/b"}], '"ErrorCode":411,'),
    ("Attachments", [{"Name": "a", "Content": FILE, "ContentType": "a/b", "ContentID": "x"}], "cid:"),
    ("Attachments", [{"Name": "a", "Content": "ab\ncd", "ContentType": "a/b"}], "base64"),
    ("Tag", ["welcome"], '"ErrorCode":403,'),
    ("Metadata", {"a": 1}, '"ErrorCode":403,'),
    ("Metadata", {"a" * 21: "x"}, "20 characters"),
    ("TrackOpens", "false", "TrackOpens"),
    ("TrackLinks", "no", "TrackLinks"),
    ("Tags", ["a"], "Tags"),
]
SPARKPOST: list[tuple[str, Any, str]] = [
    ("recipients", [], "recipients"),
    ("recipients", None, '"1400"'),
    ("recipients", [{"email": "ada@example.com"}], "recipients.0.email"),
    ("recipients.0.address", {"email": "ada"}, "'ada'"),
    ("recipients.0.address.name", "Ada", "exclude each other"),
    ("recipients.0.address.header_to", "Doe, Ada <ada@example.com>", "header_to"),
    ("recipients.0.tags", ["t"] * 11, "recipients.0.tags"),
    ("content.from", None, "content.from"),
    ("content.from", "a@example.org, b@example.org", "content.from"),
    ("content.subject", "", "content.subject"),
    ("content.text", "", "content.text"),
    ("content.text", "Dear {{ name }}", '"3000"'),
    ("content.reply_to", ["a@example.org"], "content.reply_to"),
    ("content.headers", {"Subject": "x"}, '"3002"'),
    ("content.headers", {"List-Unsubscribe": "<https://example.org>"}, '"3002"'),
    ("content.headers", {"X-A": "=?utf-8?q?=C3=A4?="}, '"3002"'),
    ("content.headers", {"X-A": "{{ x }}"}, '"3000"'),
    ("content.headers", {"X-A": "a\r\nb"}, "content.headers.X-A"),
    ("content.attachments", [{"name": "a", "type": "a/b", "data": "ab\r\ncd"}], "base64"),
    ("content.attachments", [{"filename": "a", "type": "a/b", "data": FILE}], "attachments.0.filename"),
    ("content.inline_images", [{"name": "a", "data": FILE}], "inline_images.0.type"),
    ("content.template_id", "x", "template_id"),
    ("metadata", {"a": "x" * 10_240}, '"2002"'),
    ("campaign_id", "ä" * 33, "64 bytes"),
    ("options", {"open_tracking": "no"}, "options.open_tracking"),
    ("options", {"track": False}, "options.track"),
    ("options", {"start_time": "tomorrow"}, "options.start_time"),
    ("tags", ["a"], "tags"),
]
MAILGUN: list[tuple[str, Any, str]] = [
    ("from", None, "'from' parameter is missing"),
    ("from", "grüße@example.org", "'from' parameter"),
    ("from", "a@example.org, b@example.org", "'from' parameter"),
    ("to", None, "'to' parameter is missing"),
    ("to", ["ada@example.com", "bob"], "'to' parameter is not a valid address"),
    ("to", "Doe, Ada <ada@example.com>", "'to' parameter is not a valid address"),
    ("to", [f"u{n}@example.com" for n in range(1001)], "1000"),
    ("cc", "", "'cc' parameter is not a valid address"),
    ("subject", ["a", "b"], "more than once"),
    ("subject", "a\r\nb", "subject"),
    ("o:tag", ["a", "b", "c", "d"], "o:tag"),
    ("o:tag", "ä", "o:tag"),
    ("o:tracking", "false", "o:tracking"),
    ("o:track", "no", "o:track"),
    ("o:deliverytime", formatdate(LATE), "o:deliverytime"),
    ("h:X-A", "a\nb", "h:X-A"),
    ("h:Grüße", "a", "h:Gr"),
    ("h:Reply-To", "nobody", "h:Reply-To"),
    ("v:a", "x" * 16_384, "bytes together"),
    ("attachment", "abc", "no filename"),
    ("recipient-variables", "{", "not JSON"),
    ("recipient-variables", '{"eve@example.com": {}}', "addresses of 'to'"),
    ("reply_to", "a@example.org", "reply_to"),
]
REFUSED = [
    pytest.param(provider, *case, id=f"{provider}-{number}-{case[0]}")
    for provider, cases in zip(HTTP, (SENDGRID, POSTMARK, SPARKPOST, MAILGUN), strict=True)
    for number, case in enumerate(cases)
]


@pytest.mark.parametrize(("provider", "path", "value", "told"), REFUSED)
def test_refuses_a_wrong_field(sandbox: Sandbox, provider: str, path: str, value: object, told: str) -> None:
    answer = send(provider, sandbox.address(provider), changed(provider, (path, value)))
    assert answer.status in {400, 422}
    assert told in answer.text


TWO = "a@b.example, c@d.example"
ACCEPTED: list[tuple[str, list[tuple[str, Any]]]] = [
    ("sendgrid", [("personalizations.0.to", [{"email": "a@b.example", "name": '"Doe, A"'}])]),
    ("sendgrid", [("reply_to_list", [{"email": "a@b.example"}]), ("send_at", SOON)]),
    ("sendgrid", [("headers", {"List-Unsubscribe": "<https://example.org>"})]),
    ("postmark", [("To", ""), ("Cc", f'"Doe, Ada" <ada@example.com>, {TWO}'), ("HtmlBody", None)]),
    ("sparkpost", [("content.text", "{{"), ("options", {"perform_substitutions": False})]),
    ("sparkpost", [("content.from", "News <news@example.org>"), ("content.reply_to", TWO)]),
    ("mailgun", [("h:Reply-To", TWO), ("o:deliverytime", formatdate(SOON)), ("text", None)]),
    ("mailgun", [("to", [TWO, "=?utf-8?q?J=C3=BC?= <j@b.example>"]), ("o:tag", ["a", "b"])]),
]


@pytest.mark.parametrize(("provider", "changes"), ACCEPTED)
def test_accepts_what_is_right(sandbox: Sandbox, provider: str, changes: list[tuple[str, Any]]) -> None:
    answer = send(provider, sandbox.address(provider), changed(provider, *changes))
    assert answer.status in {200, 202}, answer.text


@pytest.mark.parametrize("provider", HTTP)
def test_answers_a_wrong_key_as_documented(sandbox: Sandbox, provider: str) -> None:
    wrong = {name: value[:-1] + "x" for name, value in HEADERS[provider].items() if name != "Accept"}
    accept = {"Accept": "application/json"}
    for headers in (wrong, {}):
        sent = request(sandbox.address(provider), "POST", SEND_PATHS[provider], accept | headers, content=b"")
        checked = request(sandbox.address(provider), "GET", CHECK_PATHS[provider], accept | headers)
        assert sent.status == checked.status == 401
        assert sent.text == checked.text
    if provider == "mailgun":
        assert sent.text == "Forbidden"


def test_checks_reply_to_fields_together(sandbox: Sandbox) -> None:
    both = [("reply_to", {"email": "a@b.example"}), ("reply_to_list", [{"email": "a@b.example"}])]
    assert send("sendgrid", sandbox.address("sendgrid"), changed("sendgrid", *both)).status == 400


@pytest.mark.parametrize(
    ("provider", "headers", "status", "told"),
    [
        ("sendgrid", {"Content-Type": "text/plain"}, 415, "content type"),
        ("sendgrid", {"Accept": "text/html"}, 406, "application/json"),
        ("postmark", {"Content-Type": "text/plain"}, 415, '"ErrorCode":409,'),
        ("postmark", {"Accept": "*/*"}, 422, '"ErrorCode":409,'),
        ("sparkpost", {"Content-Type": "text/plain"}, 415, '"1700"'),
        ("sparkpost", {"Accept": "text/html"}, 406, '"1800"'),
        ("mailgun", {"Content-Type": "application/json"}, 400, "multipart"),
    ],
)
def test_wants_the_right_content_type_and_accept(
    sandbox: Sandbox, provider: str, headers: dict[str, str], status: int, told: str
) -> None:
    answer = send(provider, sandbox.address(provider), headers=headers)
    assert answer.status == status
    assert told in answer.text


@pytest.mark.parametrize(
    ("provider", "content", "status", "told"),
    [
        ("sendgrid", b"{", 400, "Bad Request"),
        ("sendgrid", b"[" * 100_000, 400, "Bad Request"),
        ("postmark", b'{"a": NaN}', 422, '"ErrorCode":402,'),
        ("sparkpost", b"{", 422, '"1300"'),
        ("sparkpost", b'"\xff"', 400, '"1305"'),
        ("sparkpost", b'"\\ud800"', 400, "1305"),
        ("mailgun", b"from=%FF", 400, "UTF-8"),
        ("sendgrid", b" " * (30 * 1024 * 1024 + 1), 413, "30 MB"),
        ("postmark", b'{"To":"' + b" " * (10 * 1024 * 1024) + b'"}', 413, "10 MB"),
        ("sparkpost", b" " * (20 * 1024 * 1024 + 1), 413, "20 MB"),
        ("mailgun", b" " * (25 * 1024 * 1024 + 1), 413, "25 MB"),
    ],
)
def test_refuses_what_cannot_be_read_or_is_too_large(
    sandbox: Sandbox, provider: str, content: bytes, status: int, told: str
) -> None:
    answer = send(provider, sandbox.address(provider), content)
    assert answer.status == status
    assert told in answer.text


@pytest.mark.parametrize(
    ("provider", "method", "path", "status"),
    [
        ("sendgrid", "GET", "/v3/mail/send", 405),
        ("sendgrid", "POST", "/v2/mail/send", 404),
        ("postmark", "GET", "/email", 405),
        ("sparkpost", "POST", "/transmissions", 404),
        ("mailgun", "POST", "/v3/mg.other.example/messages", 404),
        ("mailgun", "GET", "/v4/domains/mg.other.example", 404),
        ("mailgun", "GET", "/v4/domains/mg.sandbox.example", 200),
        ("mailgun", "POST", "/mg.sandbox.example/messages", 200),
    ],
)
def test_knows_its_addresses(sandbox: Sandbox, provider: str, method: str, path: str, status: int) -> None:
    answer = request(sandbox.address(provider), method, path, HEADERS[provider])
    assert answer.status == status
    if path.startswith("/mg"):
        assert answer.text == "Mailgun Magnificent API"


def test_mailgun_wants_a_filename_and_a_content_type_for_each_file(sandbox: Sandbox) -> None:
    url = sandbox.base_url("mailgun") + SEND_PATHS["mailgun"]
    for part, told in ((("a.txt", b"x"), "content type"), ((None, b"x"), "no filename")):
        files: Any = [("attachment", part)]
        answer = requests.post(
            url, data=body("mailgun"), files=files, headers=dict(HEADERS["mailgun"]), timeout=5
        )
        assert answer.status_code == 400
        assert told in answer.text


def test_mailgun_does_not_understand_an_encoded_filename(sandbox: Sandbox) -> None:
    part = "Content-Disposition: form-data; name=\"attachment\"; filename*=utf-8''%C3%A4.txt\r\n\r\nx"
    content = f"--b\r\n{part}\r\n--b--\r\n".encode()
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = send("mailgun", sandbox.address("mailgun"), content, headers=kind)
    assert answer.status == 400
    assert "filename*=" in answer.text


def test_smtp_wants_a_login(sandbox: Sandbox) -> None:
    address = sandbox.address("smtp")
    with smtplib.SMTP(*address, timeout=30) as client:
        client.ehlo()
        assert {"size", "8bitmime", "smtputf8", "auth"} <= client.esmtp_features.keys()
        assert client.mail("news@example.org")[0] == 530
    with pytest.raises(smtplib.SMTPAuthenticationError):
        login(address, "wrong")


@pytest.mark.parametrize(
    ("options", "data", "told"),
    [
        ([], b"Subject: x\r\n\r\nhi", b"From"),
        ([], b"From: a@b.example\r\n\r\nhi", b"Date"),
        ([], b"%sBcc: eve@example.com\r\n\r\nhi", b"Bcc"),
        ([], b"%sTo: a@b.example\r\nTo: a@b.example\r\n\r\nhi", b"more than once"),
        ([], b"%snonsense\r\n\r\nhi", b"malformed header"),
        ([], b"%sSubject: \xc3\xa4\r\n\r\nhi", b"SMTPUTF8"),
        ([], b"%sSubject: x\r\n\r\n\xc3\xa4", b"8BITMIME"),
        (["BODY=8BITMIME"], b"%sSubject: x\r\n\r\n\xc3\xa4", b"queued as"),
        (["SMTPUTF8", "BODY=8BITMIME"], b"%sSubject: \xc3\xa4\r\n\r\n\xc3\xa4", b"queued as"),
        ([], b"%sSubject: x\r\n\r\n" + b"x" * 999, b"too long"),
        ([f"SIZE={26 * 1024 * 1024}"], b"", b"size"),
    ],
)
def test_smtp_checks_the_message(sandbox: Sandbox, options: list[str], data: bytes, told: bytes) -> None:
    head = b"From: a@b.example\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    with login(sandbox.address("smtp")) as client:
        reply = client.mail("a@b.example", options)
        if reply[0] == 250:
            client.rcpt("ada@example.com")
            reply = client.data(data.replace(b"%s", head))
        assert told.lower() in reply[1].lower()


def test_smtp_checks_addresses(sandbox: Sandbox) -> None:
    with login(sandbox.address("smtp")) as client:
        assert client.docmd("MAIL", "FROM:<nobody>")[0] == 501
        assert client.mail("news@example.org")[0] == 250
        assert client.docmd("RCPT", "TO:<nobody>")[0] == 501
        client.command_encoding = "utf-8"
        assert client.docmd("RCPT", "TO:<jürgen@example.com>")[0] == 553
        for number in range(100):
            assert client.rcpt(f"u{number}@example.com")[0] == 250
        assert client.rcpt("one-too-many@example.com")[0] == 452
        client.rset()
        assert client.mail("news@example.org", ["SMTPUTF8"])[0] == 250
        assert client.docmd("RCPT", "TO:<jürgen@example.com>")[0] == 250


def test_smtp_unfolds_and_unstuffs(sandbox: Sandbox) -> None:
    mail = message(Subject="long " * 40)
    mail.clear_content()
    mail.set_content(".a\n..b\n")
    with login(sandbox.address("smtp")) as client:
        client.send_message(mail, to_addrs=["dots@example.com"])
    (shown,) = sandbox.inbox(to="dots@example.com")
    assert (shown["text"], shown["subject"].strip()) == (".a\n..b\n", ("long " * 40).strip())
