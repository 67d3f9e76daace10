"""Every mail that a provider accepted: kept as it came in, read anew when somebody looks."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, islice
from time import time
from typing import Any

from flute_server.sandbox.events import Event, Letter
from flute_server.sandbox.fate import history, outcome
from flute_server.sandbox.mail import Mail
from flute_server.sandbox.modes import OK, Mode

MAX_ENTRIES = 200_000
MAX_RAW_BYTES = 256 * 1024 * 1024


@dataclass(slots=True)
class Entry:
    """One accepted mail. `raw` is the request as received; `light` replaces it once memory runs short."""

    provider: str
    message_id: str
    envelope_from: str
    recipients: tuple[str, ...]
    raw: bytes | None
    content_type: str = ""
    part: int = 0  # which of the mails in `raw`, for calls that carry several
    received_at: float = 0.0
    light: bytes = b""
    number: int = 0  # counts all mails of this sandbox
    fate: Mode = field(default_factory=lambda: OK)  # decides what becomes of the mail
    by_hand: list[Event] | None = None  # events that somebody made up

    def sent_to(self, address: str) -> bool:
        return any(recipient.lower() == address for recipient in self.recipients)


# Written alike in JSON, in forms and in headers, so that raw mails can be searched for it.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")

# Understands an entry's raw form again: the provider that accepted it.
Reader = Callable[[Entry], Mail]


class Inbox:
    """The accepted mails of all providers, oldest first, bounded in number and size."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_raw_bytes: int = MAX_RAW_BYTES) -> None:
        self._entries: deque[Entry] = deque()
        self._heavy: deque[Entry] = deque()
        self._raw_bytes = 0
        self._max_entries = max_entries
        self._max_raw_bytes = max_raw_bytes
        self._readers: dict[str, Reader] = {}
        self._numbers = count(1)

    def register(self, provider: str, reader: Reader) -> None:
        self._readers[provider] = reader

    def add(self, entry: Entry) -> None:
        """Keep a mail; the oldest ones lose their bodies, then go, when there are too many."""
        entry.received_at = time()
        entry.number = next(self._numbers)
        self._entries.append(entry)
        self._heavy.append(entry)
        self._raw_bytes += len(entry.raw or b"")
        while self._raw_bytes > self._max_raw_bytes and self._heavy:
            self._lighten(self._heavy.popleft())
        while len(self._entries) > self._max_entries:
            self._forget(self._entries.popleft())

    def clear(self) -> int:
        """Empty it; how many mails went."""
        gone = len(self._entries)
        self._entries.clear()
        self._heavy.clear()
        self._raw_bytes = 0
        return gone

    def count(self, provider: str = "", to: str = "") -> int:
        return sum(1 for _ in self._matching(provider, to))

    def select(
        self, provider: str = "", to: str = "", offset: int = 0, limit: int | None = None
    ) -> list[Entry]:
        """The matching mails, oldest first."""
        stop = None if limit is None else offset + limit
        return list(islice(self._matching(provider, to), offset, stop))

    def describe(self, entry: Entry, with_content: bool = False) -> dict[str, object]:
        """A mail as the control API shows it."""
        shown: dict[str, object] = {
            "provider": entry.provider,
            "message_id": entry.message_id,
            "received_at": datetime.fromtimestamp(entry.received_at, UTC).isoformat(),
            "envelope": {"from": entry.envelope_from, "recipients": list(entry.recipients)},
            "outcomes": {recipient: outcome(entry.fate, recipient) for recipient in entry.recipients},
        }
        return shown | self._message(entry, with_content)

    def newest(self, provider: str, needle: str = "", to: str = "") -> Iterator[Entry]:
        """A provider's mails, newest first; all that hold the needle, and some that do not."""
        octets = needle.encode() if _PLAIN.fullmatch(needle) else b""
        address = to.lower()
        for entry in reversed(self._entries):
            if (
                entry.provider == provider
                and (not octets or octets in (entry.light if entry.raw is None else entry.raw))
                and (not to or entry.sent_to(address))
            ):
                yield entry

    def read(self, entry: Entry) -> Mail:
        """The mail again, as far as it is still there."""
        if entry.raw is None:
            return Mail.from_description(json.loads(entry.light), entry.recipients)
        return self._readers[entry.provider](entry)

    def happened(self, entry: Entry, now: float) -> list[Event]:
        """All that has happened to a mail so far, told or not; what a provider's look-up shows."""
        found = [
            event
            for letter in letters(entry, self.read(entry))
            for event in history(entry.fate, letter, entry.received_at)
            if event.at <= now
        ]
        return found + (entry.by_hand or [])

    def _message(self, entry: Entry, with_content: bool) -> dict[str, Any]:
        if entry.raw is None:
            light: dict[str, Any] = json.loads(entry.light)
            return light
        return self._readers[entry.provider](entry).describe(with_content)

    def _matching(self, provider: str, to: str) -> Iterator[Entry]:
        address = to.lower()
        for entry in self._entries:
            if (not provider or entry.provider == provider) and (not to or entry.sent_to(address)):
                yield entry

    def _lighten(self, entry: Entry) -> None:
        """Keep who, what and which ids; drop what takes room."""
        kept = self._message(entry, False) | {"text": None, "html": None, "bodies_dropped": True}
        self._raw_bytes -= len(entry.raw or b"")
        entry.light = json.dumps(kept).encode()
        entry.raw = None

    def _forget(self, entry: Entry) -> None:
        if entry.raw is not None:
            # The oldest entry that still has its raw form is the first of the heavy ones.
            self._heavy.popleft()
            self._raw_bytes -= len(entry.raw)


def letters(entry: Entry, mail: Mail) -> list[Letter]:
    """One for each recipient of the mail."""
    lines = {a.email.lower(): line for line in ("bcc", "cc", "to") for a in getattr(mail, line)}
    mime = entry.provider == "smtp"
    head = (entry.raw or b"").partition(b"\r\n\r\n")[0] if mime else b""
    metadata = _header_ids(mail) if mime else mail.metadata
    return [
        Letter(
            mail=entry.number,
            message_id=entry.message_id,
            recipient=recipient,
            sender=mail.sender,
            return_path=entry.envelope_from,
            subject=mail.subject,
            to=mail.to,
            line=lines.get(recipient.lower(), "bcc"),
            tags=mail.tags,
            metadata={**metadata, **mail.recipient_metadata.get(recipient.lower(), {})},
            head=head,
            size=len(entry.raw or b""),
        )
        for recipient in entry.recipients
    ]


def _header_ids(mail: Mail) -> dict[str, object]:
    """SMTP knows no metadata: our id is in a header."""
    ids = [value for name, value in mail.headers.items() if name.lower() == "x-flute-id"]
    return {"flute_email": ids[0]} if ids else {}
