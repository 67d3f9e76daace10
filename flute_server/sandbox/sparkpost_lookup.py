"""SparkPost's Events API: what became of a mail?

Sources: developers.sparkpost.com/api/events and docs.bird.com/api/email-api/events (parameters, `from` 24
hours and `to` 1 minute ago unless given, newest first, 10 days kept, URI up to 4096 characters, lists split
at a delimiter, wildcard * for some), the vendor's repositories developers.sparkpost.com
(content/api/events.apib) and 2web2ui (`links` holds `next`). There is no filter for metadata: search by
recipient, subject and time, and look at `rcpt_meta` of what is found. How a wrong parameter is answered is
unverified.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from flute_server.sandbox.checks import Fault, words
from flute_server.sandbox.events import Event
from flute_server.sandbox.inbox import Inbox
from flute_server.sandbox.query import check_names, integer, parse_query

PATH = "/api/v1/events/message"
# Filters by the field of the event that they look at; the second ones know the wildcard.
EXACT: Mapping[str, str] = {
    "events": "type",
    "event_ids": "event_id",
    "recipients": "rcpt_to",
    "from_addresses": "friendly_from",
    "messages": "message_id",
    "transmissions": "transmission_id",
    "bounce_classes": "bounce_class",
}
WILD: Mapping[str, str] = {
    "recipient_domains": "routing_domain",
    "subjects": "subject",
    "campaigns": "campaign_id",
    "reasons": "raw_reason",
}
OTHER = words("from to cursor per_page delimiter")
UNPLAYED = words(
    "ab_tests ab_test_versions ip_pools mailbox_providers mailbox_provider_regions sending_domains"
    " sending_ips subaccounts templates"
)
MAX_URI = 4096
DAY_S = 86400.0
MINUTE_S = 60.0
Told = dict[str, Any]


def search(inbox: Inbox, tell: Callable[[Event], Told], path: str, now: float) -> dict[str, Any]:
    """GET /api/v1/events/message. Raises Fault."""
    if len(path) > MAX_URI:
        raise Fault("", f"the URI is over {MAX_URI} characters")
    query = parse_query(path)
    check_names(query, {*EXACT, *WILD, *OTHER}, UNPLAYED)
    size = integer(query, "per_page", 1, 10_000, 1000)
    first = _cursor(query.get("cursor", "initial"))
    found = sorted(_matching(inbox, tell, query, now), key=lambda pair: pair[0], reverse=True)
    page = [event for _, event in found[first : first + size]]
    links = {}
    if len(found) > first + size:
        again = {**query, "cursor": base64.b64encode(str(first + size).encode()).decode()}
        links["next"] = f"{PATH}?{urlencode(again)}"
    return {"results": page, "total_count": len(found), "links": links}


def _matching(
    inbox: Inbox, tell: Callable[[Event], Told], query: Mapping[str, str], now: float
) -> Iterator[tuple[float, Told]]:
    since = _time(query, "from", now - DAY_S)
    until = _time(query, "to", now - MINUTE_S)
    tests = _tests(query)
    recipients = query.get("recipients", "")
    only = recipients if query.get("delimiter", ",") not in recipients else ""
    for entry in inbox.newest("sparkpost", "", only):
        for event in inbox.happened(entry, now):
            if since <= event.at <= until:
                told = _told(tell(event), event.at)
                if all(test(told) for test in tests):
                    yield event.at, told


def _told(told: Told, at: float) -> Told:
    """As in the webhook, but with the time as ISO 8601."""
    text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return {**told, "timestamp": text, "injection_time": text}


def _tests(query: Mapping[str, str]) -> list[Callable[[Told], bool]]:
    delimiter = query.get("delimiter", ",")
    if not delimiter:
        raise Fault("delimiter", "must not be empty")
    tests = []
    for name, field in EXACT.items():
        if name in query:
            wanted = [text.strip() for text in query[name].split(delimiter)]
            tests.append(_one_of(field, [re.escape(text) for text in wanted]))
    for name, field in WILD.items():
        if name in query:
            wanted = [text.strip() for text in query[name].split(delimiter)]
            tests.append(_one_of(field, [re.escape(text).replace(r"\*", ".*") for text in wanted]))
    return tests


def _one_of(field: str, patterns: list[str]) -> Callable[[Told], bool]:
    pattern = re.compile("|".join(patterns), re.IGNORECASE | re.DOTALL)
    return lambda told: pattern.fullmatch(str(told.get(field, ""))) is not None


def _time(query: Mapping[str, str], name: str, default: float) -> float:
    """YYYY-MM-DDTHH:MM:SSZ; without an offset UTC is meant."""
    text = query.get(name)
    if text is None:
        return default
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise Fault(name, "is not YYYY-MM-DDTHH:MM:ssZ") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _cursor(text: str) -> int:
    if text == "initial":
        return 0
    try:
        return int(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise Fault("cursor", "is not one that was given out") from error
