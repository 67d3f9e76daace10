"""Mailgun, POST /{domain}/messages (documentation.mailgun.com, "Messages"; providers.md section 4)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from urllib.parse import quote

import requests.auth
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from flute_server.domain.capability import Capabilities, kept_tags
from flute_server.domain.event import ProviderEvent
from flute_server.domain.message import Attachment, Handoff
from flute_server.domain.outcome import ErrorKind, Reply, SendResult
from flute_server.providers import lookups, mailgun_events
from flute_server.providers.addressing import addressees, ascii_email, mailbox, mailboxes, named_recipients
from flute_server.providers.base import (
    CredentialError,
    Field,
    LookUp,
    Trace,
    WebhookRequest,
    dkim_field,
)
from flute_server.providers.failures import SERVER_ERRORS, Fault, Rule
from flute_server.providers.http import (
    RESERVED_HEADERS,
    HttpAnswer,
    HttpProvider,
    HttpRequest,
    base_url_field,
    our_ids,
    text_of,
)
from flute_server.providers.redaction import clip

MAX_FOUND = 100  # events of one search; Mailgun gives up to 300
MAX_OPTIONS = 16 * 1024  # octets of all o:, h: and v: fields together

# Addresses that mean themselves in a search; there, others could be read as an expression.
_PLAIN = re.compile(r"[A-Za-z0-9._+@-]+")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


class Mailgun(HttpProvider):
    """One form per mail, always multipart: cheaper than URL-encoding large bodies."""

    slug = "mailgun"
    name = "Mailgun"
    about = "Sinch's sending service, over HTTP, with a domain set up there; in the US or the EU."
    default_base_url = "https://api.mailgun.net/v3"
    fields = (
        Field("api_key", "API key", secret=True, help="The account's key or a sending key of the domain."),
        Field("domain", "Sending domain", help="As it stands in Mailgun, for example mg.example.org."),
        base_url_field(default_base_url, "EU: https://api.eu.mailgun.net/v3."),
        mailgun_events.KEY_FIELD,
        dkim_field("mx"),
    )
    capabilities = Capabilities(
        max_bytes=25 * 1024 * 1024,
        max_recipients=1000,
        forbidden_headers=RESERVED_HEADERS,
        # Delivered, though To is shown garbled (django-anymail): better than not at all.
        internationalized_recipient=True,
        max_tags=3,  # older documentation; the newer says 10, but a fourth was answered with 400
        tag_octets=128,
        ascii_tags=True,
        names_inline_files=False,
    )
    webhooks = True
    webhook_help = mailgun_events.HELP
    # "Event Polling" advises to trust a page of events once it is half an hour old.
    look_up_settles = timedelta(minutes=30)
    look_up_keeps = timedelta(hours=23)  # a day on free plans
    # A failed authentication is plain text ("Forbidden"); other failures are {"message": ...}.
    failures = (
        Rule(ErrorKind.TOO_LARGE, status=400, says=r"too many recipients|max(imum)?\b.{0,20}\brecipients"),
        Rule(
            ErrorKind.QUOTA, status=400, says="authorized recipients|not allowed to send|free account|paused"
        ),
        Rule(ErrorKind.SENDER, status=400, says=r"\bfrom\b.{0,5} parameter"),
        Rule(ErrorKind.RECIPIENT, status=400, says=r"\b(to|cc|bcc)\b.{0,5} parameter"),
        Rule(ErrorKind.REQUEST, status=400, says="tag"),
        Rule(ErrorKind.MESSAGE, status=400),
        Rule(ErrorKind.AUTH, status=401),
        Rule(ErrorKind.QUOTA, status=402),
        Rule(ErrorKind.SENDER, status=403, says="verified"),
        Rule(ErrorKind.QUOTA, status=403, says="authorized recipients|test purposes"),
        Rule(ErrorKind.SUSPENDED, status=403, says="disabled|suspend|deactivated|not allowed to send"),
        Rule(ErrorKind.AUTH, status=403),
        Rule(ErrorKind.SENDER, status=404),  # domain not in this account, or of the other region
        Rule(ErrorKind.TOO_LARGE, status=413),
        Rule(ErrorKind.RATE, status=429),
        Rule(ErrorKind.REQUEST, status=200, says="magnificent api"),  # base_url lacks /v3
        # A user reported 5xx for mail that was sent; only Mailgun's own word on a 503 is to be trusted.
        Rule(ErrorKind.SERVER, status=503, own=True),
        Rule(ErrorKind.AMBIGUOUS, status=SERVER_ERRORS),
    )

    @classmethod
    def validate(cls, credentials: Mapping[str, str]) -> dict[str, str]:
        values = super().validate(credentials)
        if not _DOMAIN.fullmatch(values["domain"]):
            raise CredentialError("domain", "domain is a domain name such as mg.example.org")
        return values

    def authorization(self) -> dict[str, str]:
        return {"Authorization": self._basic()}

    def derived_secrets(self) -> Iterable[str]:
        return (self._basic().partition(" ")[2],)

    def _basic(self) -> str:
        return requests.auth._basic_auth_str("api", self.credentials["api_key"])

    @property
    def _domain(self) -> str:
        return quote(self.credentials["domain"], safe="")

    def empty_send(self) -> HttpRequest:
        return self._form([("o:testmode", "yes")], [])

    def objections(self, handoff: Handoff) -> tuple[str, ...]:
        found = super().objections(handoff)
        options = sum(len(n) + len(v.encode()) for n, v in _fields(handoff) if n[1:2] == ":")
        if options > MAX_OPTIONS:
            found += (f"Mailgun takes up to {MAX_OPTIONS:,} octets of headers, tags and settings",)
        if not all(name.isascii() for name, _ in handoff.message.headers):
            found += ("Mailgun takes ASCII header names only",)
        return found

    def build(self, handoff: Handoff) -> HttpRequest:
        return self._form(_fields(handoff), [_file(a) for a in handoff.message.attachments])

    def _form(self, fields: Iterable[tuple[str, str]], files: list[RequestField]) -> HttpRequest:
        body, content_type = encode_multipart_formdata([*fields, *files])
        return HttpRequest(f"/{self._domain}/messages", body, content_type)

    def accepted(self, answer: HttpAnswer, handoff: Handoff) -> SendResult | None:
        """Events carry the id without its angle brackets."""
        message_id = text_of(answer.data.get("id")).strip("<>")
        text = text_of(answer.data.get("message"))
        return (
            SendResult(Reply(None, str(answer.status), text=text, provider_message_id=message_id))
            if message_id
            else None
        )

    def faults(self, answer: HttpAnswer, handoff: Handoff) -> list[Fault]:
        text = text_of(answer.data.get("message"))
        if answer.status == 200 and "Magnificent API" in answer.text:
            text = clip(answer.text)
        if not text:
            return []
        return [Fault(answer.status, text=text, named=named_recipients(handoff, text))]

    def authenticate(self, request: WebhookRequest, now: datetime) -> None:
        mailgun_events.authenticate(self.credentials["webhook_signing_key"], request.body, now)

    def read_events(self, body: bytes) -> list[ProviderEvent]:
        return mailgun_events.read(body)

    def webhook_token(self, body: bytes) -> str:
        return mailgun_events.token(body)

    def look_up(self, trace: Trace) -> LookUp:
        """documentation.mailgun.com, "Events": there is no documented filter for our variables.

        By the id if we have it, else by one recipient (whose case it may or may not keep), then by the id
        found, for what became of all recipients.
        """
        if trace.provider_message_id:
            return self._search(trace, {"message-id": trace.provider_message_id})
        found = LookUp(None, "Mailgun finds mails by recipient, and none can be asked for")
        plain = [email for email in map(ascii_email, trace.recipients) if _PLAIN.fullmatch(email)]
        for email in dict.fromkeys([*plain[:1], *(email.lower() for email in plain[:1])]):
            found = self._search(trace, {"recipient": email})
            if found.found is not False:
                break
        if not found.found or len(trace.recipients) == 1:
            return found
        everybody = self._search(trace, {"message-id": found.provider_message_id})
        return everybody if everybody.found else found

    def _search(self, trace: Trace, filters: Mapping[str, str]) -> LookUp:
        begin, end = lookups.window(trace)
        asked = {
            "begin": str(int(begin.timestamp())),
            "end": str(int(end.timestamp())),
            "limit": str(MAX_FOUND),
            **filters,
        }
        answer = lookups.ask(self, f"/{self._domain}/events", asked, "items")
        if isinstance(answer, LookUp):
            return answer
        return lookups.conclude(self, trace, mailgun_events.searched(answer), MAX_FOUND)


def _fields(handoff: Handoff) -> Iterator[tuple[str, str]]:
    message = handoff.message
    yield "from", mailbox(message.sender)
    yield from _recipients(handoff)
    yield "subject", message.subject
    if message.text or not message.html:
        yield "text", message.text or " "  # one body is required
    if message.html:
        yield "html", message.html
    if message.reply_to:
        yield "h:Reply-To", mailboxes(message.reply_to)
    for name, value in message.headers:
        yield f"h:{name}", value
    for tag in kept_tags(Mailgun.capabilities, message.tags):
        yield "o:tag", tag
    yield "o:tracking", _switch(message.track_opens or message.track_clicks)
    yield "o:tracking-opens", _switch(message.track_opens)
    yield "o:tracking-clicks", _switch(message.track_clicks)
    for name, value in our_ids(handoff).items():
        yield f"v:{name}", value


def _recipients(handoff: Handoff) -> Iterator[tuple[str, str]]:
    fields = addressees(handoff)
    if not fields.to:
        # Only blind copies are left, and `to` is required: recipient-variables make it a batch, in which
        # everyone gets a copy of their own that names nobody else.
        if len(fields.bcc) > 1:
            variables: dict[str, dict[str, str]] = {ascii_email(a.email): {} for a in fields.bcc}
            yield "recipient-variables", json.dumps(variables)
        for address in fields.bcc:
            yield "to", mailbox(address)
        return
    for name, addresses in (("to", fields.to), ("cc", fields.cc), ("bcc", fields.bcc)):
        for address in addresses:
            yield name, mailbox(address)


def _switch(on: bool) -> str:
    return "yes" if on else "no"


def _file(attachment: Attachment) -> RequestField:
    """A part without a filename is dropped silently; for an inline part the filename is its content id."""
    kind = "inline" if attachment.inline else "attachment"
    filename = attachment.content_id if attachment.inline else attachment.filename or "attachment"
    part = RequestField(name=kind, data=attachment.content, filename=filename)
    part.make_multipart(content_type=attachment.content_type)
    return part
