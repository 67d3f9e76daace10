"""SendGrid, v3 Mail Send (docs.sendgrid.com, "Mail Send"; providers.md section 1)."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from flute_server.domain.capability import Capabilities, kept_tags
from flute_server.domain.event import ProviderEvent
from flute_server.domain.message import Address, Attachment, Handoff
from flute_server.domain.outcome import ErrorKind, Reply, SendResult
from flute_server.providers import sendgrid_events
from flute_server.providers.addressing import Addressees, addressees, ascii_email, named_recipients, quoted
from flute_server.providers.base import Field, WebhookRequest, dkim_field, return_path_field
from flute_server.providers.failures import SERVER_ERRORS, Fault, Rule
from flute_server.providers.http import (
    LONGEST_WAIT_S,
    RESERVED_HEADERS,
    HttpAnswer,
    HttpProvider,
    HttpRequest,
    base_url_field,
    encoded,
    entries,
    our_ids,
    text_of,
)

_RECIPIENT_FIELD = re.compile(r"personalizations\.(\d+)\.(to|cc|bcc)(?:\.(\d+))?")


class SendGrid(HttpProvider):
    """One JSON call per mail; one personalization for all, so that they see each other in To and Cc."""

    slug = "sendgrid"
    name = "SendGrid"
    about = "Twilio's service for transactional and marketing mail, over HTTP."
    default_base_url = "https://api.sendgrid.com/v3"
    fields = (
        Field("api_key", "API key", secret=True, help="Needs the right Mail Send; begins with SG."),
        base_url_field(default_base_url, "EU subusers: https://api.eu.sendgrid.com/v3."),
        sendgrid_events.KEY_FIELD,
        return_path_field("em1234"),
        dkim_field("s1"),
    )
    capabilities = Capabilities(
        max_bytes=30 * 1024 * 1024,
        max_recipients=1000,
        forbidden_headers=RESERVED_HEADERS | {"x-sg-id", "x-sg-eid", "received", "dkim-signature"},
        max_tags=10,
        tag_octets=255,
    )
    # 400 with another field is this provider's own rule or our call's form; a bare "Bad Request" without a
    # field usually means that some value was not a string (django-anymail).
    failures = (
        Rule(ErrorKind.RECIPIENT, status=400, field=r"^personalizations\.\d+\.(to|cc|bcc)\b"),
        Rule(ErrorKind.SENDER, status=400, field=r"^from\b"),
        Rule(ErrorKind.MESSAGE, status=400, field=r"^(content|subject)\b"),
        Rule(ErrorKind.QUOTA, status=401, says="maximum credits exceeded"),
        Rule(ErrorKind.AUTH, status=401),
        Rule(ErrorKind.SENDER, status=403, field=r"^from\b"),
        Rule(ErrorKind.SENDER, status=403, says="verified sender identity"),
        Rule(ErrorKind.SUSPENDED, status=403, says="suspend|disabled|deactivated|under review|banned"),
        Rule(ErrorKind.AUTH, status=403),
        Rule(ErrorKind.TOO_LARGE, status=413),
        Rule(ErrorKind.RATE, status=429),
        Rule(ErrorKind.SERVER, status=SERVER_ERRORS),
    )

    webhooks = True
    webhook_help = sendgrid_events.HELP

    @classmethod
    def validate(cls, credentials: Mapping[str, str]) -> dict[str, str]:
        values = super().validate(credentials)
        if values["webhook_public_key"]:
            sendgrid_events.public_key(values["webhook_public_key"])
        return values

    def authenticate(self, request: WebhookRequest, now: datetime) -> None:
        sendgrid_events.authenticate(self.credentials["webhook_public_key"], request, now)

    def read_events(self, body: bytes) -> list[ProviderEvent]:
        return sendgrid_events.read(body)

    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.credentials['api_key']}"}

    def empty_send(self) -> HttpRequest:
        return HttpRequest.of_json("/mail/send", {})

    def build(self, handoff: Handoff) -> HttpRequest:
        message = handoff.message
        data: dict[str, Any] = {
            "personalizations": _personalizations(handoff),
            "from": _address(message.sender),
            # An empty subject or body is refused; a space is the same to the reader.
            "subject": message.subject or " ",
            "content": _content(message.text, message.html),
            "tracking_settings": {
                # Explicit: what is left out follows the account's settings.
                "click_tracking": {"enable": message.track_clicks, "enable_text": message.track_clicks},
                "open_tracking": {"enable": message.track_opens},
            },
        }
        optional = {
            "reply_to_list": [_address(address) for address in message.reply_to],
            "headers": dict(message.headers),
            "attachments": [_attachment(attachment) for attachment in message.attachments],
            "categories": kept_tags(self.capabilities, message.tags),
        }
        data.update((name, value) for name, value in optional.items() if value)
        return HttpRequest.of_json("/mail/send", data)

    def accepted(self, answer: HttpAnswer, handoff: Handoff) -> SendResult | None:
        """202, or 200 in SendGrid's own sandbox mode; the body is empty."""
        if answer.status not in {200, 202} or answer.text.strip():
            return None
        message_id = answer.headers.get("X-Message-Id", "")
        return SendResult(Reply(None, str(answer.status), provider_message_id=message_id))

    def faults(self, answer: HttpAnswer, handoff: Handoff) -> list[Fault]:
        found = []
        for error in entries(answer.data.get("errors")):
            text, field = text_of(error.get("message")), text_of(error.get("field"))
            named = {*named_recipients(handoff, text), *_at(handoff, field)}
            found.append(Fault(answer.status, text=text, field=field, named=tuple(sorted(named))))
        return found

    def read(self, answer: HttpAnswer, handoff: Handoff) -> SendResult:
        """Rate limits may be told as the moment of their reset only (providers.md 1.3)."""
        if answer.status == 429 and answer.retry_after is None:
            reset = answer.headers.get("X-RateLimit-Reset", "")
            if re.fullmatch(r"[0-9]{1,11}", reset):
                wait = min(max(int(reset) - time.time(), 0.0), LONGEST_WAIT_S)
                answer = replace(answer, retry_after=wait)
        return super().read(answer, handoff)


def _personalizations(handoff: Handoff) -> list[dict[str, Any]]:
    """One for all. Blind copies alone get one each: `to` is required, and must not show them around."""
    fields = addressees(handoff)
    if fields.to:
        return [_personalization(fields, our_ids(handoff))]
    by_email = {r.address.email.lower(): r for r in reversed(handoff.recipients)}
    return [
        _personalization(
            Addressees((address,), (), ()),
            our_ids(replace(handoff, recipients=(by_email[address.email.lower()],))),
        )
        for address in fields.bcc
    ]


def _personalization(fields: Addressees, ids: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {"to": [_recipient(a) for a in fields.to], "custom_args": ids}
    if fields.cc:
        made["cc"] = [_recipient(a) for a in fields.cc]
    if fields.bcc:
        made["bcc"] = [_recipient(a) for a in fields.bcc]
    return made


def _recipient(address: Address) -> dict[str, str]:
    """In to, cc and bcc a comma or semicolon in a name must be quoted (providers.md 1.8)."""
    if "," in address.name or ";" in address.name:
        return _address(Address(address.email, f'"{quoted(address.name)}"'))
    return _address(address)


def _address(address: Address) -> dict[str, str]:
    email = {"email": ascii_email(address.email)}
    return email | {"name": address.name} if address.name else email


def _content(text: str, html: str) -> list[dict[str, str]]:
    """text/plain has to come first; parts must not be empty."""
    parts = [("text/plain", text), ("text/html", html)]
    given = [{"type": kind, "value": value} for kind, value in parts if value]
    return given or [{"type": "text/plain", "value": " "}]


def _attachment(attachment: Attachment) -> dict[str, str]:
    """`type` may not have parameters; the filename is required."""
    made = {
        "content": encoded(attachment),
        "type": attachment.content_type.partition(";")[0].strip(),
        "filename": attachment.filename or attachment.content_id or "attachment",
        "disposition": "attachment",
    }
    return (
        made | {"disposition": "inline", "content_id": attachment.content_id} if attachment.inline else made
    )


def _at(handoff: Handoff, field: str) -> tuple[str, ...]:
    """The recipients that a field path such as personalizations.0.to.1.email points at."""
    match = _RECIPIENT_FIELD.match(field)
    if match is None or match[3] is None:
        return ()
    try:
        address = _personalizations(handoff)[int(match[1])][match[2]][int(match[3])]
    except (LookupError, ValueError):
        return ()
    return named_recipients(handoff, address["email"])
