"""Mailgun's /v3/{domain}/messages as the fact sheet (section 4) tells it."""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from secrets import token_hex
from urllib.parse import unquote

from flute_server.sandbox import checks
from flute_server.sandbox.checks import Fault
from flute_server.sandbox.form import File, Form, FormError, parse
from flute_server.sandbox.http import Answer, Call, HttpProvider, Received, Refused, as_json
from flute_server.sandbox.inbox import Entry
from flute_server.sandbox.mail import Address, AddressError, Attachment, Mail, ascii_local, parse_list
from flute_server.sandbox.mailgun_events import MailgunVoice
from flute_server.sandbox.mailgun_lookup import EventSearch
from flute_server.sandbox.modes import Mode

ONCE = frozenset({"from", "subject", "text", "html", "amp-html", "recipient-variables"})
ADDRESSES = ("to", "cc", "bcc")
OPTION_VALUES: Mapping[str, frozenset[str]] = {
    "o:tracking": frozenset({"yes", "no"}),
    "o:tracking-clicks": frozenset({"yes", "no", "htmlonly"}),
    "o:tracking-opens": frozenset({"yes", "no"}),
    "o:testmode": frozenset({"yes"}),
    "o:dkim": frozenset({"yes", "no"}),
    "o:require-tls": frozenset({"yes", "no", "true", "false"}),
    "o:skip-verification": frozenset({"yes", "no", "true", "false"}),
}
MAX_RECIPIENTS = 1000
# 4.1: 3 in the older documentation, 10 in the newer (unverified); 4.8 has the 400 for the fourth.
MAX_TAGS = 3
MAX_OPTION_BYTES = 16 * 1024
MAX_AHEAD_S = 3 * 86400
DOMAIN = "mg.sandbox.example"
API_KEY = "key-sandbox"
_EVENTS = re.compile(r"/v3/[^/]+/events(?:/([^/]+))?")
_AUTHORIZATION = "Basic " + base64.b64encode(f"api:{API_KEY}".encode()).decode()


class Mailgun(HttpProvider):
    """Plays POST /v3/{domain}/messages, GET /v3/domains/{domain} (or /v4) and GET /v3/{domain}/events."""

    name = "mailgun"
    credentials = {"api_key": API_KEY, "domain": DOMAIN}  # noqa: RUF012 - ClassVar in the base
    max_bytes = 25 * 1024 * 1024
    voice = MailgunVoice

    def check_route(self, method: str, path: str) -> None:
        """4.3: outside the API's base path it only says who it is, with 200."""
        if not path.startswith(("/v3/", "/v4/")):
            raise Refused(Answer(200, b"Mailgun Magnificent API", content_type="text/plain"))
        version, _, rest = path[1:].partition("/")
        sending = version == "v3" and rest.count("/") == 1 and rest.endswith("/messages")
        checking = rest.startswith("domains/") and rest.count("/") == 1
        asking = version == "v3" and _EVENTS.fullmatch(path) is not None
        if not sending and not checking and not asking:
            raise Refused(Answer(404, b"404 page not found\n", content_type="text/plain"))
        if method != ("POST" if sending else "GET"):
            raise Refused(_message(405, "method not allowed"))

    def authenticate(self, call: Call) -> None:
        given = call.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), _AUTHORIZATION.encode()):
            raise Refused(_forbidden())
        domain = _domain(call)
        if domain != DOMAIN:
            raise Refused(_message(404, f"Domain not found: {domain}"))

    def receive(self, call: Call) -> Received:
        if call.method == "GET":
            return Received(self._look_up(call.path))
        try:
            mails = _mails(parse(call.body, call.headers.get("Content-Type", "")))
        except FormError as error:
            raise Refused(_message(400, str(error))) from error
        except Fault as fault:
            raise Refused(_message(400, f"'{fault.field}' {fault.text}")) from fault
        message_id = f"<{time.strftime('%Y%m%d%H%M%S', time.gmtime())}.{token_hex(8)}@{DOMAIN}>"
        answer = {"id": message_id, "message": "Queued. Thank you."}
        return Received(Answer(200, as_json(answer)), mails, (message_id,) * len(mails))

    def _look_up(self, path: str) -> Answer:
        """What became of mails; or the domain that is asked for."""
        match = _EVENTS.fullmatch(path.partition("?")[0])
        if match is None:
            return Answer(200, as_json({"domain": {"name": DOMAIN, "state": "active"}}))
        events = EventSearch(self.inbox, self.webhook.voice.tell, f"{self.base_url}/v3/{DOMAIN}/events")
        try:
            now = time.time()
            found = events.turn_page(match[1], now) if match[1] else events.search(path, now)
        except Fault as fault:
            raise Refused(_message(400, f"'{fault.field}' parameter {fault.text}")) from fault
        return Answer(200, as_json(found))

    def read(self, entry: Entry) -> Mail:
        return _mails(parse(entry.raw or b"", entry.content_type))[entry.part]

    def too_large(self) -> Answer:
        return _message(413, "the message is larger than 25 MB")

    def refusal(self, mode: Mode, mails: tuple[Mail, ...]) -> Answer:
        return REFUSALS[mode.name](mode, mails)


def _message(status: int, text: str) -> Answer:
    """4.3: the body of every failure but those of authentication."""
    return Answer(status, as_json({"message": text}))


def _forbidden() -> Answer:
    """4.3: plain text, not JSON."""
    return Answer(401, b"Forbidden", content_type="text/plain")


def _invalid_recipient(mode: Mode, mails: tuple[Mail, ...]) -> Answer:
    """4.3: one bad address fails all; the field is in the text."""
    for mail in mails:
        for field, addresses in (("to", mail.to), ("cc", mail.cc), ("bcc", mail.bcc)):
            for address in addresses:
                if mode.concerns(address.email):
                    return _message(400, f"'{field}' parameter is not a valid address: {address.email}")
    return _message(400, "'to' parameter is not a valid address")


REFUSALS: Mapping[str, Callable[[Mode, tuple[Mail, ...]], Answer]] = {
    "error": lambda mode, _: _message(mode.status or 500, "Internal Server Error"),
    "rate_limited": lambda *_: _message(429, "Too many requests, try again later"),
    "unauthorized": lambda *_: _forbidden(),
    "quota": lambda *_: _message(402, "Request failed: the account's plan is used up or unpaid"),
    # 4.3 gives 403 to a domain that may not send; texts unverified.
    "sender_unverified": lambda *_: _message(403, f"Domain {DOMAIN} is not allowed to send: not verified"),
    "reject_message": lambda *_: _message(400, "'html' parameter is refused: message content"),
    "reject_recipient": _invalid_recipient,
}


def _domain(call: Call) -> str:
    """The domain in /v3/{domain}/messages or /v3/domains/{domain}."""
    parts = call.path.partition("?")[0].split("/")
    return unquote(parts[3] if parts[2] == "domains" and call.method == "GET" else parts[2])


def _mails(form: Form) -> tuple[Mail, ...]:
    """4.1: with recipient-variables each `to` gets a copy of its own that names nobody else."""
    mail = _mail(form)
    if "recipient-variables" not in form.texts:
        return (mail,)
    _check_variables(form.texts["recipient-variables"][0], mail)
    return tuple(replace(mail, to=(address,), recipients=(address.email,)) for address in mail.to)


def _check_variables(text: str, mail: Mail) -> None:
    try:
        variables = json.loads(text)
    except ValueError as error:
        raise Fault("recipient-variables", "parameter is not JSON") from error
    named = {address.email for address in mail.to}
    if not isinstance(variables, dict) or variables.keys() - named:
        raise Fault("recipient-variables", "parameter must be an object with addresses of 'to' as names")
    if mail.cc or mail.bcc:
        # What becomes of them the documentation does not say.
        raise Fault("recipient-variables", "parameter with 'cc' or 'bcc' is not played by the sandbox")


def _mail(form: Form) -> Mail:
    """The form, checked. Raises Fault."""
    _check_fields(form)
    groups = {name: _addresses(form, name) for name in ADDRESSES}
    recipients = tuple(address.email for group in groups.values() for address in group)
    if not groups["to"]:
        raise Fault("to", "parameter is missing")
    if len(recipients) > MAX_RECIPIENTS:
        raise Fault("to", f"holds too many recipients, the maximum is {MAX_RECIPIENTS}")
    headers = {name[2:]: values[0] for name, values in form.texts.items() if name.startswith("h:")}
    reply_to = next((value for name, value in headers.items() if name.lower() == "reply-to"), None)
    return Mail(
        sender=_sender(form),
        recipients=recipients,
        to=groups["to"],
        cc=groups["cc"],
        bcc=groups["bcc"],
        reply_to=_parse(reply_to, "h:Reply-To") if reply_to is not None else (),
        subject=form.texts.get("subject", [""])[0],
        text=form.texts.get("text", [""])[0],
        html=form.texts.get("html", [""])[0],
        headers={name: value for name, value in headers.items() if name.lower() != "reply-to"},
        attachments=_files(form),
        tags=_tags(form),
        metadata={name[2:]: values[0] for name, values in form.texts.items() if name.startswith("v:")},
        send="o:testmode" not in form.texts,
    )


def _check_fields(form: Form) -> None:
    """Only known fields, single ones once, at least one body, options within 16 KB (4.1)."""
    size = 0
    for name, values in form.texts.items():
        prefixed = name[:2] in {"h:", "v:", "o:"}
        if prefixed:
            size += sum(len(name.encode()) + len(value.encode()) for value in values)
            _check_prefixed(name, values)
        elif name not in ONCE and name not in ADDRESSES:
            raise Fault(name, _unknown(name), "unknown")
        if len(values) > 1 and (name in ONCE or name[:2] in {"h:", "v:"}):
            raise Fault(name, "parameter is given more than once")
    if size > MAX_OPTION_BYTES:
        raise Fault("o:, h: and v:", f"parameters are over {MAX_OPTION_BYTES} bytes together")
    if not any(form.texts.get(body, [""])[0] for body in ("text", "html", "amp-html")):
        raise Fault("text", "or 'html' or 'amp-html' parameter is needed")
    checks.line(form.texts.get("subject", [""])[0], "subject", empty=True)


def _unknown(name: str) -> str:
    if name in {"attachment", "inline"}:
        # 4.1: the real one drops a part without a filename and says nothing.
        return "part has no filename and would be dropped"
    return "parameter is not known to the sandbox"


def _check_prefixed(name: str, values: list[str]) -> None:
    if name.startswith("h:"):
        checks.header_name(name[2:], name)
        checks.line(values[0], name, empty=True)
    elif name == "v:":
        raise Fault(name, "parameter has no name")
    elif name == "o:deliverytime":
        _check_delivery_time(values[0])
    elif name.startswith("o:") and name != "o:tag":
        if name not in OPTION_VALUES:
            raise Fault(name, "parameter is not a known option", "unknown")
        if len(values) > 1 or values[0] not in OPTION_VALUES[name]:
            raise Fault(name, f"parameter is one of {', '.join(sorted(OPTION_VALUES[name]))}")


def _check_delivery_time(text: str) -> None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError as error:
        raise Fault("o:deliverytime", "parameter is not an RFC 2822 date") from error
    if moment.timestamp() > time.time() + MAX_AHEAD_S:
        raise Fault("o:deliverytime", "parameter is more than 3 days ahead")


def _parse(text: str, field: str) -> tuple[Address, ...]:
    try:
        return parse_list(checks.line(text, field, empty=True))
    except AddressError as error:
        raise Fault(field, f"parameter is not a valid address: {error}") from error


def _addresses(form: Form, field: str) -> tuple[Address, ...]:
    """4.1: repeatable, each a comma list."""
    return tuple(address for text in form.texts.get(field, ()) for address in _parse(text, field))


def _sender(form: Form) -> Address:
    """4.8: an internationalised From is taken and bounces oddly later; here it is an error."""
    if "from" not in form.texts:
        raise Fault("from", "parameter is missing")
    senders = _parse(form.texts["from"][0], "from")
    if len(senders) != 1 or not ascii_local(senders[0].email):
        raise Fault("from", "parameter is not a valid address")
    return senders[0]


def _tags(form: Form) -> tuple[str, ...]:
    """4.1: repeatable, ASCII, up to 128 characters."""
    tags = tuple(form.texts.get("o:tag", ()))
    if len(tags) > MAX_TAGS:
        raise Fault("o:tag", f"parameter is given more than {MAX_TAGS} times")
    if not all(tag and tag.isascii() and len(tag) <= 128 for tag in tags):
        raise Fault("o:tag", "parameter must be ASCII of 1 to 128 characters")
    return tags


def _files(form: Form) -> tuple[Attachment, ...]:
    """4.1: `attachment` and `inline` need a filename and a content type; an inline's filename is its cid."""
    found = []
    for field, files in form.files.items():
        if field not in {"attachment", "inline"}:
            raise Fault(field, "parameter does not take a file", "unknown")
        found += [_attachment(file, field) for file in files]
    return tuple(found)


def _attachment(file: File, field: str) -> Attachment:
    if not file.filename or not file.content_type:
        raise Fault(field, "part needs a filename and a content type")
    return Attachment(
        file.filename, file.content_type, file.content, file.filename if field == "inline" else ""
    )
