"""What a provider can carry, and why a given mail would lose something on it."""

from __future__ import annotations

from dataclasses import dataclass

from flute_server.domain.message import Handoff

# Base64 turns 3 octets into 4 and breaks lines every 76 characters (RFC 2045 section 6.8).
BASE64_GROWTH = 1.37


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One provider's limits, as its documentation states them.

    max_bytes: the whole encoded message; max_recipients: to + cc + bcc of one call.
    forbidden_headers: names in lower case that the provider refuses or drops.
    separates_envelope: can deliver to some recipients while the header still names all.
    """

    max_bytes: int
    max_recipients: int
    forbidden_headers: frozenset[str] = frozenset()
    forbidden_header_prefixes: tuple[str, ...] = ()
    internationalized_sender: bool = False
    internationalized_recipient: bool = False
    multiple_reply_to: bool = True
    tracking: bool = True
    separates_envelope: bool = False
    idempotent: bool = False


def encoded_size(handoff: Handoff) -> int:
    """An upper estimate in octets of the message as it will travel."""
    message = handoff.message
    bodies = len(message.subject.encode()) + len(message.text.encode()) + len(message.html.encode())
    headers = sum(len(name) + len(value.encode()) + 4 for name, value in message.headers)
    files = sum(len(a.content) + len(a.filename.encode()) + 200 for a in message.attachments)
    return int((bodies + files) * BASE64_GROWTH) + headers + 1000


def objections(capabilities: Capabilities, handoff: Handoff) -> tuple[str, ...]:
    """Every reason why this provider cannot carry this mail faithfully; empty when it can."""
    message = handoff.message
    found: list[str] = []
    size = encoded_size(handoff)
    if size > capabilities.max_bytes:
        found.append(f"the message is about {size:,} bytes, over the provider's {capabilities.max_bytes:,}")
    if len(handoff.recipients) > capabilities.max_recipients:
        found.append(
            f"{len(handoff.recipients)} recipients, over the provider's {capabilities.max_recipients} a call"
        )
    found.extend(
        f"the provider does not carry the header {name}"
        for name, _ in message.headers
        if _forbidden(capabilities, name.lower())
    )
    senders = (message.sender, *message.reply_to)
    if not capabilities.internationalized_sender and not all(_ascii_local(a.email) for a in senders):
        found.append(
            "the provider does not take a non-ASCII local part in the sender's or a Reply-To address"
        )
    if not capabilities.internationalized_recipient and not all(
        _ascii_local(r.address.email) for r in handoff.recipients
    ):
        found.append("the provider does not take a non-ASCII local part in a recipient's address")
    if len(message.reply_to) > 1 and not capabilities.multiple_reply_to:
        found.append("the provider takes only one Reply-To address")
    if (message.track_opens or message.track_clicks) and not capabilities.tracking:
        found.append("the provider cannot track opens or clicks")
    return tuple(found)


def _forbidden(capabilities: Capabilities, name: str) -> bool:
    return name in capabilities.forbidden_headers or name.startswith(
        capabilities.forbidden_header_prefixes or ("\0",)
    )


def _ascii_local(email: str) -> bool:
    return email.rpartition("@")[0].isascii()
