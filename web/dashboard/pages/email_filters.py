"""What the list of mails is narrowed down to: from the address to a request, and to the words that say it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import url_for
from flute.v1.email_pb2 import DeliveryState
from flute.v1.email_service_pb2 import ListEmailsRequest
from google.protobuf.timestamp_pb2 import Timestamp

from flute_json.naming import words
from web.dashboard import instants
from web.dashboard.form import Form

STATES: Mapping[int, str] = words(DeliveryState.DESCRIPTOR)
_NUMBERS = {word: number for number, word in STATES.items()}
# In the order in which people look for them.
STATUSES = (
    "queued", "scheduled", "sending", "sent", "deferred", "delivered", "bounced", "failed", "suppressed",
    "canceled",
)  # fmt: skip
PERIODS: Mapping[str, tuple[str, timedelta]] = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(days=1)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
# What the server calls a filter -> its field on the page.
_NAMES = {
    "state": "status",
    "recipient": "q",
    "subject": "q",
    "provider_account": "provider",
    "start_time": "from",
    "end_time": "to",
    "page_token": "page",
}
_FIELDS = ("q", "status", "provider", "period", "tag", "metadata", "from", "to", "copies_of")
# As many news are counted; more are "more than".
MOST_NEWS = 50
# Those that are folded away until they are in use.
_FURTHER = ("tag", "metadata", "from", "to")
_ADDRESS = re.compile(r"\S+@\S+")


@dataclass(frozen=True, slots=True)
class Chip:
    """An active filter: what it says, if need be with a time, and the list without it."""

    text: str
    without: str
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of one view of the list.

    start: where a period that counts back from now began, which must not move from page to page. until: what
    was accepted then or later is left out, for it came after the view was opened.
    """

    form: Form
    environment_id: str
    start: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, given: Mapping[str, str], environment_id: str) -> Filters:
        """From the address."""
        form = Form(values=dict(given), names=_NAMES)
        return cls(form, environment_id, _start(form), instants.parse(form["until"]))

    @property
    def email_id(self) -> str:
        """The id that was typed into the search; empty if it is none."""
        return _uuid(self.form["q"])

    @property
    def active(self) -> bool:
        """Whether anything narrows the list down."""
        return any(self.form[name] for name in _FIELDS)

    @property
    def unfolded(self) -> bool:
        """Whether one of the further filters is in use."""
        return any(self.form[name] for name in _FURTHER)

    def request(self, **more: object) -> ListEmailsRequest:
        """What the server is asked. What cannot be asked becomes an error of the form's field."""
        form = self.form
        message = ListEmailsRequest(
            environment_id=self.environment_id,
            state=self._state(),
            tag=form["tag"],
            metadata=self._metadata(),
            provider_account=form["provider"],
            resent_from=form["copies_of"],
            page_token=form["page"],
            **more,  # type: ignore[arg-type]  # further fields
        )
        if query := form["q"]:
            setattr(message, "recipient" if _ADDRESS.fullmatch(query) else "subject", query)
        self._set_time(message.start_time, instants.read(form, "from") or self.start)
        self._set_time(message.end_time, self.until or instants.read(form, "to"))
        return message

    def news_request(self) -> ListEmailsRequest:
        """For what has come since the view was opened."""
        message = replace(self, until=None).request(page_size=MOST_NEWS)
        message.page_token = ""
        self._set_time(message.start_time, self.until)
        return message

    def _state(self) -> DeliveryState.ValueType:
        word = self.form["status"]
        if word and word not in _NUMBERS:
            self.form.errors["status"] = "There is no such status."
        return DeliveryState.ValueType(_NUMBERS.get(word, 0))

    def _metadata(self) -> dict[str, str]:
        text = self.form["metadata"]
        key, equals, value = text.partition("=")
        if text and not (key and equals):
            self.form.errors["metadata"] = "Write it as key=value, for example order=4711."
        return {key: value} if key and equals else {}

    @staticmethod
    def _set_time(stamp: Timestamp, time: datetime | None) -> None:
        if time:
            stamp.FromDatetime(time)

    def url(self, **changes: str) -> str:
        """The list with these changes; an empty value takes a filter away."""
        values = {name: self.form[name] for name in _FIELDS} | {"environment": self.environment_id} | changes
        return f"{url_for('dashboard.emails')}?{urlencode({k: v for k, v in values.items() if v})}"

    def query(self, **changes: str) -> dict[str, Any]:
        """What stands for this view in an address, the moment at which its period began included."""
        values = {name: self.form[name] for name in _FIELDS} | {"environment": self.environment_id}
        if self.start:
            values["start"] = self.start.isoformat()
        if self.until:
            values["until"] = self.until.isoformat()
        return {name: value for name, value in (values | changes).items() if value}

    def chips(self) -> Iterator[Chip]:
        """Every filter that is active."""
        for name in _FIELDS:
            if value := self.form[name]:
                time = instants.parse(value) if name in ("from", "to") else None
                yield Chip(self._said(name, "" if time else value), self.url(**{name: ""}), time)

    def _said(self, name: str, value: str) -> str:
        match name:
            case "q":
                return f"Recipient: {value}" if _ADDRESS.fullmatch(value) else f"Subject: {value}"
            case "period":
                return PERIODS[value][0] if value in PERIODS else value
            case "from" | "to":
                return f"{'From' if name == 'from' else 'Before'}: {value}"
            case "copies_of":
                return f"Copies of: {value[:8]}…"
            case _:
                return f"{name.capitalize()}: {value}"


def _start(form: Form) -> datetime | None:
    if form["period"] not in PERIODS:
        return None
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return instants.parse(form["start"]) or now - PERIODS[form["period"]][1]


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return ""
