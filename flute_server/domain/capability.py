"""What a provider can carry, and why a given mail would lose something on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from flute_server.domain.message import Handoff, RecipientKind

# Base64 turns 3 octets into 4 and breaks lines every 76 characters (RFC 2045 section 6.8).
BASE64_GROWTH = 1.37
# How many names a sentence lists.
MOST_LISTED = 5


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One provider's limits, as its documentation states them.

    max_bytes: the whole encoded message; max_recipients: to + cc + bcc of one call.
    forbidden_headers: names in lower case that the provider refuses or drops.
    separates_envelope: can deliver to some recipients while the header still names all.
    names_copies: can name recipients in Cc while nobody stands in To.
    max_tags: how many tags it takes, tag_octets: how long each may be, ascii_tags: without other letters.
    names_inline_files: an inline part keeps its file name beside its content id.
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
    names_copies: bool = False
    max_tags: int = 0
    tag_octets: int = 0
    ascii_tags: bool = False
    names_inline_files: bool = True
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
        if forbids(capabilities, name.lower())
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


def kept_tags(capabilities: Capabilities, tags: Sequence[str]) -> list[str]:
    """The tags that the provider gets: the first that it takes, each once. All of them are kept in Flute."""
    return [tag for tag in dict.fromkeys(tags) if _takes_tag(capabilities, tag)][: capabilities.max_tags]


def _takes_tag(capabilities: Capabilities, tag: str) -> bool:
    fits = 0 < len(tag.encode()) <= capabilities.tag_octets
    return fits and (tag.isascii() or not capabilities.ascii_tags)


def losses(capabilities: Capabilities, handoff: Handoff) -> tuple[str, ...]:
    """What this provider leaves out or changes of a mail that it can carry, in words; empty for nothing."""
    message = handoff.message
    found: list[str] = []
    left_out = [
        tag for tag in dict.fromkeys(message.tags) if tag not in kept_tags(capabilities, message.tags)
    ]
    if left_out:
        found.append(f"the provider does not get the tags {_listed(left_out)}; Flute keeps them")
    if message.metadata:
        found.append(f"the provider does not get the metadata {_listed(message.metadata)}; Flute keeps it")
    found.extend(
        f"the inline file {file.filename} goes by its content id {file.content_id}"
        for file in message.attachments
        if file.inline and file.filename != file.content_id and not capabilities.names_inline_files
    )
    return (*found, *_address_losses(capabilities, handoff))


def _address_losses(capabilities: Capabilities, handoff: Handoff) -> Iterator[str]:
    message = handoff.message
    here = {recipient.address.email.lower() for recipient in handoff.recipients}
    absent = [a.email for a in (*message.to, *message.cc) if a.email.lower() not in here]
    if absent and not capabilities.separates_envelope:
        yield f"To and Cc do not name {_listed(absent)}, whom this call does not carry"
    named = (message.to, message.cc)
    if not capabilities.separates_envelope:
        named = (handoff.addresses(RecipientKind.TO), handoff.addresses(RecipientKind.CC))
    if not named[0] and named[1] and not capabilities.names_copies:
        yield "those in Cc stand in To, which would be empty otherwise"


def _listed(names: Iterable[str]) -> str:
    """The first few, quoted."""
    quoted = [f'"{name}"' for name in names]
    return ", ".join(quoted[:MOST_LISTED]) + (
        f" and {len(quoted) - MOST_LISTED} more" if quoted[MOST_LISTED:] else ""
    )


def forbids(capabilities: Capabilities, name: str) -> bool:
    """Whether the provider refuses or drops a header of this name, in lower case."""
    return name in capabilities.forbidden_headers or name.startswith(
        capabilities.forbidden_header_prefixes or ("\0",)
    )


def _ascii_local(email: str) -> bool:
    return email.rpartition("@")[0].isascii()
