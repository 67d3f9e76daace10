"""SparkPost, POST /transmissions (developers.sparkpost.com, "Transmissions"; providers.md section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from flute_server.domain.capability import Capabilities, kept_tags
from flute_server.domain.event import ProviderEvent
from flute_server.domain.message import Address, Attachment, Handoff
from flute_server.domain.outcome import ErrorKind, Reply, SendResult
from flute_server.providers import lookups, sparkpost_events
from flute_server.providers.addressing import ascii_email, mailboxes, named_recipients
from flute_server.providers.base import Field, LookUp, Trace, WebhookRequest, dkim_field, return_path_field
from flute_server.providers.failures import SERVER_ERRORS, Fault, Rule, codes
from flute_server.providers.http import (
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
from flute_server.providers.webhooks import basic_fields, check_basic, check_basic_fields

MAX_FILENAME = 255  # octets
MAX_FOUND = 300  # events of one search
MAX_ASKED = 5  # addresses of one search: each of a transmission shows what became of it
LOOKED_FOR = "injection,delivery,delay,bounce,policy_rejection,generation_failure,generation_rejection"


class SparkPost(HttpProvider):
    """One JSON call per mail, an entry per recipient; what its To shows is ours to say."""

    slug = "sparkpost"
    name = "SparkPost"
    about = "Bird's sending service for large volumes, over HTTP; in the US or the EU."
    default_base_url = "https://api.sparkpost.com/api/v1"
    fields = (
        Field(
            "api_key",
            "API key",
            secret=True,
            help="Needs the right Transmissions: Read/Write, and Events Search: Read-only to look up mails.",
        ),
        base_url_field(default_base_url, "EU: https://api.eu.sparkpost.com/api/v1."),
        *basic_fields("SparkPost"),
        dkim_field("scph0126"),
        return_path_field("bounces"),
    )
    capabilities = Capabilities(
        max_bytes=20 * 1024 * 1024,
        max_recipients=2000,
        # A List-Unsubscribe of the caller's has no effect, SparkPost puts in its own (django-anymail).
        forbidden_headers=RESERVED_HEADERS | {"list-unsubscribe", "list-unsubscribe-post"},
        internationalized_recipient=True,
        separates_envelope=True,
        max_tags=1,  # the campaign, of the whole mail
        tag_octets=64,
        names_inline_files=False,
    )
    webhooks = True
    webhook_help = sparkpost_events.HELP
    # A search ends one minute ago unless told otherwise; how late an event may be is not documented.
    look_up_settles = timedelta(minutes=15)
    look_up_keeps = timedelta(days=9)  # 10
    # 420 is not a standard status: a sending limit is used up, nothing was sent. 1502 is a 400 that asks for
    # another try. A 401 or 403 may come without a code.
    failures = (
        Rule(ErrorKind.SUSPENDED, codes=codes(1100), says="suspend|terminat|disabled"),
        Rule(ErrorKind.AUTH, codes=codes(1100, 1303, 1304)),
        Rule(
            ErrorKind.RECIPIENT, codes=codes(1300, 1301, 1400, 1603), says=r"\S@\S|recipient|address\.email"
        ),
        Rule(ErrorKind.MESSAGE, codes=codes(1300, 1301, 1400, 1603, 1305)),
        Rule(ErrorKind.SERVER, codes=codes(1500, 1501, 1502, 1900)),
        Rule(ErrorKind.REQUEST, codes=codes(1700, 1800)),
        Rule(ErrorKind.SUPPRESSED, codes=codes(1901, 1902), says="suppress"),
        Rule(ErrorKind.MESSAGE, codes=codes(1901, 1902)),
        Rule(ErrorKind.RECIPIENT, codes=codes(2000)),
        Rule(
            ErrorKind.REQUEST, codes=codes(2002, 2007, 2008)
        ),  # metadata: ours, so another provider may take it
        Rule(ErrorKind.QUOTA, codes=codes(2101, 2102, 2103, 2105)),
        Rule(ErrorKind.MESSAGE, codes=codes(*range(3000, 3051))),
        Rule(ErrorKind.RECIPIENT, codes=codes(5002), whole=True),
        Rule(ErrorKind.SENDER, codes=codes(7000, 7001)),
        Rule(ErrorKind.AUTH, status=401),
        Rule(ErrorKind.SUSPENDED, status=403, says="suspend|terminat|disabled"),
        Rule(ErrorKind.AUTH, status=403),
        Rule(ErrorKind.TOO_LARGE, status=413),
        Rule(ErrorKind.QUOTA, status=420),
        Rule(ErrorKind.RATE, status=429),
        Rule(ErrorKind.SERVER, status=SERVER_ERRORS),
    )

    @classmethod
    def validate(cls, credentials: Mapping[str, str]) -> dict[str, str]:
        values = super().validate(credentials)
        check_basic_fields(values)
        return values

    def authorization(self) -> dict[str, str]:
        """The bare key: SparkPost wants no scheme word."""
        return {"Authorization": self.credentials["api_key"]}

    def empty_send(self) -> HttpRequest:
        return HttpRequest.of_json("/transmissions", {})

    def objections(self, handoff: Handoff) -> tuple[str, ...]:
        found = super().objections(handoff)
        message = handoff.message
        # perform_substitutions=false spares the bodies; header fields are still read as templates.
        fields = [message.subject, *(value for _, value in message.headers)]
        people = [message.sender, *message.to, *message.cc, *message.reply_to]
        if any("{{" in text for text in (*fields, *(person.name for person in people))):
            found += ("SparkPost would replace {{...}} in the subject, names and header fields",)
        if any(len(a.filename.encode()) > MAX_FILENAME for a in message.attachments):
            found += (f"SparkPost takes file names of up to {MAX_FILENAME} octets",)
        return found

    def build(self, handoff: Handoff) -> HttpRequest:
        message = handoff.message
        ids = our_ids(handoff)
        data: dict[str, Any] = {
            "options": {
                "transactional": True,  # else it adds a List-Unsubscribe of its own
                "open_tracking": message.track_opens,
                "click_tracking": message.track_clicks,
                "perform_substitutions": False,
            },
            "recipients": _recipients(handoff, ids),
            "content": _content(handoff),
            "metadata": ids,
        }
        for tag in kept_tags(self.capabilities, message.tags):
            data["campaign_id"] = tag
        return HttpRequest.of_json("/transmissions", data)

    def accepted(self, answer: HttpAnswer, handoff: Handoff) -> SendResult | None:
        """Taken whole or in part. Refused addresses are named in texts only."""
        results = answer.data.get("results")
        if not isinstance(results, dict) or not results.get("id"):
            return None
        status = str(answer.status)
        taken = Reply(None, status, provider_message_id=text_of(results["id"]))
        if not results.get("total_rejected_recipients"):
            return SendResult(taken)
        text = _texts([*entries(results.get("rcpt_to_errors")), *entries(answer.data.get("errors"))])
        refused = Reply(ErrorKind.RECIPIENT, status, code="2000", text=text)
        named = named_recipients(handoff, text)
        if results.get("total_accepted_recipients") == 0:
            return SendResult(refused)
        if not named:
            # Somebody was refused, but who? For each of them the mail may or may not have been taken.
            return SendResult(Reply(ErrorKind.AMBIGUOUS, status, code="2000", text=text))
        return SendResult(taken, dict.fromkeys(named, refused))

    def faults(self, answer: HttpAnswer, handoff: Handoff) -> list[Fault]:
        found = []
        for error in entries(answer.data.get("errors")):
            text = _texts([error])
            named = named_recipients(handoff, text)
            found.append(Fault(answer.status, code=text_of(error.get("code")), text=text, named=named))
        return found

    def authenticate(self, request: WebhookRequest, now: datetime) -> None:
        check_basic(request.headers, self.credentials, self.name)

    def read_events(self, body: bytes) -> list[ProviderEvent]:
        return sparkpost_events.read(body)

    def look_up(self, trace: Trace) -> LookUp:
        """developers.sparkpost.com/api/events, "Search for Message Events"; no filter for metadata."""
        begin, end = lookups.window(trace)
        asked = {
            "from": f"{begin:%Y-%m-%dT%H:%M:%SZ}",
            "to": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            "per_page": str(MAX_FOUND),
            "events": LOOKED_FOR,
        }
        if trace.provider_message_id:
            asked["transmissions"] = trace.provider_message_id
        else:
            asked["recipients"] = ",".join(ascii_email(a).lower() for a in trace.recipients[:MAX_ASKED])
        answer = lookups.ask(self, "/events/message", asked, "results")
        if isinstance(answer, LookUp):
            return answer
        return lookups.conclude(self, trace, sparkpost_events.searched(answer), MAX_FOUND)


def _texts(errors: list[dict[str, Any]]) -> str:
    parts = [text_of(error.get(key)) for error in errors for key in ("message", "description")]
    return "; ".join(dict.fromkeys(part for part in parts if part))


def _recipients(handoff: Handoff, ids: dict[str, str]) -> list[dict[str, Any]]:
    """Metadata in each entry is complete, so that it does not matter whether SparkPost merges both levels."""
    message = handoff.message
    alone = len(message.to) + len(message.cc) + len(message.bcc) <= 1
    header_to = "" if alone else mailboxes(message.to or message.cc)
    made: dict[str, dict[str, Any]] = {}
    for recipient in handoff.recipients:
        made.setdefault(
            recipient.address.email.lower(),
            {
                "address": _entry(recipient.address, header_to),
                "metadata": {**ids, "flute_recipient": recipient.id},
            },
        )
    return list(made.values())


def _entry(address: Address, header_to: str) -> dict[str, str]:
    """`name` and `header_to` exclude each other; with neither, a receiver sees the bare address."""
    email = {"email": ascii_email(address.email)}
    if header_to:
        return email | {"header_to": header_to}
    return email | {"name": address.name} if address.name else email


def _content(handoff: Handoff) -> dict[str, Any]:
    message = handoff.message
    sender = {"email": ascii_email(message.sender.email)}
    headers = dict(message.headers)
    if message.to and message.cc:
        headers["Cc"] = mailboxes(message.cc)
    optional = {
        "text": message.text or ("" if message.html else " "),  # one body is required
        "html": message.html,
        "reply_to": mailboxes(message.reply_to),  # one text; a comma list is understood
        "headers": headers,
        "attachments": [_file(a, a.filename or "attachment") for a in message.attachments if not a.inline],
        "inline_images": [_file(a, a.content_id) for a in message.attachments if a.inline],
    }
    return {
        "from": sender | {"name": message.sender.name} if message.sender.name else sender,
        "subject": message.subject or " ",
    } | {name: value for name, value in optional.items() if value}


def _file(attachment: Attachment, name: str) -> dict[str, str]:
    """For an inline image the name is its content id."""
    return {"name": name, "type": attachment.content_type, "data": encoded(attachment)}
