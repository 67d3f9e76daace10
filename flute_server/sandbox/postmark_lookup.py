"""Postmark's search for sent messages: was a mail with our metadata taken?

Sources: postmarkapp.com/developer/api/messages-api (parameters, Eastern Time, count and offset required,
10,000 messages in all, newest first), the vendor's article 1125 (metadata_<key>=<value>, "only a single
metadata field at a time") and its sample answers. ErrorCodes 700 and 701 are those of the vendor's list;
with which HTTP status they come is unverified.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flute_server.sandbox.checks import Fault
from flute_server.sandbox.events import Event, Happening
from flute_server.sandbox.inbox import Entry, Inbox
from flute_server.sandbox.mail import Address, Mail
from flute_server.sandbox.postmark_events import moment
from flute_server.sandbox.query import check_names, integer, parse_query
from flute_server.sandbox.wordings import RECEIVING_IP, receiving_host

PATH = "/messages/outbound"
METADATA = "metadata_"
PARAMETERS = frozenset(
    {"count", "offset", "recipient", "fromemail", "tag", "subject", "status", "fromdate", "todate"}
    | {"messagestream"}
)
MAX_COUNT = 500
MAX_WINDOW = 10_000
ZONE = "America/New_York"
Found = tuple[Entry, Mail]


def search(inbox: Inbox, path: str) -> dict[str, Any]:
    """GET /messages/outbound. Raises Fault."""
    query = parse_query(path)
    metadata = {name: value for name, value in query.items() if name.startswith(METADATA)}
    check_names({name: value for name, value in query.items() if name not in metadata}, PARAMETERS)
    if len(metadata) > 1:
        raise Fault("metadata_", "only one metadata field can be searched for at a time")
    count = integer(query, "count", 1, MAX_COUNT)
    offset = integer(query, "offset", 0, MAX_WINDOW)
    if count + offset > MAX_WINDOW:
        raise Fault("offset", f"count and offset must not be over {MAX_WINDOW} together")
    found = list(_matching(inbox, query, metadata))
    shown = [_summary(entry, mail) for entry, mail in found[offset : offset + count]]
    return {"TotalCount": len(found), "Messages": shown}


def details(inbox: Inbox, message_id: str, now: float) -> dict[str, Any] | None:
    """GET /messages/outbound/<id>/details; None when there is no such message."""
    for entry in inbox.newest("postmark"):
        if entry.message_id == message_id:
            mail = inbox.read(entry)
            events = [told for event in inbox.happened(entry, now) if (told := _told(event)) is not None]
            bodies = {"TextBody": mail.text, "HtmlBody": mail.html, "Body": ""}
            return _summary(entry, mail) | bodies | {"MessageEvents": events}
    return None


def _matching(inbox: Inbox, query: Mapping[str, str], metadata: Mapping[str, str]) -> Iterator[Found]:
    tests = _tests(query, metadata)
    needle = next(iter(metadata.values()), "")
    for entry in inbox.newest("postmark", needle, query.get("recipient", "")):
        found = entry, inbox.read(entry)
        if all(test(*found) for test in tests):
            yield found


def _tests(query: Mapping[str, str], metadata: Mapping[str, str]) -> list[Callable[[Entry, Mail], bool]]:
    known: dict[str, Callable[[str], Callable[[Entry, Mail], bool]]] = {
        "fromemail": lambda text: lambda _, mail: mail.sender.email.lower() == text.lower(),
        "tag": lambda text: lambda _, mail: text in mail.tags,
        "subject": lambda text: lambda _, mail: text.lower() in mail.subject.lower(),
        "status": _status,
        "messagestream": lambda text: lambda *_: text == "outbound",
        "fromdate": lambda text: _since(_time("fromdate", text)),
        "todate": lambda text: _until(_time("todate", text)),
    }
    tests = [known[name](text) for name, text in query.items() if name in known]
    for name, text in metadata.items():
        tests.append(_has_metadata(name.removeprefix(METADATA), text))
    return tests


def _has_metadata(key: str, value: str) -> Callable[[Entry, Mail], bool]:
    return lambda _, mail: mail.metadata.get(key) == value


def _status(text: str) -> Callable[[Entry, Mail], bool]:
    if text not in {"queued", "sent", "processed"}:
        raise Fault("status", "must be queued or sent")
    return lambda *_: text != "queued"


def _since(moment: float) -> Callable[[Entry, Mail], bool]:
    return lambda entry, _: entry.received_at >= moment


def _until(moment: float) -> Callable[[Entry, Mail], bool]:
    return lambda entry, _: entry.received_at < moment + 1


def _time(name: str, text: str) -> float:
    """2021-01-01T12:00:00 or 2021-01-01, in Eastern Time; whole seconds, inclusive."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise Fault(name, "is not YYYY-MM-DDTHH:MM:SS") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=ZoneInfo(ZONE))).timestamp()


def _summary(entry: Entry, mail: Mail) -> dict[str, Any]:
    return {
        "Tag": mail.tags[0] if mail.tags else "",
        "MessageID": entry.message_id,
        "MessageStream": "outbound",
        "To": _people(mail.to),
        "Cc": _people(mail.cc),
        "Bcc": _people(mail.bcc),
        "Recipients": list(entry.recipients),
        "ReceivedAt": moment(entry.received_at),
        "From": f'"{mail.sender.name}" <{mail.sender.email}>' if mail.sender.name else mail.sender.email,
        "Subject": mail.subject,
        "Attachments": [attachment.filename for attachment in mail.attachments],
        "Status": "Sent",
        "TrackOpens": False,
        "TrackLinks": "None",
        "Metadata": dict(mail.metadata),
        "Sandboxed": False,
    }


def _people(addresses: tuple[Address, ...]) -> list[dict[str, str | None]]:
    return [{"Email": address.email, "Name": address.name or None} for address in addresses]


TYPES = {
    Happening.DELIVERED: "Delivered",
    Happening.DEFERRED: "Transient",
    Happening.BOUNCED: "Bounced",
    Happening.BLOCKED: "Bounced",
    Happening.OPENED: "Opened",
    Happening.CLICKED: "LinkClicked",
    Happening.UNSUBSCRIBED: "SubscriptionChanged",
}


def _told(event: Event) -> dict[str, Any] | None:
    """One of the message's events; all values in Details are strings."""
    kind = TYPES.get(event.kind)
    if kind is None:
        return None
    if event.kind in {Happening.DELIVERED, Happening.DEFERRED}:
        told = {
            "DeliveryMessage": f"smtp;{event.text}",
            "DestinationServer": receiving_host(event.letter),
            "DestinationIP": RECEIVING_IP,
        }
    elif kind == "Bounced":
        told = {"Summary": f"smtp;{event.text}", "BounceID": str(event.number_id)}
    else:
        told = {"Summary": json.dumps(event.text)}
    return {
        "Recipient": event.letter.recipient,
        "Type": kind,
        "ReceivedAt": moment(event.at),
        "Details": told,
    }
