"""SendGrid's v3 mail/send as the fact sheet (section 1) tells it."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from secrets import token_urlsafe
from typing import Any

from flute_server.sandbox import checks
from flute_server.sandbox.checks import Fault, words
from flute_server.sandbox.http import Answer, Call, HttpProvider, Received, Refused, as_json, parse_json
from flute_server.sandbox.inbox import Entry
from flute_server.sandbox.mail import Address, Attachment, Mail, is_address
from flute_server.sandbox.modes import Mode
from flute_server.sandbox.sendgrid_events import SendGridVoice

# 1.8: headers that have a field of their own or belong to the provider.
FORBIDDEN_HEADERS = words(
    "x-sg-id x-sg-eid received dkim-signature content-type content-transfer-encoding"
    " to from subject reply-to cc bcc"
)
FIELDS = words(
    "personalizations from reply_to reply_to_list subject content attachments headers categories custom_args"
    " send_at batch_id mail_settings tracking_settings asm ip_pool_name template_id"
)
PERSONALIZATION = words(
    "to cc bcc subject headers custom_args substitutions dynamic_template_data send_at from"
)
SETTINGS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "mail_settings": {
        "sandbox_mode": frozenset({"enable"}),
        "bypass_list_management": frozenset({"enable"}),
        "bypass_bounce_management": frozenset({"enable"}),
        "bypass_spam_management": frozenset({"enable"}),
        "bypass_unsubscribe_management": frozenset({"enable"}),
        "footer": frozenset({"enable", "text", "html"}),
    },
    "tracking_settings": {
        "click_tracking": frozenset({"enable", "enable_text"}),
        "open_tracking": frozenset({"enable", "substitution_tag"}),
        "subscription_tracking": frozenset({"enable", "text", "html", "substitution_tag"}),
        "ganalytics": frozenset(
            {"enable", "utm_source", "utm_medium", "utm_term", "utm_content", "utm_campaign"}
        ),
    },
}
MAX_RECIPIENTS = 1000
MAX_CUSTOM_ARGS_BYTES = 10_000
MAX_AHEAD_S = 72 * 3600
API_KEY = "SG.sandbox-key"
_AUTHORIZATION = f"Bearer {API_KEY}"


class SendGrid(HttpProvider):
    """Plays POST /v3/mail/send and GET /v3/scopes."""

    name = "sendgrid"
    credentials = {"api_key": API_KEY}  # noqa: RUF012 - ClassVar in the base
    max_bytes = 30 * 1024 * 1024
    voice = SendGridVoice

    def check_route(self, method: str, path: str) -> None:
        wanted = {"/v3/mail/send": "POST", "/v3/scopes": "GET"}.get(path)
        if wanted is None:
            raise _refused(404, "there is nothing at this address")
        if method != wanted:
            raise _refused(405, f"this address takes {wanted} only")

    def authenticate(self, call: Call) -> None:
        given = call.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), _AUTHORIZATION.encode()):
            raise Refused(_unauthorized())

    def receive(self, call: Call) -> Received:
        if call.method == "GET":
            return Received(Answer(200, as_json({"scopes": ["mail.send"]})))
        _check_negotiation(call)
        data = parse_json(call.body, lambda _: _refused(400, "Bad Request"))
        try:
            mails = _mails(data)
        except Fault as fault:
            raise _refused(400, fault.text, fault.field or None) from fault
        message_id = token_urlsafe(16)
        # 1.7: its own sandbox mode validates, answers 200 instead of 202 and sends nothing.
        status = 202 if mails[0].send else 200
        return Received(Answer(status, b"", {"X-Message-Id": message_id}), mails, (message_id,) * len(mails))

    def read(self, entry: Entry) -> Mail:
        return _mails(parse_json(entry.raw or b"", lambda text: _refused(400, text)))[entry.part]

    def too_large(self) -> Answer:
        return _errors(413, "the request is larger than 30 MB")

    def refusal(self, mode: Mode, mails: tuple[Mail, ...]) -> Answer:
        return REFUSALS[mode.name](mode, mails)


def _errors(status: int, message: str, field: str | None = None) -> Answer:
    """1.3: the body of every failure."""
    return Answer(status, as_json({"errors": [{"message": message, "field": field, "help": None}]}))


def _refused(status: int, message: str, field: str | None = None) -> Refused:
    return Refused(_errors(status, message, field))


def _unauthorized() -> Answer:
    return _errors(401, "The provided authorization grant is invalid, expired, or revoked")


def _first_address(mode: Mode, mails: tuple[Mail, ...]) -> Answer:
    """1.3: recipient faults are told by the field, personalizations.N.to.N.email."""
    for index, mail in enumerate(mails):
        for kind, addresses in (("to", mail.to), ("cc", mail.cc), ("bcc", mail.bcc)):
            for place, address in enumerate(addresses):
                if mode.concerns(address.email):
                    field = f"personalizations.{index}.{kind}.{place}.email"
                    return _errors(400, f"The address {address.email} is not valid.", field)
    return _errors(400, "A recipient is not valid.", "personalizations")


REFUSALS: Mapping[str, Callable[[Mode, tuple[Mail, ...]], Answer]] = {
    "error": lambda mode, _: _errors(mode.status or 500, "An internal error occurred, please try again."),
    "rate_limited": lambda *_: _errors(429, "too many requests"),
    "unauthorized": lambda *_: _unauthorized(),
    "quota": lambda *_: _errors(401, "Maximum credits exceeded"),
    "sender_unverified": lambda *_: _errors(
        403, "The from address does not match a verified Sender Identity.", "from"
    ),
    "reject_message": lambda *_: _errors(400, "The content of this message was refused.", "content"),
    "reject_recipient": _first_address,
}


def _check_negotiation(call: Call) -> None:
    """1.3: 415 for another content type, 406 for an Accept that rules JSON out."""
    if call.content_type != "application/json":
        raise _refused(415, "the content type must be application/json")
    accept = call.headers.get("Accept", "*/*")
    if not any(kind in accept for kind in ("application/json", "application/*", "*/*")):
        raise _refused(406, "the answer would be application/json")


def _mails(data: object) -> tuple[Mail, ...]:
    """One mail for each personalization. Raises Fault."""
    body = checks.obj(data, "", FIELDS, ("personalizations", "from"))
    common = _common(body)
    mails = [
        _personalized(item, field, common)
        for field, item in checks.array(body["personalizations"], "personalizations", 1000)
    ]
    if sum(len(mail.recipients) for mail in mails) > MAX_RECIPIENTS:
        raise Fault("personalizations", f"over {MAX_RECIPIENTS} recipients")
    if "subject" not in body and not all(mail.subject for mail in mails):
        raise Fault("subject", "The subject is required.", "missing")
    return tuple(mails)


def _common(body: dict[str, Any]) -> Mail:
    """What all personalizations share."""
    parts = _content(body.get("content"))
    custom = _strings(body.get("custom_args", {}), "custom_args")
    _check_schedule(body, "")
    for name in ("batch_id", "ip_pool_name", "template_id"):
        if name in body:
            checks.string(body[name], name)
    if "asm" in body:
        asm = checks.obj(body["asm"], "asm", {"group_id", "groups_to_display"}, ("group_id",))
        checks.integer(asm["group_id"], "asm.group_id")
    dry_run = _settings(body)
    return Mail(
        sender=_sender(body["from"], "from"),
        reply_to=_reply_to(body),
        subject=checks.line(body["subject"], "subject") if "subject" in body else "",
        text=parts.get("text/plain", ""),
        html=parts.get("text/html", ""),
        headers=_headers(body.get("headers", {}), "headers"),
        attachments=_attachments(body.get("attachments")),
        tags=_categories(body.get("categories", [])),
        metadata=custom,
        send=not dry_run,
    )


def _personalized(item: object, field: str, common: Mail) -> Mail:
    """One envelope with the fields that differ for it; its own custom_args win (1.1)."""
    data = checks.obj(item, field, PERSONALIZATION, ("to",))
    groups = {kind: _addresses(data[kind], f"{field}.{kind}") for kind in ("to", "cc", "bcc") if kind in data}
    recipients = tuple(address.email for group in groups.values() for address in group)
    _check_unique(recipients, field)
    _check_schedule(data, field)
    own = _strings(data.get("custom_args", {}), f"{field}.custom_args")
    headers = _headers(data.get("headers", {}), f"{field}.headers")
    return Mail(
        sender=_sender(data["from"], f"{field}.from") if "from" in data else common.sender,
        recipients=recipients,
        to=groups["to"],
        cc=groups.get("cc", ()),
        bcc=groups.get("bcc", ()),
        reply_to=common.reply_to,
        subject=checks.line(data["subject"], f"{field}.subject") if "subject" in data else common.subject,
        text=common.text,
        html=common.html,
        headers={**common.headers, **headers},
        attachments=common.attachments,
        tags=common.tags,
        metadata={**common.metadata, **own},
        send=common.send,
    )


def _check_unique(recipients: tuple[str, ...], field: str) -> None:
    """1.4: no address twice among to, cc and bcc, whatever its case."""
    seen: set[str] = set()
    for email in recipients:
        if email.lower() in seen:
            raise Fault(field, f"Each email address must be unique between to, cc and bcc; {email} is not.")
        seen.add(email.lower())


def _check_schedule(data: dict[str, Any], field: str) -> None:
    if "send_at" in data:
        where = checks.join(field, "send_at")
        if checks.integer(data["send_at"], where) > time.time() + MAX_AHEAD_S:
            raise Fault(where, "must be within 72 hours from now")


def _address(value: object, field: str) -> Address:
    data = checks.obj(value, field, {"email", "name"}, ("email",))
    email = checks.line(data["email"], f"{field}.email")
    if not is_address(email):
        raise Fault(f"{field}.email", "Does not contain a valid address.")
    return Address(email, checks.line(data["name"], f"{field}.name", empty=True) if "name" in data else "")


def _addresses(value: object, field: str) -> tuple[Address, ...]:
    """Recipients; 1.8: an unquoted comma or semicolon in a name splits it into two addresses."""
    addresses = tuple(_address(item, where) for where, item in checks.array(value, field, MAX_RECIPIENTS))
    for index, address in enumerate(addresses):
        name = address.name
        quoted = len(name) > 1 and name[0] == name[-1] == '"'
        if not quoted and ("," in name or ";" in name):
            raise Fault(f"{field}.{index}.name", "must not contain a comma or semicolon outside quotes")
    return tuple(Address(a.email, a.name.strip('"')) for a in addresses)


def _sender(value: object, field: str) -> Address:
    address = _address(value, field)
    if not address.email.isascii():
        # 1.8: Unicode is not supported in the from address.
        raise Fault(f"{field}.email", "The from address must be ASCII.")
    return address


def _reply_to(body: dict[str, Any]) -> tuple[Address, ...]:
    """1.1: reply_to or reply_to_list, never both."""
    if "reply_to" in body and "reply_to_list" in body:
        raise Fault("reply_to", "reply_to and reply_to_list exclude each other")
    if "reply_to_list" in body:
        items = checks.array(body["reply_to_list"], "reply_to_list", 1000)
        return tuple(_address(item, field) for field, item in items)
    return (_address(body["reply_to"], "reply_to"),) if "reply_to" in body else ()


def _content(value: object) -> dict[str, str]:
    """1.1: at least one part, none empty, text/plain first, then text/html, then others."""
    if value is None:
        raise Fault("content", "Unless a template is used, content is required.", "missing")
    parts: dict[str, str] = {}
    ranks: list[int] = []
    for field, item in checks.array(value, "content", 10):
        data = checks.obj(item, field, {"type", "value"}, ("type", "value"))
        kind = checks.line(data["type"], f"{field}.type")
        if kind in parts:
            raise Fault(f"{field}.type", f"{kind} is given twice")
        parts[kind] = checks.string(data["value"], f"{field}.value")
        ranks.append({"text/plain": 0, "text/html": 1}.get(kind, 2))
    if ranks != sorted(ranks):
        raise Fault("content", "text/plain must come first, then text/html, then any other type")
    return parts


def _strings(value: object, field: str) -> dict[str, str]:
    """1.1, 1.3: custom_args values must be strings, else a bare Bad Request; under 10,000 bytes in all."""
    data = checks.obj(value, field)
    if not all(isinstance(item, str) for item in data.values()):
        raise Fault("", "Bad Request", "type")
    if len(as_json(data)) >= MAX_CUSTOM_ARGS_BYTES:
        raise Fault(field, f"must be under {MAX_CUSTOM_ARGS_BYTES} bytes")
    return data


def _headers(value: object, field: str) -> dict[str, str]:
    data = checks.obj(value, field)
    for name, text in data.items():
        checks.header_name(name, field)
        if name.lower() in FORBIDDEN_HEADERS:
            raise Fault(f"{field}.{name}", "is a reserved header")
        if not isinstance(text, str):
            raise Fault("", "Bad Request", "type")
        checks.line(text, f"{field}.{name}", empty=True)
    return data


def _categories(value: object) -> tuple[str, ...]:
    items = checks.array(value, "categories", 10, 0)
    categories = tuple(checks.line(item, field, 255) for field, item in items)
    if len(set(categories)) < len(categories):
        raise Fault("categories", "must be unique")
    return categories


def _attachments(value: object) -> tuple[Attachment, ...]:
    if value is None:
        return ()
    return tuple(_attachment(item, field) for field, item in checks.array(value, "attachments"))


def _attachment(item: object, field: str) -> Attachment:
    """1.1: filename required; an inline part has a content_id without angle brackets."""
    known = {"content", "type", "filename", "disposition", "content_id"}
    data = checks.obj(item, field, known, ("content", "filename"))
    disposition = data.get("disposition", "attachment")
    if disposition not in {"attachment", "inline"}:
        raise Fault(f"{field}.disposition", "must be attachment or inline")
    content_id = checks.line(data["content_id"], f"{field}.content_id") if "content_id" in data else ""
    if content_id[:1] == "<" or (disposition == "inline" and not content_id):
        raise Fault(f"{field}.content_id", "an inline part needs one, without angle brackets")
    return Attachment(
        filename=checks.line(data["filename"], f"{field}.filename"),
        content_type=checks.line(data["type"], f"{field}.type") if "type" in data else "",
        content=checks.file_content(data["content"], f"{field}.content"),
        content_id=content_id if disposition == "inline" else "",
    )


def _settings(body: dict[str, Any]) -> bool:
    """Known switches with booleans in them. True in SendGrid's own sandbox mode."""
    for group, known in SETTINGS.items():
        for name, value in checks.obj(body.get(group, {}), group, known).items():
            field = f"{group}.{name}"
            setting = checks.obj(value, field, known[name])
            for switch in ("enable", "enable_text"):
                if switch in setting:
                    checks.boolean(setting[switch], f"{field}.{switch}")
    sandbox: dict[str, Any] = body.get("mail_settings", {}).get("sandbox_mode", {})
    return bool(sandbox.get("enable"))
