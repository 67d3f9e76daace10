"""Reading what came over SMTP: the strict look at the head, and the mail for the inbox."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart
from typing import cast

from flute_server.sandbox.checks import words
from flute_server.sandbox.mail import Address, AddressError, Attachment, Mail, parse_list

# Headers that are shown as fields of their own or describe the transport, not the message.
_STRUCTURAL = words(
    "from to cc bcc reply-to subject date message-id mime-version content-type"
    " content-transfer-encoding content-disposition content-id"
)
_FIELD_NAME = re.compile(rb"[!-9;-~]+:")
# utf8: the sandbox offers SMTPUTF8, so headers may hold raw UTF-8.
_POLICY = policy.SMTPUTF8


def objection(content: bytes, eight_bit: bool, utf8: bool) -> str:
    """Why a strict server refuses this message, with the enhanced code in front; empty when it does not."""
    head, _, body = content.partition(b"\r\n\r\n")
    if re.search(rb"(?<!\r)\n|\r(?!\n)|\0", content):
        return "5.6.0 bare line feed, bare carriage return or NUL in the message"
    if re.search(rb"[^\r\n]{999}", content):
        # 5.5: 998 octets and the line end.
        return "5.6.0 line too long"
    if not utf8 and not head.isascii():
        return "5.6.7 non-ASCII headers without SMTPUTF8"
    if not eight_bit and not utf8 and not body.isascii():
        return "5.6.3 8-bit body without BODY=8BITMIME"
    return _head_objection(head)


def _head_objection(head: bytes) -> str:
    names = _field_names(head)
    if not names:
        return "5.6.0 malformed header line"
    if "bcc" in names:
        # It would tell every recipient about the hidden ones.
        return "5.6.0 a Bcc header must not be sent"
    for name in ("from", "date"):
        # RFC 5322 section 3.6: the two fields that every message has, once.
        if names.count(name) != 1:
            return f"5.6.0 there must be exactly one {name.title()} header"
    for name in ("to", "cc", "subject", "message-id", "reply-to", "mime-version", "content-type"):
        if names.count(name) > 1:
            return f"5.6.0 the header {name.title()} is there more than once"
    return ""


def _field_names(head: bytes) -> list[str]:
    """In lower case; none if a line is neither a field nor the continuation of one."""
    names: list[str] = []
    for line in head.split(b"\r\n"):
        if line[:1] in {b" ", b"\t"} and names:
            continue
        match = _FIELD_NAME.match(line)
        if match is None:
            return []
        names.append(match[0][:-1].decode().lower())
    return names


def read_mail(content: bytes, envelope_from: str, recipients: tuple[str, ...]) -> Mail:
    """The message as a mail program would show it; bcc is who is in the envelope and in no header."""
    message = message_from_bytes(content, policy=_POLICY)
    to, cc = _addresses(message, "To"), _addresses(message, "Cc")
    named = {address.email.lower() for address in (*to, *cc)}
    return Mail(
        sender=(_addresses(message, "From") or (Address(""),))[0],
        recipients=recipients,
        to=to,
        cc=cc,
        bcc=tuple(Address(email) for email in recipients if email.lower() not in named),
        reply_to=_addresses(message, "Reply-To"),
        subject=str(message.get("Subject", "")),
        text=_body(message, "plain"),
        html=_body(message, "html"),
        headers={name: str(value) for name, value in message.items() if name.lower() not in _STRUCTURAL},
        attachments=tuple(_attachment(part) for part in _files(message)),
        envelope_from=envelope_from,
    )


def _addresses(message: EmailMessage, name: str) -> tuple[Address, ...]:
    header = message.get(name)
    if header is None:
        return ()
    found = [Address(a.addr_spec, a.display_name) for a in getattr(header, "addresses", ())]
    if all("@" in address.email for address in found):
        return tuple(found)
    try:
        return parse_list(str(header))
    except AddressError:
        return (Address(str(header)),)


def _body(message: EmailMessage, kind: str) -> str:
    """The first text/plain or text/html that is not a file; line ends as callers write them."""
    for part in message.walk():
        if part.get_content_type() == f"text/{kind}" and not _is_file(part):
            return cast(str, part.get_content()).replace("\r\n", "\n")
    return ""


def _files(message: EmailMessage) -> list[MIMEPart]:
    return [part for part in message.walk() if not part.is_multipart() and _is_file(part)]


def _is_file(part: MIMEPart) -> bool:
    text = part.get_content_type() in {"text/plain", "text/html"}
    return not text or part.get_content_disposition() == "attachment" or part.get_filename() is not None


def _attachment(part: MIMEPart) -> Attachment:
    content = part.get_payload(decode=True)
    return Attachment(
        filename=part.get_filename() or "",
        content_type=part.get_content_type(),
        content=content if isinstance(content, bytes) else b"",
        content_id=str(part.get("Content-ID", "")).strip().strip("<>"),
    )
