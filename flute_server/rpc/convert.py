"""Between proto messages and our own values: pure, without any rule."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from datetime import UTC, datetime

from flute.v1 import email_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from flute_server.domain.message import Address, Attachment, Message


def message(content: pb.EmailContent) -> Message:
    """The canonical message of a request."""
    return Message(
        sender=_address(getattr(content, "from")),
        to=_addresses(content.to),
        cc=_addresses(content.cc),
        bcc=_addresses(content.bcc),
        reply_to=_addresses(content.reply_to),
        subject=content.subject,
        text=content.text,
        html=content.html,
        headers=tuple(sorted(content.headers.items())),
        attachments=tuple(_attachment(file) for file in content.attachments),
        tags=tuple(content.tags),
        metadata=dict(content.metadata),
        track_opens=content.track_opens,
        track_clicks=content.track_clicks,
    )


def content(message: Message) -> pb.EmailContent:
    """A request's content as it was, without its files."""
    content = pb.EmailContent(
        to=map(_to_address, message.to),
        cc=map(_to_address, message.cc),
        bcc=map(_to_address, message.bcc),
        reply_to=map(_to_address, message.reply_to),
        subject=message.subject,
        text=message.text,
        html=message.html,
        headers=dict(message.headers),
        tags=message.tags,
        metadata=message.metadata,
        track_opens=message.track_opens or None,
        track_clicks=message.track_clicks or None,
    )
    # `from` is a word of Python's, so the field cannot be named in a call.
    getattr(content, "from").CopyFrom(_to_address(message.sender))
    return content


def timestamp(time: datetime | None) -> Timestamp | None:
    """A proto time; None stays absent."""
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def time(stamp: Timestamp) -> datetime:
    """Our time; what no calendar holds becomes the end of it."""
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        return datetime.max.replace(tzinfo=UTC) if stamp.seconds > 0 else datetime.min.replace(tzinfo=UTC)


def _address(address: pb.Address) -> Address:
    return Address(address.email, address.name)


def _to_address(address: Address) -> pb.Address:
    return pb.Address(email=address.email, name=address.name)


def _addresses(addresses: Iterable[pb.Address]) -> tuple[Address, ...]:
    return tuple(_address(address) for address in addresses)


def _attachment(file: pb.Attachment) -> Attachment:
    guessed = file.content_type or mimetypes.guess_type(file.filename)[0] or "application/octet-stream"
    return Attachment(file.filename, file.content, guessed, file.content_id)
