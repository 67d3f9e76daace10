"""The canonical mail: what a caller asked to send, and the part of it that one attempt carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class RecipientKind(StrEnum):
    """Which header field names the recipient; bcc names none."""

    TO = "to"
    CC = "cc"
    BCC = "bcc"


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: `email` is the addr-spec, `name` the display name (RFC 5322 section 3.4)."""

    email: str
    name: str = ""

    @property
    def domain(self) -> str:
        """The part after the last @, in lower case."""
        return self.email.rpartition("@")[2].lower()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of the mail; with a `content_id` (no angle brackets) it is an inline part."""

    filename: str
    content: bytes
    content_type: str
    content_id: str = ""

    @property
    def inline(self) -> bool:
        return bool(self.content_id)


@dataclass(frozen=True, slots=True)
class Message:
    """One accepted mail. Every attempt is built anew from it, so no attempt can spoil the next."""

    sender: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str = ""
    text: str = ""
    html: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    track_opens: bool = False
    track_clicks: bool = False


@dataclass(frozen=True, slots=True)
class Recipient:
    """One address of a mail as an attempt sees it; `id` is ours."""

    id: str
    address: Address
    kind: RecipientKind


@dataclass(frozen=True, slots=True)
class Handoff:
    """What one attempt gives to one provider account: the mail, for these recipients and no others.

    `recipients` may be fewer than the message's addressees: a failover carries only those that were refused.
    """

    email_id: str
    attempt_id: str
    message: Message
    recipients: tuple[Recipient, ...]

    def addresses(self, kind: RecipientKind) -> tuple[Address, ...]:
        """The addresses of this hand-off that are named in the given header field."""
        return tuple(r.address for r in self.recipients if r.kind is kind)
