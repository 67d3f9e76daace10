"""What makes a mail unacceptable, whatever the provider; every fault is found, not just the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime

from flute_server.domain.limits import (
    MAX_AHEAD,
    MAX_ATTACHMENTS,
    MAX_BODY_BYTES,
    MAX_CONTENT_BYTES,
    MAX_FILENAME,
    MAX_HEADER_VALUE,
    MAX_HEADERS,
    MAX_METADATA,
    MAX_METADATA_KEY,
    MAX_METADATA_VALUE,
    MAX_NAME,
    MAX_RECIPIENTS,
    MAX_REPLY_TO,
    MAX_SUBJECT,
    MAX_TAG,
    MAX_TAGS,
)
from flute_server.domain.message import Address, Attachment, Message

Fault = tuple[str, str]
AddressCheck = Callable[[str], str]

# RFC 5322 section 3.6.8: a field name is printable ASCII without the colon.
_HEADER_NAME = re.compile(r"[!-9;-~]{1,76}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,200}")

_OWN_FIELDS = frozenset({"from", "to", "cc", "bcc", "reply-to", "subject"})
# Flute, the provider or the transport writes these; a second one breaks signatures or misleads receivers.
_RESERVED = frozenset(
    {"date", "message-id", "mime-version", "sender", "return-path", "received", "dkim-signature"}
    | {"delivered-to", "resent-from", "resent-to", "resent-cc", "resent-bcc", "x-flute-id"}
)


def faults(message: Message, check_address: AddressCheck) -> Iterator[Fault]:
    """Every fault as (path, text); paths are relative to the content, like to[0].email.

    check_address returns why an address is no valid addr-spec, or an empty string.
    """
    yield from _addresses(message, check_address)
    yield from _bodies(message)
    yield from _headers(message.headers)
    yield from _attachments(message)
    yield from _labels(message)


def send_at_fault(send_at: datetime | None, now: datetime) -> str:
    """Why a mail cannot be sent at this time; empty when it can."""
    if send_at and send_at > now + MAX_AHEAD:
        return f"at most {MAX_AHEAD.days} days ahead"
    return ""


def content_bytes(message: Message) -> int:
    """What counts for MAX_CONTENT_BYTES."""
    return sum(len(file.content) for file in message.attachments) + len(message.text) + len(message.html)


def _addresses(message: Message, check: AddressCheck) -> Iterator[Fault]:
    if not message.sender.email:
        yield "from", "is required: an object with email and, if you like, name"
    else:
        yield from _address("from", message.sender, check)
    for kind in ("to", "cc", "bcc", "reply_to"):
        for index, address in enumerate(getattr(message, kind)):
            yield from _address(f"{kind}[{index}]", address, check)
    count = len(message.to) + len(message.cc) + len(message.bcc)
    if not count:
        yield "to", "at least one recipient is required in to, cc or bcc"
    if count > MAX_RECIPIENTS:
        yield "to", f"{count} recipients; at most {MAX_RECIPIENTS} in to, cc and bcc together"
    if len(message.reply_to) > MAX_REPLY_TO:
        yield "reply_to", f"at most {MAX_REPLY_TO} addresses"
    yield from _twice(message)


def _twice(message: Message) -> Iterator[Fault]:
    seen: set[str] = set()
    for kind in ("to", "cc", "bcc"):
        for index, address in enumerate(getattr(message, kind)):
            if address.email.lower() in seen:
                yield f"{kind}[{index}].email", "the address stands twice among to, cc and bcc"
            seen.add(address.email.lower())


def _address(path: str, address: Address, check: AddressCheck) -> Iterator[Fault]:
    why = check(address.email) if address.email else "is required"
    if why:
        yield f"{path}.email", why
    if _CONTROL.search(address.name):
        yield f"{path}.name", "holds a line break or another control character"
    if len(address.name) > MAX_NAME:
        yield f"{path}.name", f"at most {MAX_NAME} characters"


def _bodies(message: Message) -> Iterator[Fault]:
    if not message.subject.strip():
        yield "subject", "is required"
    if _CONTROL.search(message.subject):
        yield "subject", "holds a line break or another control character"
    if len(message.subject) > MAX_SUBJECT:
        yield "subject", f"at most {MAX_SUBJECT} characters"
    if not message.text.strip() and not message.html.strip():
        yield "text", "text or html is required"
    for name, body in (("text", message.text), ("html", message.html)):
        if len(body) > MAX_BODY_BYTES or len(body.encode()) > MAX_BODY_BYTES:
            yield name, f"at most {MAX_BODY_BYTES // 1024 // 1024} MB"
        if "\0" in body:
            yield name, "holds a NUL character"


def _headers(headers: tuple[tuple[str, str], ...]) -> Iterator[Fault]:
    if len(headers) > MAX_HEADERS:
        yield "headers", f"at most {MAX_HEADERS} headers"
    seen: set[str] = set()
    for name, value in headers:
        path = f"headers.{name}"
        if not _HEADER_NAME.fullmatch(name):
            yield path, "a header name is 1 to 76 printable ASCII characters without a colon"
        elif why := _reserved(name.lower()):
            yield path, why
        if name.lower() in seen:
            yield path, "the header stands twice (names do not differ by case)"
        if _CONTROL.search(value):
            yield path, "the value holds a line break or another control character"
        if len(value) > MAX_HEADER_VALUE:
            yield path, f"at most {MAX_HEADER_VALUE} characters"
        seen.add(name.lower())


def _reserved(name: str) -> str:
    if name in _OWN_FIELDS:
        return f"use the field {name.replace('-', '_')} instead"
    if name in _RESERVED or name.startswith("content-"):
        return "this header is written by Flute or the provider"
    return ""


def _attachments(message: Message) -> Iterator[Fault]:
    files = message.attachments
    if len(files) > MAX_ATTACHMENTS:
        yield "attachments", f"at most {MAX_ATTACHMENTS} files"
    total = content_bytes(message)
    if total > MAX_CONTENT_BYTES:
        yield "attachments", f"{total:,} bytes in all; at most {MAX_CONTENT_BYTES:,} with the bodies"
    for index, file in enumerate(files):
        yield from _attachment(f"attachments[{index}]", file)


def _attachment(path: str, file: Attachment) -> Iterator[Fault]:
    if not file.filename:
        yield f"{path}.filename", "is required"
    if _CONTROL.search(file.filename) or "/" in file.filename or "\\" in file.filename:
        yield f"{path}.filename", "holds a path separator or a control character"
    if len(file.filename) > MAX_FILENAME:
        yield f"{path}.filename", f"at most {MAX_FILENAME} characters"
    if not file.content:
        yield f"{path}.content", "is required: the file in base64, not empty"
    if not _MEDIA_TYPE.fullmatch(file.content_type):
        yield f"{path}.content_type", "a media type is wanted, for example image/png"
    if file.content_id and not _CONTENT_ID.fullmatch(file.content_id):
        yield f"{path}.content_id", "1 to 200 ASCII letters, digits and . _ - @, without < and >"


def _labels(message: Message) -> Iterator[Fault]:
    if len(message.tags) > MAX_TAGS:
        yield "tags", f"at most {MAX_TAGS} tags"
    for index, tag in enumerate(message.tags):
        if not tag or len(tag) > MAX_TAG or _CONTROL.search(tag):
            yield f"tags[{index}]", f"1 to {MAX_TAG} characters, none of them a control character"
    if len(message.metadata) > MAX_METADATA:
        yield "metadata", f"at most {MAX_METADATA} keys"
    for key, value in message.metadata.items():
        if not key or len(key) > MAX_METADATA_KEY or _CONTROL.search(key):
            yield f"metadata.{key}", f"a key is 1 to {MAX_METADATA_KEY} characters, no control character"
        if len(value) > MAX_METADATA_VALUE or "\0" in value:
            yield f"metadata.{key}", f"a value is at most {MAX_METADATA_VALUE} characters, without NUL"
