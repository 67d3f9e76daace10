"""Mailgun's Events API: what became of a mail?

Sources: documentation.mailgun.com, GET /v3/{domain_name}/events (parameters; limit up to 300; begin and end
in epoch seconds or as RFC 2822; `ascending` must be given with `begin` if `end` is not; filters for event,
list, attachment, from, message-id, subject, to, size, recipient, recipients, tags, severity), its user
manual on time range and paging (next and previous are always there; behind the last page comes an empty
one). There is no filter for user-variables: search by recipient and time and look at the `user-variables`
of what is found. The API is marked as deprecated in favour of POST /v1/analytics/logs. Filter expressions
(AND, OR, NOT, <, >) are not played.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from flute_server.sandbox.checks import Fault, words
from flute_server.sandbox.events import Event
from flute_server.sandbox.inbox import Inbox
from flute_server.sandbox.query import check_names, integer, parse_query

TIMES = words("begin end ascending limit pretty")
FILTERS = words("event from message-id subject to recipient tags severity")
UNPLAYED = words("list attachment size recipients")
MAX_LIMIT = 300
_EXPRESSION = re.compile(r"\b(?:AND|OR|NOT)\b|[<>()]")
Told = dict[str, Any]


class EventSearch:
    """GET /v3/{domain}/events at this address, over these mails."""

    def __init__(self, inbox: Inbox, tell: Callable[[Event], Told], url: str) -> None:
        self._inbox = inbox
        self._tell = tell
        self._url = url

    def search(self, path: str, now: float) -> dict[str, Any]:
        """The first page. Raises Fault."""
        return self._page(parse_query(path), 0, now)

    def turn_page(self, token: str, now: float) -> dict[str, Any]:
        """GET /v3/{domain}/events/{token}. Raises Fault."""
        try:
            query, first = json.loads(base64.urlsafe_b64decode(token))
        except (TypeError, ValueError) as error:
            raise Fault("page", "is not one that was given out") from error
        return self._page(query, first, now)

    def _page(self, query: dict[str, str], first: int, now: float) -> dict[str, Any]:
        check_names(query, TIMES | FILTERS, UNPLAYED)
        limit = integer(query, "limit", 1, MAX_LIMIT, 100)
        since, until, ascending = _range(query, now)
        found = [told for at, told in self._matching(query, now) if since <= at <= until]
        found.sort(key=lambda told: float(told["timestamp"]), reverse=not ascending)
        items = found[first : first + limit]
        # Going backwards, other pages shall show the same range; forwards, it grows.
        fixed = query if ascending else {**query, "begin": repr(until), "end": repr(since)}
        starts = {
            "previous": first - limit if first else len(found),
            "first": 0,
            "last": (max(len(found), 1) - 1) // limit * limit,
            "next": first + len(items),
        }
        return {"items": items, "paging": {rel: self._link(fixed, start) for rel, start in starts.items()}}

    def _link(self, query: dict[str, str], start: int) -> str:
        token = base64.urlsafe_b64encode(json.dumps([query, max(start, 0)]).encode())
        return f"{self._url}/{token.decode()}"

    def _matching(self, query: Mapping[str, str], now: float) -> Iterator[tuple[float, Told]]:
        tests = [_TESTS[name](_plain(name, text)) for name, text in query.items() if name in FILTERS]
        for entry in self._inbox.newest("mailgun", "", _plain("recipient", query.get("recipient", ""))):
            for event in self._inbox.happened(entry, now):
                told = self._tell(event)
                if all(test(told) for test in tests):
                    yield event.at, told


def _plain(name: str, text: str) -> str:
    """One value, perhaps in quotes. Raises Fault."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    if name != "message-id" and _EXPRESSION.search(text):
        raise Fault(name, "holds a filter expression, which the sandbox does not play", "unknown")
    return text


def _header(name: str) -> Callable[[str], Callable[[Told], bool]]:
    def make(text: str) -> Callable[[Told], bool]:
        return lambda told: text.lower() in str(told["message"]["headers"].get(name, "")).lower()

    return make


def _field(name: str) -> Callable[[str], Callable[[Told], bool]]:
    return lambda text: lambda told: str(told.get(name, "")).lower() == text.lower()


_TESTS: Mapping[str, Callable[[str], Callable[[Told], bool]]] = {
    "event": _field("event"),
    "severity": _field("severity"),
    "recipient": _field("recipient"),
    "from": _header("from"),
    "to": _header("to"),
    "subject": _header("subject"),
    "message-id": lambda text: lambda told: told["message"]["headers"]["message-id"] == text.strip("<>"),
    "tags": lambda text: lambda told: text.lower() in [tag.lower() for tag in told["tags"]],
}


def _range(query: Mapping[str, str], now: float) -> tuple[float, float, bool]:
    """(since, until, ascending): with both ends their order is the direction."""
    begin, end = _time(query, "begin"), _time(query, "end")
    direction = query.get("ascending")
    if direction not in {None, "yes", "no"}:
        raise Fault("ascending", "must be yes or no")
    if begin is not None and end is not None:
        return min(begin, end), max(begin, end), begin < end
    if begin is None:
        return 0.0, now if end is None else end, direction == "yes"
    if direction is None:
        raise Fault("ascending", "is required when begin is given without end", "missing")
    return (begin, now, True) if direction == "yes" else (0.0, begin, False)


def _time(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError as error:
        raise Fault(name, "is neither epoch seconds nor an RFC 2822 date") from error
