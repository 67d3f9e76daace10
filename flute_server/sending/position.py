"""A place in the order in which events are read."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from flute_server.errors import Violation, invalid

_TEXT = re.compile(rb"(\d{1,20})\.(\d{1,19})")
# What PostgreSQL's xid8 and bigint can hold.
_MAX_XID = 2**64 - 1
_MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Position:
    """Just after the event with this transaction id and id: see models/email.py Event."""

    xid: str
    id: int

    def encode(self) -> str:
        """An opaque token that may stand in a URL."""
        return base64.urlsafe_b64encode(f"{self.xid}.{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, token: str, field: str = "page_token") -> Position:
        """The position of a token. Raises InvalidArgument, naming the field, for what is none."""
        try:
            text = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), b"-_", validate=True)
        except ValueError:
            text = b""
        found = _TEXT.fullmatch(text)
        if not found or int(found[1]) > _MAX_XID or int(found[2]) > _MAX_ID:
            raise invalid([Violation(field, "not a token that a list or stream of events gave")])
        return cls(str(int(found[1])), int(found[2]))


# Before the first event on record.
BEGINNING = Position("0", 0)
