"""Postmark, POST /email (postmarkapp.com/developer/api/email-api; providers.md section 2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from flute_server.domain.capability import Capabilities, kept_tags
from flute_server.domain.event import ProviderEvent
from flute_server.domain.message import Attachment, Handoff
from flute_server.domain.outcome import ErrorKind, Reply, SendResult
from flute_server.providers import lookups, postmark_events
from flute_server.providers.addressing import addressees, ascii_email, mailbox, mailboxes, named_recipients
from flute_server.providers.base import Field, LookUp, Trace, WebhookRequest, dkim_field, return_path_field
from flute_server.providers.failures import SERVER_ERRORS, Fault, Rule, codes
from flute_server.providers.http import (
    RESERVED_HEADERS,
    HttpAnswer,
    HttpProvider,
    HttpRequest,
    base_url_field,
    encoded,
    our_ids,
    text_of,
)
from flute_server.providers.webhooks import basic_fields, check_basic, check_basic_fields

MAX_SUBJECT = 2000
MAX_BODY = 5 * 1024 * 1024
MAX_FOUND = 10  # messages of one search; an attempt makes one

_INACTIVE = re.compile(r"inactive", re.IGNORECASE)


class Postmark(HttpProvider):
    """One JSON call per mail. One message id for all recipients."""

    slug = "postmark"
    name = "Postmark"
    about = "Transactional mail over HTTP, with message streams that keep bulk mail apart."
    default_base_url = "https://api.postmarkapp.com"
    fields = (
        Field(
            "server_token",
            "Server API token",
            secret=True,
            help="In Postmark, under the server > API Tokens.",
        ),
        Field(
            "message_stream",
            "Message stream",
            required=False,
            default="outbound",
            help="The stream's id; broadcasts need a stream of their own.",
        ),
        base_url_field(default_base_url),
        *basic_fields("Postmark"),
        dkim_field("20260131pm"),
        return_path_field("pm-bounces"),
    )
    capabilities = Capabilities(
        max_bytes=10 * 1024 * 1024,
        max_recipients=50,
        forbidden_headers=RESERVED_HEADERS,
        max_tags=1,
        tag_octets=1000,
    )
    repeats_headers = True
    webhooks = True
    webhook_help = postmark_events.HELP
    # Its activity shows a mail within seconds; how late it may be is not documented.
    look_up_settles = timedelta(minutes=5)
    look_up_keeps = timedelta(days=7)  # 45 by default, 7 to 365 by the server's settings
    # ErrorCode decides; the status only where there is none. 300 is about any field, which its text names.
    failures = (
        Rule(ErrorKind.AUTH, codes=codes(10)),
        Rule(ErrorKind.SERVER, codes=codes(100)),
        Rule(ErrorKind.RECIPIENT, codes=codes(300), says=r"\b(invalid|parsing) '(to|cc|bcc)'"),
        Rule(ErrorKind.SENDER, codes=codes(300), says=r"'from'"),
        Rule(ErrorKind.REQUEST, codes=codes(300), says="metadata|tag|recipients"),
        Rule(ErrorKind.MESSAGE, codes=codes(300)),
        Rule(ErrorKind.SENDER, codes=codes(400, 401)),
        Rule(ErrorKind.REQUEST, codes=codes(402, 403, 409, 410)),
        Rule(ErrorKind.QUOTA, codes=codes(405)),
        Rule(ErrorKind.SUPPRESSED, codes=codes(406), whole=True),
        Rule(ErrorKind.REQUEST, codes=codes(411)),  # attachment type; another provider may carry it
        Rule(ErrorKind.SUSPENDED, codes=codes(412, 413)),
        Rule(ErrorKind.MESSAGE, codes=codes(*range(1100, 1200))),  # templates
        Rule(ErrorKind.AUTH, status=401),
        Rule(ErrorKind.TOO_LARGE, status=413),
        Rule(ErrorKind.RATE, status=429),
        Rule(ErrorKind.SERVER, status=SERVER_ERRORS),
    )

    @classmethod
    def validate(cls, credentials: Mapping[str, str]) -> dict[str, str]:
        values = super().validate(credentials)
        check_basic_fields(values)
        return values

    def authorization(self) -> dict[str, str]:
        return {"X-Postmark-Server-Token": self.credentials["server_token"]}

    def empty_send(self) -> HttpRequest:
        return HttpRequest.of_json("/email", {})

    def objections(self, handoff: Handoff) -> tuple[str, ...]:
        found = super().objections(handoff)
        message = handoff.message
        if len(message.subject) > MAX_SUBJECT:
            found += (f"Postmark takes subjects of up to {MAX_SUBJECT} characters",)
        if max(len(message.text.encode()), len(message.html.encode())) > MAX_BODY:
            found += ("Postmark takes up to 5 MB of text and of HTML",)
        return found

    def build(self, handoff: Handoff) -> HttpRequest:
        message = handoff.message
        fields = addressees(handoff)
        optional: dict[str, Any] = {
            "To": mailboxes(fields.to),  # may be absent when there are cc or bcc
            "Cc": mailboxes(fields.cc),
            "Bcc": mailboxes(fields.bcc),
            "ReplyTo": mailboxes(message.reply_to),
            "TextBody": message.text or ("" if message.html else " "),  # one body is required
            "HtmlBody": message.html,
            "Headers": [{"Name": name, "Value": value} for name, value in message.headers],
            "Attachments": [_attachment(attachment) for attachment in message.attachments],
            "Tag": "".join(kept_tags(self.capabilities, message.tags)),  # takes one
        }
        data = {
            "From": mailbox(message.sender),
            "Subject": message.subject,
            "Metadata": our_ids(handoff),
            "TrackOpens": message.track_opens,
            "TrackLinks": "HtmlAndText" if message.track_clicks else "None",
            "MessageStream": self.credentials["message_stream"],
        } | {name: value for name, value in optional.items() if value}
        return HttpRequest.of_json("/email", data)

    def accepted(self, answer: HttpAnswer, handoff: Handoff) -> SendResult | None:
        """ErrorCode 0, or none when delivery may be delayed. The text may list addresses left out."""
        data = answer.data
        text = text_of(data.get("Message"))
        if data.get("ErrorCode", 0) != 0 or not (data.get("MessageID") or text):
            return None
        status = str(answer.status)
        left_out = named_recipients(handoff, text) if _INACTIVE.search(text) else ()
        refused = Reply(ErrorKind.SUPPRESSED, status, text=text)
        taken = Reply(None, status, text=text, provider_message_id=text_of(data.get("MessageID")))
        return SendResult(taken, dict.fromkeys(left_out, refused))

    def faults(self, answer: HttpAnswer, handoff: Handoff) -> list[Fault]:
        data = answer.data
        if "ErrorCode" not in data:
            return []
        text = text_of(data.get("Message"))
        return [
            Fault(
                answer.status,
                code=text_of(data["ErrorCode"]),
                text=text,
                named=named_recipients(handoff, text),
            )
        ]

    def authenticate(self, request: WebhookRequest, now: datetime) -> None:
        check_basic(request.headers, self.credentials, self.name)

    def read_events(self, body: bytes) -> list[ProviderEvent]:
        return postmark_events.read(body)

    def look_up(self, trace: Trace) -> LookUp:
        """postmarkapp.com/developer/api/messages-api, "Outbound message search"; its filter by one metadata
        field is in the vendor's support article 1125."""
        asked = {
            "count": str(MAX_FOUND),
            "offset": "0",
            "metadata_flute_attempt": trace.attempt_id,
            "messagestream": self.credentials["message_stream"],
        }
        answer = lookups.ask(self, "/messages/outbound", asked, "Messages")
        if isinstance(answer, LookUp):
            return answer
        ours = [message for message in answer if _attempt(message) == trace.attempt_id]
        if ours:
            return _found(ours[0], trace)
        if answer:
            return LookUp(None, "Postmark answered with other mails than the one that was asked for")
        return lookups.not_found(self, trace)


def _found(message: dict[str, Any], trace: Trace) -> LookUp:
    """It has the mail; inactive addresses may have been left out of it."""
    message_id = text_of(message.get("MessageID"))
    listed = message.get("Recipients")
    taken = {text_of(address).lower() for address in listed} if isinstance(listed, list) else set()
    wanted = {ascii_email(address).lower() for address in trace.recipients}
    if taken and wanted and not taken & wanted:
        return LookUp(None, f"Postmark has the mail as {message_id}, but to others", message_id)
    return LookUp(True, f"Postmark has the mail as {message_id}", message_id)


def _attempt(message: dict[str, Any]) -> str:
    metadata = message.get("Metadata")
    return text_of(metadata.get("flute_attempt")) if isinstance(metadata, dict) else ""


def _attachment(attachment: Attachment) -> dict[str, str]:
    made = {
        "Name": attachment.filename or attachment.content_id or "attachment",
        "Content": encoded(attachment),
        "ContentType": attachment.content_type,
    }
    return made | {"ContentID": f"cid:{attachment.content_id}"} if attachment.inline else made
