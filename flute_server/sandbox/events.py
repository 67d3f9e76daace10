"""What happens to a mail after it was accepted, in the words of no provider."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from flute_server.sandbox.mail import Address

# RFC 3463: a digit 2, 4 or 5 and two numbers; not part of an IP address, which has four.
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_REPLY = re.compile(r"(?<![\d.])([245]\d\d)(?![\d.])")


class Happening(StrEnum):
    """What can happen."""

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"  # the recipient's fault
    BLOCKED = "blocked"  # the provider's fault
    SUPPRESSED = "suppressed"  # not sent: on the provider's own list
    COMPLAINED = "complained"
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"


# What POST /providers/<name>/events can make up. ACCEPTED and SUPPRESSED belong to the send itself.
MADE_BY_HAND = tuple(kind for kind in Happening if kind not in {Happening.ACCEPTED, Happening.SUPPRESSED})


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail on its way to one recipient: what events tell about it."""

    mail: int  # the inbox's number for it
    message_id: str
    recipient: str
    sender: Address
    return_path: str
    subject: str
    to: tuple[Address, ...]
    line: str = "to"  # where the recipient stands: to, cc or bcc
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    head: bytes = b""  # the original header, where bounces return it
    size: int = 0

    @property
    def domain(self) -> str:
        return self.recipient.rpartition("@")[2].lower()

    @property
    def id(self) -> str:
        """Unique for mail and recipient; the same whenever it is asked for."""
        return digest(f"{self.mail}/{self.message_id}/{self.recipient}")


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a letter. `number` is its place in the letter's history."""

    kind: Happening
    letter: Letter
    at: float
    number: int
    text: str = ""  # what the receiving server said
    klass: str = ""  # the provider's class for it, where the usual one is not wanted

    @property
    def id(self) -> str:
        """The same in a webhook, in its duplicate and in a look-up."""
        return digest(f"{self.letter.id}/{self.number}")

    @property
    def number_id(self) -> int:
        """For providers whose event ids are numbers."""
        return int(self.id[:15], 16)

    @property
    def reply_code(self) -> int:
        """The basic code in the text; 0 without."""
        match = _REPLY.search(self.text)
        return int(match[1]) if match else 0

    @property
    def enhanced_code(self) -> str:
        """The code of RFC 3463 in the text; empty without."""
        match = _ENHANCED.search(self.text)
        return match[1] if match else ""


def digest(text: str) -> str:
    """32 hexadecimal digits."""
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
