"""The smallest mail with everything usual in it, as each HTTP provider wants it.

For trying the sandbox by hand, for its tests and for measuring it alone. Not for the provider clients:
they are written from the documentation on their own, so that they and the sandbox check each other.
"""

from __future__ import annotations

import base64
import json
import smtplib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from email.message import EmailMessage
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlencode

from flute_server.sandbox import mailgun, postmark, sendgrid, smtp, sparkpost

Address = tuple[str, int]

SEND_PATHS = {
    "sendgrid": "/v3/mail/send",
    "postmark": "/email",
    "sparkpost": "/api/v1/transmissions",
    "mailgun": f"/v3/{mailgun.DOMAIN}/messages",
}
CHECK_PATHS = {
    "sendgrid": "/v3/scopes",
    "postmark": "/server",
    "sparkpost": "/api/v1/account",
    "mailgun": f"/v3/domains/{mailgun.DOMAIN}",
}
HEADERS: Mapping[str, Mapping[str, str]] = {
    "sendgrid": {"Authorization": f"Bearer {sendgrid.API_KEY}"},
    "postmark": {"X-Postmark-Server-Token": postmark.SERVER_TOKEN, "Accept": "application/json"},
    "sparkpost": {"Authorization": sparkpost.API_KEY},
    "mailgun": {"Authorization": "Basic " + base64.b64encode(f"api:{mailgun.API_KEY}".encode()).decode()},
}


class Reply(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:  # noqa: ANN401 - whatever was answered
        return json.loads(self.text)


def send(
    provider: str,
    address: Address,
    fields: object = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 10,
) -> Reply:
    """One call with these fields (or octets as they are), this provider's way. Headers add to the usual."""
    form = provider == "mailgun"
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    fields = body(provider) if fields is None else fields
    if not isinstance(fields, bytes):
        fields = (urlencode(_pairs(fields), doseq=True) if form else json.dumps(fields)).encode()
    usual = {"Content-Type": kind, **HEADERS[provider], **(headers or {})}
    return request(address, "POST", SEND_PATHS[provider], usual, content=fields, timeout_s=timeout_s)


def check(provider: str, address: Address) -> Reply:
    """The call that only tries the credentials."""
    return request(address, "GET", CHECK_PATHS[provider], HEADERS[provider])


def request(
    address: Address,
    method: str,
    path: str,
    headers: Mapping[str, str],
    *,
    content: bytes | None = None,
    timeout_s: float = 10,
) -> Reply:
    """Any call, on a connection of its own."""
    with closing(HTTPConnection(*address, timeout=timeout_s)) as connection:
        connection.request(method, path, content, dict(headers))
        response = connection.getresponse()
        return Reply(response.status, dict(response.headers), response.read().decode())


def login(address: Address, password: str = smtp.PASSWORD) -> smtplib.SMTP:
    """An open SMTP session."""
    client = smtplib.SMTP(*address, timeout=10)
    try:
        client.login(smtp.USERNAME, password)
    except smtplib.SMTPException:
        client.close()
        raise
    return client


def submit(
    address: Address, to: Sequence[str] = ("ada@example.com",), mail: EmailMessage | None = None
) -> Mapping[str, tuple[int, bytes]]:
    """One mail over SMTP; the refused recipients with the reply."""
    with login(address) as client:
        return client.send_message(mail or message(), to_addrs=list(to), mail_options=["BODY=8BITMIME"])


def message(**fields: str) -> EmailMessage:
    """The mail as MIME; `fields` are headers, with _ for -."""
    mail = EmailMessage()
    usual = {
        "From": "News <news@example.org>",
        "To": "ada@example.com",
        "Subject": "Hello",
        "Date": "Thu, 1 Jan 2026 00:00:00 +0000",
    }
    for name, value in {**usual, **fields}.items():
        mail[name.replace("_", "-")] = value
    mail.set_content("hi")
    mail.add_alternative("<p>hi</p>", subtype="html")
    return mail


def body(provider: str, to: Sequence[str] = ("ada@example.com",)) -> dict[str, Any]:
    """Fields of the call: JSON for all but Mailgun, which takes a form."""
    return _BODIES[provider](to)


def _sendgrid(to: Sequence[str]) -> dict[str, Any]:
    return {
        "personalizations": [{"to": [{"email": email} for email in to], "custom_args": {"flute_id": "em_1"}}],
        "from": {"email": "news@example.org", "name": "News"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "hi"}, {"type": "text/html", "value": "<p>hi</p>"}],
        "categories": ["welcome"],
    }


def _postmark(to: Sequence[str]) -> dict[str, Any]:
    return {
        "From": "News <news@example.org>",
        "To": ", ".join(to),
        "Subject": "Hello",
        "TextBody": "hi",
        "HtmlBody": "<p>hi</p>",
        "Tag": "welcome",
        "Metadata": {"flute_id": "em_1"},
    }


def _sparkpost(to: Sequence[str]) -> dict[str, Any]:
    header = ", ".join(to)
    return {
        "recipients": [{"address": {"email": email, "header_to": header}} for email in to],
        "content": {
            "from": {"email": "news@example.org", "name": "News"},
            "subject": "Hello",
            "text": "hi",
            "html": "<p>hi</p>",
        },
        "metadata": {"flute_id": "em_1"},
        "campaign_id": "welcome",
    }


def _mailgun(to: Sequence[str]) -> dict[str, Any]:
    return {
        "from": "News <news@example.org>",
        "to": list(to),
        "subject": "Hello",
        "text": "hi",
        "html": "<p>hi</p>",
        "o:tag": "welcome",
        "v:flute_id": "em_1",
    }


def _pairs(fields: object) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise TypeError("a form has named fields")
    return fields


_BODIES: Mapping[str, Callable[[Sequence[str]], dict[str, Any]]] = {
    "sendgrid": _sendgrid,
    "postmark": _postmark,
    "sparkpost": _sparkpost,
    "mailgun": _mailgun,
}
