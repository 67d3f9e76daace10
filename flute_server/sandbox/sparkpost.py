"""SparkPost's /api/v1/transmissions as the fact sheet (section 3) tells it."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import randrange
from typing import Any

from flute_server.sandbox import checks, sparkpost_lookup
from flute_server.sandbox.checks import Fault, words
from flute_server.sandbox.http import Answer, Call, HttpProvider, Received, Refused, as_json, parse_json
from flute_server.sandbox.inbox import Entry
from flute_server.sandbox.mail import (
    Address,
    AddressError,
    Attachment,
    Mail,
    is_address,
    parse_list,
    parse_mailbox,
)
from flute_server.sandbox.modes import Mode
from flute_server.sandbox.sparkpost_events import SparkPostVoice

FIELDS = words("options recipients content metadata campaign_id description substitution_data return_path")
RECIPIENT = words("address tags metadata substitution_data return_path")
CONTENT = words("from subject text html amp_html reply_to headers attachments inline_images")
UNPLAYED_CONTENT = frozenset({"email_rfc822", "template_id"})
SWITCHES = words(
    "open_tracking initial_open click_tracking transactional sandbox skip_suppression inline_css"
    " perform_substitutions"
)
OPTIONS = SWITCHES | {"start_time", "ip_pool"}
# 3.8: headers with a field of their own; and List-Unsubscribe, which SparkPost replaces by its own without
# a word. Here that is an error, for it would be lost.
FORBIDDEN_HEADERS = words("content-type content-transfer-encoding to from subject reply-to list-unsubscribe")
MAX_RECIPIENTS = 10_000
MAX_METADATA_BYTES = 10 * 1024
MAX_SUBSTITUTION_BYTES = 100 * 1024
MAX_AHEAD = timedelta(days=3)
API_KEY = "sandbox-sparkpost-key"
# 3.1: the key alone, or Basic with the key as user and no password.
_AUTHORIZATIONS = (API_KEY, "Basic " + base64.b64encode(f"{API_KEY}:".encode()).decode())
ROUTES = {"/api/v1/transmissions": "POST", "/api/v1/account": "GET", sparkpost_lookup.PATH: "GET"}
# 3.3: codes for what is wrong with a field.
CODES = {"type": "1300", "unknown": "1300", "missing": "1400", "value": "1603"}


class SparkPost(HttpProvider):
    """Plays POST /api/v1/transmissions, GET /api/v1/account and GET /api/v1/events/message."""

    name = "sparkpost"
    credentials = {"api_key": API_KEY}  # noqa: RUF012 - ClassVar in the base
    max_bytes = 20 * 1024 * 1024
    voice = SparkPostVoice

    def check_route(self, method: str, path: str) -> None:
        if path not in ROUTES:
            raise Refused(_error(404, "Resource could not be found"))
        if method != ROUTES[path]:
            raise Refused(_error(405, f"this address takes {ROUTES[path]} only"))

    def authenticate(self, call: Call) -> None:
        given = call.headers.get("Authorization", "").encode()
        if not any(hmac.compare_digest(given, wanted.encode()) for wanted in _AUTHORIZATIONS):
            raise Refused(_error(401, "Unauthorized."))

    def receive(self, call: Call) -> Received:
        if call.method == "GET":
            return Received(self._look_up(call.path))
        _check_negotiation(call)
        data = parse_json(call.body, _not_json)
        try:
            mail = _mail(data)
        except Fault as fault:
            code = fault.kind if fault.kind.isdecimal() else CODES[fault.kind]
            raise Refused(_error(422, fault.text, code, str(fault))) from fault
        return _received(mail, len(mail.recipients))

    def _look_up(self, path: str) -> Answer:
        """What became of mails; or the account that is asked."""
        if path.partition("?")[0] != sparkpost_lookup.PATH:
            return Answer(200, as_json({"results": {"company_name": "Sandbox", "status": "active"}}))
        try:
            found = sparkpost_lookup.search(self.inbox, self.webhook.voice.tell, path, time.time())
        except Fault as fault:
            raise Refused(_error(400, "invalid params", CODES[fault.kind], str(fault))) from fault
        return Answer(200, as_json(found))

    def read(self, entry: Entry) -> Mail:
        mail = _mail(parse_json(entry.raw or b"", _not_json))
        mail.recipients = entry.recipients
        return mail

    def too_large(self) -> Answer:
        return _error(413, "the transmission is larger than 20 MB")

    def partial(self, mode: Mode, received: Received) -> Received | None:
        """3.2: 200 with code 2000 and the refused addresses in text, as long as one is accepted."""
        if mode.name != "reject_recipient":
            return None
        mail = received.mails[0]
        bad = mode.concerned(mail.recipients)
        mail.recipients = tuple(address for address in mail.recipients if address not in bad)
        return _received(mail, len(mail.recipients), bad) if mail.recipients else None

    def refusal(self, mode: Mode, mails: tuple[Mail, ...]) -> Answer:
        return REFUSALS[mode.name](mode, mails)


def _error(status: int, message: str, code: str = "", description: str = "") -> Answer:
    """3.3: the body of every failure; `code` is a string and may be absent."""
    error = {"message": message}
    if description:
        error["description"] = description
    if code:
        error["code"] = code
    return Answer(status, as_json({"errors": [error]}))


def _not_json(text: str) -> Refused:
    """3.3: 1305 for a body that is not UTF-8, 1300 for one that is not JSON."""
    if "UTF-8" in text:
        return Refused(_error(400, text, "1305"))
    return Refused(_error(422, text, "1300"))


def _no_valid_recipients(mode: Mode, mails: tuple[Mail, ...]) -> Answer:
    bad = ", ".join(address for mail in mails for address in mail.recipients)
    return _error(400, "no valid recipients", "5002", f"refused: {bad}")


REFUSALS: Mapping[str, Callable[[Mode, tuple[Mail, ...]], Answer]] = {
    "error": lambda mode, _: _error(mode.status or 500, "internal error", "1500"),
    "rate_limited": lambda *_: _error(429, "Too many requests"),
    "unauthorized": lambda *_: _error(401, "Unauthorized."),
    "quota": lambda *_: _error(420, "Exceed Sending Limit (daily)", "2102", "nothing was sent"),
    "sender_unverified": lambda *_: _error(
        400, "Unconfigured Sending Domain", "7001", "the sending domain is not verified"
    ),
    "reject_message": lambda *_: _error(400, "Message generation rejected", "1902", "content policy"),
    "reject_recipient": _no_valid_recipients,
}


def _received(mail: Mail, accepted: int, refused: list[str] | None = None) -> Received:
    transmission = str(randrange(10**16, 10**17))  # noqa: S311 - an id, not a secret
    results: dict[str, object] = {
        "id": transmission,
        "total_accepted_recipients": accepted,
        "total_rejected_recipients": len(refused or ()),
    }
    answer: dict[str, object] = {"results": results}
    if refused:
        faults = [
            {"message": "invalid recipient", "description": f"refused: {a}", "code": "2000"} for a in refused
        ]
        results["rcpt_to_errors"] = faults
        answer["errors"] = [{"message": "some recipients were refused", "code": "2000"}]
    return Received(Answer(200, as_json(answer)), (mail,), (transmission,))


def _check_negotiation(call: Call) -> None:
    if call.content_type != "application/json":
        raise Refused(_error(415, "Content-Type must be application/json", "1700"))
    accept = call.headers.get("Accept", "*/*")
    if not any(kind in accept for kind in ("application/json", "application/*", "*/*")):
        raise Refused(_error(406, "the answer would be application/json", "1800"))


def _mail(data: object) -> Mail:
    """The transmission, checked. Raises Fault; a `kind` in digits is SparkPost's own code."""
    body = checks.obj(data, "", FIELDS, ("recipients", "content"))
    options = _options(body.get("options", {}))
    metadata = _limited(body.get("metadata", {}), "metadata", MAX_METADATA_BYTES)
    _limited(body.get("substitution_data", {}), "substitution_data", MAX_SUBSTITUTION_BYTES)
    campaign = checks.line(body["campaign_id"], "campaign_id") if "campaign_id" in body else ""
    if len(campaign.encode()) > 64:
        raise Fault("campaign_id", "must be at most 64 bytes")
    if "description" in body:
        checks.string(body["description"], "description")
    return_path = _email(body["return_path"], "return_path") if "return_path" in body else ""
    content = _content(body["content"], options)
    mail = Mail(
        sender=_sender(content["from"]),
        reply_to=_list(content["reply_to"], "content.reply_to") if "reply_to" in content else (),
        subject=content["subject"],
        text=content.get("text", ""),
        html=content.get("html", ""),
        headers=content.get("headers", {}),
        attachments=(*_files(content, "attachments"), *_files(content, "inline_images")),
        tags=(campaign,) if campaign else (),
        metadata=metadata,
        envelope_from=return_path,
        send=not options.get("sandbox", False),
    )
    _address_to(mail, body["recipients"])
    return mail


def _address_to(mail: Mail, recipients: object) -> None:
    """3.1: every receiver is an entry; header_to is the To line it sees, content.headers.Cc the Cc line."""
    found = [
        _recipient(item, field) for field, item in checks.array(recipients, "recipients", MAX_RECIPIENTS)
    ]
    mail.recipients = tuple(address.email for address, _, _ in found)
    mail.recipient_metadata = {address.email.lower(): own for address, _, own in found if own}
    shown: dict[str, Address] = {}
    for address, header_to, _ in found:
        for named in header_to or (address,):
            shown.setdefault(named.email.lower(), named)
    mail.to = tuple(shown.values())
    copy = next((value for name, value in mail.headers.items() if name.lower() == "cc"), "")
    mail.cc = _list(copy, "content.headers.Cc") if copy else ()
    mail.headers = {name: value for name, value in mail.headers.items() if name.lower() != "cc"}
    named_ones = {address.email.lower() for address in (*mail.to, *mail.cc)}
    mail.bcc = tuple(address for address, _, _ in found if address.email.lower() not in named_ones)


def _recipient(item: object, field: str) -> tuple[Address, tuple[Address, ...], dict[str, Any]]:
    """Address, header_to and metadata of its own, which win over the transmission's."""
    data = checks.obj(item, field, RECIPIENT, ("address",))
    where = f"{field}.address"
    address = checks.obj(data["address"], where, {"email", "name", "header_to"}, ("email",))
    if "name" in address and "header_to" in address:
        raise Fault(where, "name and header_to exclude each other")
    email = _email(address["email"], f"{where}.email")
    name = checks.line(address["name"], f"{where}.name", empty=True) if "name" in address else ""
    for tag_field, tag in checks.array(data.get("tags", []), f"{field}.tags", 10, 0):
        checks.line(tag, tag_field)
    own = _limited(data.get("metadata", {}), f"{field}.metadata", MAX_METADATA_BYTES)
    _limited(data.get("substitution_data", {}), f"{field}.substitution_data", MAX_SUBSTITUTION_BYTES)
    header_to = _list(address["header_to"], f"{where}.header_to") if "header_to" in address else ()
    return Address(email, name), header_to, own


def _email(value: object, field: str) -> str:
    email = checks.line(value, field)
    if not is_address(email):
        raise Fault(field, f"{email!r} is not a valid email address")
    return email


def _list(value: object, field: str) -> tuple[Address, ...]:
    try:
        return parse_list(checks.line(value, field))
    except AddressError as error:
        raise Fault(field, f"{str(error)!r} is not a valid email address") from error


def _sender(value: object) -> Address:
    """3.1: a string or {email, name}. 3.3: several From addresses are 7001, a sending domain fault."""
    if isinstance(value, str):
        try:
            return parse_mailbox(checks.line(value, "content.from"))
        except AddressError as error:
            raise Fault("content.from", "is not one email address") from error
    data = checks.obj(value, "content.from", {"email", "name"}, ("email",))
    name = checks.line(data["name"], "content.from.name", empty=True) if "name" in data else ""
    return Address(_email(data["email"], "content.from.email"), name)


def _limited(value: object, field: str, maximum: int) -> dict[str, Any]:
    """3.4: objects with a cap in bytes; over it 2002 (metadata) or 2007 (substitution data)."""
    data = checks.obj(value, field)
    if data and len(as_json(data)) > maximum:
        raise Fault(field, f"is over {maximum} bytes", "2007" if "substitution" in field else "2002")
    return data


def _options(value: object) -> dict[str, Any]:
    options = checks.obj(value, "options", OPTIONS)
    for name in options.keys() & SWITCHES:
        checks.boolean(options[name], f"options.{name}")
    if "start_time" in options:
        _check_start(checks.string(options["start_time"], "options.start_time"))
    return options


def _check_start(text: str) -> None:
    try:
        start = datetime.fromisoformat(text)
    except ValueError as error:
        raise Fault("options.start_time", "is not YYYY-MM-DDTHH:MM:SS±HH:MM") from error
    if start.tzinfo is None or start > datetime.now(UTC) + MAX_AHEAD:
        raise Fault("options.start_time", "must have an offset and lie at most 3 days ahead")


def _content(value: object, options: dict[str, Any]) -> dict[str, Any]:
    """Required parts, no forbidden ones, and no template language that was not meant (3.1)."""
    content = checks.obj(value, "content", CONTENT | UNPLAYED_CONTENT)
    for name in UNPLAYED_CONTENT & content.keys():
        raise Fault(f"content.{name}", "is not played by the sandbox", "unknown")
    checks.obj(content, "content", None, ("from", "subject"))
    checks.line(content["subject"], "content.subject")
    bodies = content.keys() & {"text", "html", "amp_html"}
    for name in bodies:
        checks.string(content[name], f"content.{name}")
    if not bodies:
        raise Fault("content", "at least one of text, html and amp_html is required", "missing")
    _check_headers(content.get("headers", {}))
    if options.get("perform_substitutions", True):
        for name in (*bodies, "subject"):
            _check_template(content[name], f"content.{name}")
    return content


def _check_headers(value: object) -> None:
    """3.8: 3002 is a bad header; values are plain UTF-8, never RFC 2047; `{{` is replaced in any case."""
    for name, text in checks.obj(value, "content.headers").items():
        field = f"content.headers.{name}"
        checks.header_name(name, "content.headers")
        if name.lower() in FORBIDDEN_HEADERS:
            raise Fault(field, "is not allowed as a custom header", "3002")
        if "=?" in checks.line(text, field, empty=True):
            raise Fault(field, "must be plain UTF-8, not encoded words", "3002")
        _check_template(text, field)


def _check_template(text: str, field: str) -> None:
    """The real one would replace it, mostly by nothing."""
    if "{{" in text:
        raise Fault(field, "template syntax without a known substitution", "3000")


def _files(content: dict[str, Any], field: str) -> tuple[Attachment, ...]:
    """3.1: name up to 255 bytes, type, and base64 without line breaks; an image's name is its cid."""
    found = []
    for where, item in checks.array(content.get(field, []), f"content.{field}", minimum=0):
        data = checks.obj(item, where, {"name", "type", "data"}, ("name", "type", "data"))
        name = checks.line(data["name"], f"{where}.name")
        if len(name.encode()) > 255:
            raise Fault(f"{where}.name", "must be at most 255 bytes")
        kind = checks.line(data["type"], f"{where}.type")
        file = checks.file_content(data["data"], f"{where}.data")
        found.append(Attachment(name, kind, file, name if field == "inline_images" else ""))
    return tuple(found)
