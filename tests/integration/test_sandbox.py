"""The sandbox over real sockets: what it accepts and shows, and its control port."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
import requests

from flute_server.sandbox import Sandbox, SandboxError
from flute_server.sandbox.examples import HEADERS, SEND_PATHS, body, message, send, submit

HTTP = ("sendgrid", "postmark", "sparkpost", "mailgun")
ALL = (*HTTP, "smtp")
FILE = b"\x00\x01binary\r\n"
FILE_64 = base64.b64encode(FILE).decode()


def deliver(sandbox: Sandbox, provider: str, *to: str) -> None:
    recipients = to or ("ada@example.com",)
    if provider == "smtp":
        assert submit(sandbox.address("smtp"), recipients) == {}
    else:
        assert send(provider, sandbox.address(provider), body(provider, recipients)).status in {200, 202}


@pytest.mark.parametrize("provider", ALL)
def test_shows_an_accepted_mail_in_the_words_of_no_provider(sandbox: Sandbox, provider: str) -> None:
    deliver(sandbox, provider)
    (mail,) = sandbox.inbox()
    assert (mail["provider"], mail["subject"], mail["text"].strip()) == (provider, "Hello", "hi")
    assert mail["html"].strip() == "<p>hi</p>"
    assert mail["from"] == {"email": "news@example.org", "name": "News"}
    assert mail["to"] == [{"email": "ada@example.com", "name": ""}]
    assert mail["envelope"] == {"from": "news@example.org", "recipients": ["ada@example.com"]}
    assert mail["message_id"]
    assert mail["received_at"].endswith("+00:00")
    if provider != "smtp":
        assert (mail["tags"], mail["metadata"]) == (["welcome"], {"flute_id": "em_1"})


def test_answers_success_as_documented(sandbox: Sandbox) -> None:
    first = send("sendgrid", sandbox.address("sendgrid"))
    assert (first.status, first.text) == (202, "")
    second = send("postmark", sandbox.address("postmark")).json()
    assert (second["ErrorCode"], second["Message"], second["To"]) == (0, "OK", "ada@example.com")
    two = body("sparkpost", ["ada@example.com", "bob@example.com"])
    third = send("sparkpost", sandbox.address("sparkpost"), two).json()["results"]
    assert (third["total_accepted_recipients"], third["total_rejected_recipients"]) == (2, 0)
    fourth = send("mailgun", sandbox.address("mailgun")).json()
    assert fourth["id"].startswith("<")
    ids = [first.headers["X-Message-Id"], second["MessageID"], third["id"], fourth["id"]]
    assert [mail["message_id"] for mail in sandbox.inbox()] == ids


def _post_with_files(sandbox: Sandbox, provider: str) -> requests.Response:
    """A file and an inline image, in the way of a common HTTP library."""
    call: dict[str, Any] = body(provider)
    more: dict[str, Any] = {"data": call} if provider == "mailgun" else {"json": call}
    if provider == "sendgrid":
        file = {"content": FILE_64, "type": "image/png", "filename": "ä.png"}
        call["attachments"] = [file, {**file, "disposition": "inline", "content_id": "logo"}]
    elif provider == "postmark":
        file = {"Content": FILE_64, "ContentType": "image/png", "Name": "ä.png"}
        call["Attachments"] = [file, {**file, "ContentID": "cid:logo"}]
    elif provider == "sparkpost":
        call["content"]["attachments"] = [{"name": "ä.png", "type": "image/png", "data": FILE_64}]
        call["content"]["inline_images"] = [{"name": "logo", "type": "image/png", "data": FILE_64}]
    else:
        png = "image/png"
        more["files"] = [("attachment", ("ä.png", FILE, png)), ("inline", ("logo", FILE, png))]
    url = sandbox.base_url(provider) + SEND_PATHS[provider]
    return requests.post(url, headers=dict(HEADERS[provider]), timeout=10, **more)


@pytest.mark.parametrize("provider", HTTP)
def test_keeps_attachments_and_shows_their_content_only_when_asked(sandbox: Sandbox, provider: str) -> None:
    assert _post_with_files(sandbox, provider).ok
    (mail,) = sandbox.inbox(content=1)
    shown = [(a["content_type"], a["content_id"], a["content"]) for a in mail["attachments"]]
    assert shown == [("image/png", "", FILE_64), ("image/png", "logo", FILE_64)]
    assert mail["attachments"][0]["filename"] == "ä.png"
    (light,) = sandbox.inbox()
    assert light["attachments"][0]["sha256"] == hashlib.sha256(FILE).hexdigest()
    assert light["attachments"][0]["size"] == len(FILE)
    assert "content" not in light["attachments"][0]


def test_reads_mime_back(sandbox: Sandbox) -> None:
    mail = message(To="Ädä <ada@example.com>", Cc="bob@example.com", Subject="Grüße", X_Flute_Id="em_1")
    mail.add_attachment(FILE, maintype="application", subtype="pdf", filename="ä.pdf")
    recipients = ["ada@example.com", "bob@example.com", "eve@example.com"]
    assert submit(sandbox.address("smtp"), recipients, mail) == {}
    (shown,) = sandbox.inbox(content=1)
    assert shown["subject"] == "Grüße"
    assert shown["to"] == [{"email": "ada@example.com", "name": "Ädä"}]
    assert [[a["email"] for a in shown[kind]] for kind in ("cc", "bcc")] == [
        ["bob@example.com"],
        ["eve@example.com"],
    ]
    assert shown["headers"] == {"X-Flute-Id": "em_1"}
    assert (shown["attachments"][0]["filename"], shown["attachments"][0]["content"]) == ("ä.pdf", FILE_64)


def test_tells_sparkpost_cc_and_bcc_apart(sandbox: Sandbox) -> None:
    call = body("sparkpost")
    for email in ("bob@example.com", "eve@example.com"):
        call["recipients"].append({"address": {"email": email, "header_to": "Ada <ada@example.com>"}})
    call["content"]["headers"] = {"CC": "Bob <bob@example.com>"}
    assert send("sparkpost", sandbox.address("sparkpost"), call).status == 200
    (mail,) = sandbox.inbox()
    found = [[address["email"] for address in mail[kind]] for kind in ("to", "cc", "bcc")]
    assert found == [["ada@example.com"], ["bob@example.com"], ["eve@example.com"]]


def test_keeps_one_mail_for_each_personalization_and_batch_item(sandbox: Sandbox) -> None:
    call = body("sendgrid")
    second = {"to": [{"email": "bob@example.com"}], "custom_args": {"flute_id": "em_2"}}
    call["personalizations"].append(second)
    send("sendgrid", sandbox.address("sendgrid"), call)
    batch = [body("postmark", ["c@example.com"]), {"To": "nobody"}, body("postmark", ["d@example.com"])]
    url = sandbox.base_url("postmark") + "/email/batch"
    answer = requests.post(url, json=batch, headers=dict(HEADERS["postmark"]), timeout=30)
    assert [item["ErrorCode"] for item in answer.json()] == [0, 300, 0]
    mails = sandbox.inbox()
    assert [mail["to"][0]["email"][0] for mail in mails] == ["a", "b", "c", "d"]
    assert mails[1]["metadata"] == {"flute_id": "em_2"}


def test_mailgun_sends_each_its_own_copy_with_recipient_variables(sandbox: Sandbox) -> None:
    fields = body("mailgun", ["ada@example.com", "bob@example.com"])
    variables = {"recipient-variables": '{"ada@example.com": {}, "bob@example.com": {}}'}
    assert send("mailgun", sandbox.address("mailgun"), fields | variables).status == 200
    mails = sandbox.inbox()
    assert [mail["envelope"]["recipients"] for mail in mails] == [["ada@example.com"], ["bob@example.com"]]
    assert [len(mail["to"]) for mail in mails] == [1, 1]


def test_the_providers_own_test_modes_deliver_nothing(sandbox: Sandbox) -> None:
    call = body("sendgrid") | {"mail_settings": {"sandbox_mode": {"enable": True}}}
    assert send("sendgrid", sandbox.address("sendgrid"), call).status == 200
    token = {"X-Postmark-Server-Token": "POSTMARK_API_TEST"}
    assert send("postmark", sandbox.address("postmark"), headers=token).status == 200
    assert send("mailgun", sandbox.address("mailgun"), body("mailgun") | {"o:testmode": "yes"}).status == 200
    assert sandbox.inbox() == []


def test_inbox_filters_pages_counts_and_empties(sandbox: Sandbox) -> None:
    for number in range(3):
        deliver(sandbox, "postmark", f"u{number}@example.com")
    deliver(sandbox, "mailgun", "U1@example.com")
    page = [mail["to"][0]["email"] for mail in sandbox.inbox(offset=1, limit=2)]
    assert page == ["u1@example.com", "u2@example.com"]
    assert [mail["provider"] for mail in sandbox.inbox(to="u1@EXAMPLE.com")] == ["postmark", "mailgun"]
    assert (sandbox.count(), sandbox.count(provider="postmark"), sandbox.count(to="u1@example.com")) == (
        4,
        3,
        2,
    )
    sandbox.clear_inbox()
    assert sandbox.inbox() == []


def test_counts_calls_by_answer(sandbox: Sandbox) -> None:
    deliver(sandbox, "postmark")
    send("postmark", sandbox.address("postmark"), {"From": "news@example.org"})
    assert sandbox.calls("postmark") == {"calls": 2, "accepted": 1, "answers": {"200": 1, "422": 1}}
    deliver(sandbox, "smtp")
    assert sandbox.calls("smtp") == {"calls": 1, "accepted": 1, "answers": {"250": 1}}
    requests.delete(f"{sandbox.control}/providers/postmark/calls", timeout=30)
    assert sandbox.calls("postmark") == {"calls": 0, "accepted": 0, "answers": {}}


def test_takes_a_mode_as_json_or_as_a_bare_word(sandbox: Sandbox) -> None:
    url = f"{sandbox.control}/providers/sendgrid/mode"
    assert requests.put(url, data="quota", timeout=30).json()["mode"] == "quota"
    assert requests.put(url, json={"mode": "slow", "seconds": 2}, timeout=30).json()["seconds"] == 2
    assert sandbox.mode("sendgrid")["mode"] == "slow"
    assert requests.delete(f"{sandbox.control}/modes", timeout=30).json()["sendgrid"] == {"mode": "ok"}
    overview = requests.get(f"{sandbox.control}/", timeout=30).json()
    assert set(overview["providers"]) == set(ALL)
    assert "drop_answer" in overview["modes"]


@pytest.mark.parametrize(
    ("provider", "wanted", "status", "told"),
    [
        ("sendgrid", "broken", 422, "rate_limited"),
        ("yahoo", "ok", 404, "sendgrid, postmark"),
        ("sendgrid", '{"mode": "down", "share": 0.5}', 422, "does not take"),
        ("sendgrid", '{"mode": "slow", "seconds": "x"}', 422, "seconds must be a number"),
        ("sendgrid", '{"mode": "error", "share": 2}', 422, "share must be a number from 0 to 1"),
        ("sendgrid", '{"mode": "error", "domains": "x.example"}', 422, "list of domain names"),
        ("sendgrid", '{"mode"', 422, "neither JSON"),
    ],
)
def test_refuses_an_unknown_mode_with_the_choices(
    sandbox: Sandbox, provider: str, wanted: str, status: int, told: str
) -> None:
    answer = requests.put(f"{sandbox.control}/providers/{provider}/mode", data=wanted, timeout=30)
    assert answer.status_code == status
    assert told in answer.json()["error"]


def test_refuses_unknown_paths_and_filters_in_json(sandbox: Sandbox) -> None:
    assert "error" in requests.get(f"{sandbox.control}/nothing", timeout=30).json()
    for query in ("colour=red", "limit=-1", "provider=yahoo"):
        answer = requests.get(f"{sandbox.control}/inbox?{query}", timeout=30)
        assert answer.status_code == 400
        assert answer.json()["error"]


def test_the_helper_says_what_the_control_port_said(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="unknown mode 'lazy'"):
        sandbox.set_mode("smtp", "lazy")
    with pytest.raises(SandboxError, match="0 of 1 mails"):
        sandbox.wait_for(1, timeout_s=0)
