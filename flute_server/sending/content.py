"""A mail's content as it lies in the database, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flute_server.domain.message import Address, Message, RecipientKind
from flute_server.domain.message import Attachment as File
from flute_server.models import Attachment, Recipient


def packed(message: Message) -> dict[str, Any]:
    """All but recipients and files, which have tables of their own. Empty parts are left out."""
    parts: dict[str, Any] = {
        "from": _pair(message.sender),
        "reply_to": [_pair(address) for address in message.reply_to],
        "subject": message.subject,
        "text": message.text,
        "html": message.html,
        "headers": [list(header) for header in message.headers],
        "tags": list(message.tags),
        "metadata": dict(message.metadata),
        "track_opens": message.track_opens,
        "track_clicks": message.track_clicks,
    }
    return {name: value for name, value in parts.items() if value}


def unpacked(parts: dict[str, Any], recipients: Iterable[Recipient], files: Iterable[Attachment]) -> Message:
    """The canonical message; recipients in the order they were given."""
    by_kind: dict[str, list[Address]] = {kind: [] for kind in RecipientKind}
    for row in recipients:
        by_kind[row.kind].append(Address(row.address, row.name))
    return Message(
        sender=Address(*parts["from"]),
        to=tuple(by_kind[RecipientKind.TO]),
        cc=tuple(by_kind[RecipientKind.CC]),
        bcc=tuple(by_kind[RecipientKind.BCC]),
        reply_to=tuple(Address(*pair) for pair in parts.get("reply_to", ())),
        subject=parts["subject"],
        text=parts.get("text", ""),
        html=parts.get("html", ""),
        headers=tuple((name, value) for name, value in parts.get("headers", ())),
        attachments=tuple(File(f.filename, f.content, f.content_type, f.content_id) for f in files),
        tags=tuple(parts.get("tags", ())),
        metadata=parts.get("metadata", {}),
        track_opens=parts.get("track_opens", False),
        track_clicks=parts.get("track_clicks", False),
    )


def _pair(address: Address) -> list[str]:
    return [address.email, address.name]
