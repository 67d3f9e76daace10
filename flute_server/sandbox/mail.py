"""A mail as a provider understood it, and addresses as RFC 5322 writes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Any, NamedTuple

_ATOM = r"[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]+"
_QUOTED = r"\"(?:[^\"\\\r\n]|\\.)*\""
_DOMAIN = r"[^\s@<>()\[\]\\,;:\"\x00-\x2c\x2f\x7f.]+"
_ADDR_SPEC = re.compile(rf"(?:{_ATOM}|{_QUOTED})@{_DOMAIN}(?:\.{_DOMAIN})+")
_MAILBOX = re.compile(r"(?P<name>[^<>]*)<(?P<email>[^<>]*)>")
_PARTS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|,|[^\",]+|\"")
_PHRASE_SPECIALS = re.compile(r"[()<>\[\]:;@\\,\"]")


class AddressError(ValueError):
    """Not an address, or not a list of them."""


class Address(NamedTuple):
    """A mailbox."""

    email: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file; `content_id` without brackets or scheme when it is shown inline."""

    filename: str
    content_type: str
    content: bytes = field(repr=False)
    content_id: str = ""

    def describe(self, with_content: bool) -> dict[str, object]:
        described: dict[str, object] = {
            "filename": self.filename,
            "content_type": self.content_type,
            "size": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "content_id": self.content_id,
        }
        if with_content:
            described["content"] = base64.b64encode(self.content).decode()
        return described


@dataclass(slots=True)
class Mail:
    """What one call asked a provider to deliver, in the words of no provider.

    `recipients` is the envelope; `send` is False for calls in the provider's own test mode, which are
    checked and answered but deliver nothing.
    """

    sender: Address
    recipients: tuple[str, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str = ""
    text: str = ""
    html: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    # What differs for one recipient, by address in lower case.
    recipient_metadata: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    envelope_from: str = ""
    send: bool = True

    def describe(self, with_content: bool) -> dict[str, object]:
        """The part of an inbox entry that comes from the message."""
        shown: dict[str, object] = {
            "from": _shown(self.sender),
            "to": [_shown(address) for address in self.to],
            "cc": [_shown(address) for address in self.cc],
            "bcc": [_shown(address) for address in self.bcc],
            "reply_to": [_shown(address) for address in self.reply_to],
            "subject": self.subject,
            "text": self.text,
            "html": self.html,
            "headers": dict(self.headers),
            "attachments": [attachment.describe(with_content) for attachment in self.attachments],
            "tags": list(self.tags),
            "metadata": dict(self.metadata),
        }
        if self.recipient_metadata:
            shown["recipient_metadata"] = {name: dict(data) for name, data in self.recipient_metadata.items()}
        return shown

    @classmethod
    def from_description(cls, shown: Mapping[str, Any], recipients: tuple[str, ...]) -> Mail:
        """What is left of a mail whose bodies were dropped."""
        return cls(
            sender=Address(**shown["from"]),
            recipients=recipients,
            to=tuple(Address(**item) for item in shown["to"]),
            cc=tuple(Address(**item) for item in shown["cc"]),
            bcc=tuple(Address(**item) for item in shown["bcc"]),
            subject=shown["subject"],
            headers=shown["headers"],
            tags=tuple(shown["tags"]),
            metadata=shown["metadata"],
            recipient_metadata=shown.get("recipient_metadata", {}),
        )


def _shown(address: Address) -> dict[str, str]:
    return {"email": address.email, "name": address.name}


def is_address(text: str) -> bool:
    """Is this an addr-spec that a public mail system could deliver to?"""
    return len(text.encode("utf-8", "surrogateescape")) <= 254 and _ADDR_SPEC.fullmatch(text) is not None


def ascii_local(email: str) -> bool:
    """Is the part before the @ plain ASCII? The domain could be IDNA-encoded; this part cannot."""
    return email.rpartition("@")[0].isascii()


def parse_mailbox(text: str) -> Address:
    """One `name <addr>` or bare `addr`. Raises AddressError."""
    text = text.strip()
    match = _MAILBOX.fullmatch(text)
    if match is None:
        if not is_address(text):
            raise AddressError(text)
        return Address(text)
    email = match["email"].strip()
    if not is_address(email):
        raise AddressError(text)
    return Address(email, _phrase(match["name"].strip()))


def parse_list(text: str) -> tuple[Address, ...]:
    """A comma-separated list; a comma inside quotes is part of a name. Raises AddressError."""
    if "," not in text:
        return (parse_mailbox(text),)
    pieces = [""]
    for part in _PARTS.findall(text):
        if part == ",":
            pieces.append("")
        else:
            pieces[-1] += part
    return tuple(parse_mailbox(piece) for piece in pieces)


def _phrase(name: str) -> str:
    """A display name, unquoted and decoded. Specials outside quotes make it ambiguous, hence wrong."""
    if len(name) > 1 and name[0] == name[-1] == '"':
        return _decoded(re.sub(r"\\(.)", r"\1", name[1:-1]))
    if _PHRASE_SPECIALS.search(name):
        raise AddressError(name)
    return _decoded(name)


def _decoded(name: str) -> str:
    if "=?" not in name:
        return name
    try:
        return str(make_header(decode_header(name)))
    except (HeaderParseError, LookupError, UnicodeError) as error:
        raise AddressError(name) from error


def decode_base64(text: str) -> bytes:
    """Strict base64: no line breaks, no foreign characters. Raises ValueError."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
