"""Postmark's /email and /email/batch as the fact sheet (section 2) tells them."""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from flute_server.sandbox import checks, postmark_lookup
from flute_server.sandbox.checks import Fault, words
from flute_server.sandbox.http import Answer, Call, HttpProvider, Received, Refused, as_json, parse_json
from flute_server.sandbox.inbox import Entry
from flute_server.sandbox.mail import (
    Address,
    AddressError,
    Attachment,
    Mail,
    ascii_local,
    parse_list,
)
from flute_server.sandbox.modes import Mode
from flute_server.sandbox.postmark_events import PostmarkVoice

FIELDS = words(
    "From To Cc Bcc ReplyTo Subject TextBody HtmlBody Headers Attachments Tag Metadata TrackOpens TrackLinks"
    " MessageStream"
)
# ErrorCode 411 (2.3); the list is from memory, these are certainly on it.
FORBIDDEN_FILES = words(
    "bat bin chm com cpl crt exe hlp hta inf ins isp jse lnk mdb pcd pif reg scr sct shs vba vbe vbs wsf"
    " wsh wsl msi msp mst"
)
TRACK_LINKS = frozenset({"None", "HtmlAndText", "HtmlOnly", "TextOnly"})
MIB = 1024 * 1024
MAX_MESSAGE_BYTES = 10 * MIB
MAX_BATCH_BYTES = 50 * MIB
MAX_BODY_BYTES = 5 * MIB
MAX_BATCH = 500
MAX_RECIPIENTS = 50
SERVER_TOKEN = "sandbox-server-token"  # noqa: S105 - what the sandbox accepts
# 2.7: validates and answers as if sent, delivers nothing.
TEST_TOKEN = "POSTMARK_API_TEST"  # noqa: S105
INACTIVE = "You tried to send to recipients that are marked as inactive after a bounce or a complaint."
ROUTES = {"/email": "POST", "/email/batch": "POST", "/server": "GET", postmark_lookup.PATH: "GET"}
_DETAILS = re.compile(postmark_lookup.PATH + r"/([^/]+)/details")


class Refusal(Exception):
    """One message is refused with an ErrorCode of section 2.3."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Postmark(HttpProvider):
    """Plays POST /email, POST /email/batch, GET /server and GET /messages/outbound."""

    name = "postmark"
    credentials = {"server_token": SERVER_TOKEN}  # noqa: RUF012 - ClassVar in the base
    max_bytes = MAX_BATCH_BYTES
    voice = PostmarkVoice
    refused_at_once = frozenset({"suppress"})

    def check_route(self, method: str, path: str) -> None:
        wanted = "GET" if _DETAILS.fullmatch(path) else ROUTES.get(path)
        if wanted is None:
            raise _refused(404, 0, "there is nothing at this address")
        if method != wanted:
            raise _refused(405, 0, f"this address takes {wanted} only")

    def authenticate(self, call: Call) -> None:
        given = call.headers.get("X-Postmark-Server-Token", "").encode()
        if not any(hmac.compare_digest(given, token.encode()) for token in (SERVER_TOKEN, TEST_TOKEN)):
            raise Refused(_unauthorized())

    def receive(self, call: Call) -> Received:
        _check_negotiation(call)
        if call.method == "GET":
            return Received(self._look_up(call.path))
        data = parse_json(call.body, lambda text: _refused(422, 402, text))
        test = call.headers.get("X-Postmark-Server-Token") == TEST_TOKEN
        if call.path.partition("?")[0].endswith("/batch"):
            return _receive_batch(data, test)
        try:
            mail = _mail(data, len(call.body))
        except Refusal as refusal:
            status = 413 if refusal.code == 0 else 422
            raise _refused(status, refusal.code or 300, refusal.text) from refusal
        mail.send = not test
        message_id = str(uuid4())
        return Received(Answer(200, as_json(_accepted(mail, message_id))), (mail,), (message_id,))

    def _look_up(self, path: str) -> Answer:
        """What has been sent; or the server that is asked."""
        bare = path.partition("?")[0]
        if bare == "/server":
            return Answer(200, as_json({"ID": 1, "Name": "sandbox", "DeliveryType": "Live"}))
        match = _DETAILS.fullmatch(bare)
        if match:
            found = postmark_lookup.details(self.inbox, match[1], time.time())
            return Answer(200, as_json(found)) if found else _error(422, 701, "This message does not exist.")
        try:
            return Answer(200, as_json(postmark_lookup.search(self.inbox, path)))
        except Fault as fault:
            raise _refused(422, 700, str(fault)) from fault

    def read(self, entry: Entry) -> Mail:
        data = parse_json(entry.raw or b"", lambda text: _refused(422, 402, text))
        if isinstance(data, dict):
            return _mail(data, 0)
        return [mail for mail in map(_try, data) if isinstance(mail, Mail)][entry.part]

    def too_large(self) -> Answer:
        return _error(413, 300, "the request is larger than 50 MB")

    def partial(self, mode: Mode, received: Received) -> Received | None:
        """2.2: OK with a list of the inactive addresses in the text, as long as one is active."""
        if mode.name != "suppress":
            return None
        answers = json.loads(received.answer.body)
        batch = isinstance(answers, list)
        taken = [answer for answer in (answers if batch else [answers]) if answer["ErrorCode"] == 0]
        for mail, answer in zip(received.mails, taken, strict=True):
            inactive = mode.concerned(mail.recipients)
            mail.recipients = tuple(address for address in mail.recipients if address not in inactive)
            mail.send = mail.send and bool(mail.recipients)
            _name_inactive(answer, inactive, all_of_them=not mail.recipients)
        if not batch and not received.mails[0].recipients:
            return None
        return received._replace(answer=Answer(200, as_json(answers)))

    def refusal(self, mode: Mode, mails: tuple[Mail, ...]) -> Answer:
        return REFUSALS[mode.name](mode, mails)


def _error(status: int, code: int, text: str) -> Answer:
    """2.3: the body of every failure."""
    return Answer(status, as_json({"ErrorCode": code, "Message": text}))


def _refused(status: int, code: int, text: str) -> Refused:
    return Refused(_error(status, code, text))


def _unauthorized() -> Answer:
    return _error(401, 10, "The server token is missing or wrong.")


def _invalid_recipient(mode: Mode, mails: tuple[Mail, ...]) -> Answer:
    """2.3: the field is in the text of ErrorCode 300; the address too."""
    for mail in mails:
        for field, addresses in (("To", mail.to), ("Cc", mail.cc), ("Bcc", mail.bcc)):
            for address in addresses:
                if mode.concerns(address.email):
                    return _error(422, 300, f"Invalid '{field}' address: '{address.email}'.")
    return _error(422, 300, "Invalid 'To' address.")


def _inactive(mode: Mode, mails: tuple[Mail, ...]) -> Answer:
    """2.3: all recipients are on the suppression list."""
    return _error(422, 406, INACTIVE)


REFUSALS: Mapping[str, Callable[[Mode, tuple[Mail, ...]], Answer]] = {
    "error": lambda mode, _: _error(mode.status or 500, 0, "An internal error occurred."),
    "rate_limited": lambda *_: _error(429, 429, "Too many requests, please slow down."),
    "unauthorized": lambda *_: _unauthorized(),
    "quota": lambda *_: _error(422, 405, "Not allowed to send: the credits of this account are used up."),
    "sender_unverified": lambda *_: _error(
        422, 400, "The 'From' address has no Sender Signature on this account."
    ),
    "reject_message": lambda *_: _error(422, 300, "Invalid 'HtmlBody': the content was refused."),
    "reject_recipient": _invalid_recipient,
    "suppress": _inactive,
}


def _check_negotiation(call: Call) -> None:
    """2.1 wants both headers; 2.3 has ErrorCode 409 for wrong ones and 415 for another content type."""
    if call.method == "POST" and call.content_type != "application/json":
        raise _refused(415, 409, "the header Content-Type must be application/json")
    if "application/json" not in call.headers.get("Accept", ""):
        raise _refused(422, 409, "the header Accept must be application/json")


def _accepted(mail: Mail, message_id: str) -> dict[str, object]:
    """2.2. `To` is absent when there is only cc or bcc."""
    now = time.time_ns()
    clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9))
    answer: dict[str, object] = {"To": ", ".join(address.email for address in mail.to)} if mail.to else {}
    return answer | {
        "SubmittedAt": f"{clock}.{now % 10**9 // 100:07d}Z",
        "MessageID": message_id,
        "ErrorCode": 0,
        "Message": "OK",
    }


def _name_inactive(answer: dict[str, object], inactive: list[str], all_of_them: bool) -> None:
    """2.2: the addresses come in lower case and end with a period."""
    if all_of_them:
        answer.clear()
        answer.update({"ErrorCode": 406, "Message": INACTIVE})
    elif inactive:
        listed = ", ".join(address.lower() for address in inactive)
        answer["Message"] = f"Message OK, but will not deliver to these inactive addresses: {listed}."


def _receive_batch(data: object, test: bool) -> Received:
    """2.2: HTTP 200 with an answer for each message in the order sent."""
    if not isinstance(data, list):
        raise _refused(422, 403, "a batch is an array of messages")
    if len(data) > MAX_BATCH:
        raise _refused(422, 410, f"a batch holds at most {MAX_BATCH} messages")
    answers: list[dict[str, object]] = []
    mails: list[Mail] = []
    ids: list[str] = []
    for item in data:
        found = _try(item)
        if isinstance(found, Refusal):
            answers.append({"ErrorCode": found.code or 300, "Message": found.text})
            continue
        found.send = not test
        mails.append(found)
        ids.append(str(uuid4()))
        answers.append(_accepted(found, ids[-1]))
    return Received(Answer(200, as_json(answers)), tuple(mails), tuple(ids))


def _try(item: object) -> Mail | Refusal:
    try:
        return _mail(item, len(as_json(item)))
    except Refusal as refusal:
        return refusal


def _mail(data: object, size: int) -> Mail:
    """One message, checked. Raises Refusal."""
    if size > MAX_MESSAGE_BYTES:
        raise Refusal(0, "the message is larger than 10 MB")
    try:
        return _checked(checks.obj(data, "", FIELDS))
    except Fault as fault:
        # 2.3: JSON of the wrong form is 403, a value that cannot be used 300.
        raise Refusal(403 if fault.kind in {"type", "unknown"} else 300, str(fault)) from fault


def _checked(body: dict[str, Any]) -> Mail:
    groups = {name: _addresses(body, name) for name in ("To", "Cc", "Bcc")}
    recipients = tuple(address.email for group in groups.values() for address in group)
    if not recipients:
        raise Refusal(300, "Zero recipients specified")
    if len(recipients) > MAX_RECIPIENTS:
        raise Refusal(300, f"'To', 'Cc' and 'Bcc' hold {len(recipients)} addresses, over {MAX_RECIPIENTS}")
    _check_switches(body)
    tag = checks.line(body["Tag"], "Tag", 1000, empty=True) if "Tag" in body else ""
    return Mail(
        sender=_sender(body),
        recipients=recipients,
        to=groups["To"],
        cc=groups["Cc"],
        bcc=groups["Bcc"],
        reply_to=_addresses(body, "ReplyTo"),
        subject=checks.line(body.get("Subject", ""), "Subject", 2000, empty=True),
        headers=dict(
            _header(item, field)
            for field, item in checks.array(body.get("Headers", []), "Headers", minimum=0)
        ),
        attachments=tuple(
            _attachment(item, field)
            for field, item in checks.array(body.get("Attachments", []), "Attachments", minimum=0)
        ),
        tags=(tag,) if tag else (),
        metadata=_metadata(body.get("Metadata", {})),
        **_bodies(body),
    )


def _addresses(body: dict[str, Any], field: str) -> tuple[Address, ...]:
    """2.1: a comma list in RFC 5322 form. 2.8: no internationalised local parts."""
    text = checks.line(body.get(field, ""), field, empty=True)
    if not text.strip():
        return ()
    try:
        addresses = parse_list(text)
    except AddressError as error:
        raise Refusal(300, f"Error parsing '{field}': '{error}'.") from error
    for address in addresses:
        if not ascii_local(address.email):
            raise Refusal(300, f"Invalid '{field}' address: '{address.email}'.")
    return addresses


def _sender(body: dict[str, Any]) -> Address:
    """2.8: several From addresses are cut to one by the real one; here that is an error."""
    senders = _addresses(body, "From")
    if len(senders) != 1:
        raise Refusal(300, f"Invalid 'From' address: there must be one, not {len(senders)}.")
    return senders[0]


def _bodies(body: dict[str, Any]) -> dict[str, Any]:
    """2.1: at least one body, each up to 5 MB."""
    bodies = {
        kind: checks.string(body.get(field, ""), field, empty=True)
        for kind, field in (("text", "TextBody"), ("html", "HtmlBody"))
    }
    if not any(bodies.values()):
        raise Refusal(300, "Provide either 'TextBody' or 'HtmlBody' or both.")
    if any(len(text.encode()) > MAX_BODY_BYTES for text in bodies.values()):
        raise Refusal(300, "'TextBody' or 'HtmlBody' is larger than 5 MB.")
    return bodies


def _check_switches(body: dict[str, Any]) -> None:
    if "TrackOpens" in body:
        checks.boolean(body["TrackOpens"], "TrackOpens")
    if "TrackLinks" in body and body["TrackLinks"] not in TRACK_LINKS:
        raise Refusal(300, f"'TrackLinks' is one of {', '.join(sorted(TRACK_LINKS))}.")
    if "MessageStream" in body:
        checks.line(body["MessageStream"], "MessageStream")


def _header(item: object, field: str) -> tuple[str, str]:
    data = checks.obj(item, field, {"Name", "Value"}, ("Name", "Value"))
    name = checks.header_name(checks.line(data["Name"], f"{field}.Name"), f"{field}.Name")
    return name, checks.line(data["Value"], f"{field}.Value", empty=True)


def _metadata(value: object) -> dict[str, str]:
    """2.1: flat, strings; keys up to 20 characters, and (unverified, the cautious reading) 10 keys of 80."""
    data = checks.obj(value, "Metadata")
    if len(data) > 10:
        raise Refusal(300, "'Metadata' has over 10 keys.")
    for key, item in data.items():
        if not key or len(key) > 20:
            raise Refusal(300, f"'Metadata' key '{key}' is empty or over 20 characters.")
        checks.string(item, f"Metadata.{key}", 80, empty=True)
    return data


def _attachment(item: object, field: str) -> Attachment:
    """2.1: ContentID of an inline part starts with `cid:`. 2.3: some types are forbidden (411)."""
    required = ("Name", "Content", "ContentType")
    data = checks.obj(item, field, {*required, "ContentID"}, required)
    name = checks.line(data["Name"], f"{field}.Name")
    if name.rpartition(".")[2].lower() in FORBIDDEN_FILES:
        raise Refusal(411, f"Attachments of this type are forbidden: {name}")
    content_id = checks.line(data.get("ContentID") or "", f"{field}.ContentID", empty=True)
    if content_id and not content_id.startswith("cid:"):
        raise Refusal(300, f"'{field}.ContentID' must start with cid:")
    return Attachment(
        filename=name,
        content_type=checks.line(data["ContentType"], f"{field}.ContentType"),
        content=checks.file_content(data["Content"], f"{field}.Content"),
        content_id=content_id.removeprefix("cid:"),
    )
