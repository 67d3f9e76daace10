"""A mail as RFC 5322 and MIME octets, for SMTP.

Written by hand: email.message.EmailMessage takes 4 ms a mail (mostly parsing the header fields it is about to
write; this takes 0.1 ms), and its folding of non-ASCII names has had bugs up to 3.11.9.

The octets are always 7-bit with lines of at most 998 characters: they pass every server whether or not it
offers 8BITMIME, and no relay on the way has a reason to re-encode them and break a signature. The one
exception is a non-ASCII local part, which cannot be written otherwise and needs SMTPUTF8.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterable
from email.utils import formatdate
from urllib.parse import quote

from flute_server.domain.message import Address, Attachment, Handoff
from flute_server.providers.addressing import ascii_email, quoted

CRLF = "\r\n"
FOLD_AT = 78  # RFC 5322 section 2.1.1: should not be longer
LONGEST_WORD = 900  # what cannot be folded and is longer is encoded: a line may have 998 characters
ENCODED_OCTETS = 45  # of an encoded-word (RFC 2047 section 2): 45 octets become 60 characters, of 75 allowed

# Written by us, hence refused from the caller.
OWN_HEADERS = frozenset(
    {"from", "to", "cc", "bcc", "subject", "reply-to", "date", "message-id", "mime-version", "x-flute-id"}
)

_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_VISIBLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")  # ASCII without controls, no blank at either end
_HEADER_NAME = re.compile(r"[!-9;-~]{1,70}")  # RFC 5322 section 3.6.8
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}(?: *; *[ -~]{1,300})?")
_PLAIN_TEXT = re.compile(rf"(?:[\t -~]{{0,{LONGEST_WORD}}}\r\n)*")
_NEWLINE = re.compile(r"\r\n|\r|\n")


class UnsafeHeader(ValueError):
    """A header field with a line break or a name that is none: it could start a field of its own."""


def message_id(handoff: Handoff) -> str:
    """Ours, so that a bounce that quotes it leads to the attempt."""
    domain = ascii_email(handoff.message.sender.email).rpartition("@")[2]
    return f"<{handoff.attempt_id}@{domain}>"


def build(handoff: Handoff, now: float) -> bytes:
    """The whole message. Raises UnsafeHeader.

    To and Cc name all of the message's addressees, whoever gets it by this hand-off; Bcc is never written.
    """
    message = handoff.message
    lines = [
        _field("From", [_mailbox(message.sender)]),
        _field("To", _mailboxes(message.to) or ([] if message.cc else ["undisclosed-recipients:;"])),
        _field("Cc", _mailboxes(message.cc)),
        _field("Reply-To", _mailboxes(message.reply_to)),
        unstructured("Subject", message.subject),
        _field("Date", [formatdate(now).replace("-0000", "+0000")]),
        _field("Message-ID", [message_id(handoff)]),
        unstructured("X-Flute-Id", handoff.email_id),
        *(unstructured(name, value) for name, value in message.headers),
        f"MIME-Version: 1.0{CRLF}",
    ]
    return "".join(lines).encode() + _body(handoff)


def unstructured(name: str, value: str) -> str:
    """A header field of free text, folded and encoded as needed."""
    _check(name, value)
    if not value:
        return f"{name}:{CRLF}"
    if not _VISIBLE.fullmatch(value) or "=?" in value or _longest_word(value) > LONGEST_WORD:
        return f"{name}:{_encoded_words(value)}{CRLF}"
    return _folded(f"{name}: {value}") + CRLF


def _check(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise UnsafeHeader(f"{name!r} is no header field name")
    if any(c in value for c in "\r\n\0"):
        raise UnsafeHeader(f"the header field {name} holds a line break or a zero octet")


def _field(name: str, items: list[str]) -> str:
    """A header field of a comma-separated list, one item a line; nothing when there are none."""
    if not items:
        return ""
    for item in items:
        _check(name, item.replace(f"{CRLF} ", ""))
    return f"{name}: " + f",{CRLF} ".join(items) + CRLF


def _mailboxes(addresses: Iterable[Address]) -> list[str]:
    return [_mailbox(address) for address in addresses]


def _mailbox(address: Address) -> str:
    """A name-addr (RFC 5322 section 3.4): atoms, a quoted-string, or encoded-words."""
    email = ascii_email(address.email)
    if any(c in email for c in "\r\n\0<>"):
        raise UnsafeHeader("an address holds a character that it cannot have")
    name = address.name
    if not name:
        return email
    if not _VISIBLE.fullmatch(name) or "=?" in name or len(name) > FOLD_AT:
        if any(c in name for c in "\r\n\0"):
            raise UnsafeHeader("a display name holds a line break or a zero octet")
        return f"{_encoded_words(name).lstrip()}{CRLF} <{email}>"
    return f"{name} <{email}>" if _PHRASE.fullmatch(name) else f'"{quoted(name)}" <{email}>'


def _encoded_words(text: str) -> str:
    """RFC 2047 section 2, as base64, no character split between two words (section 5); each after a blank."""
    words: list[bytes] = [b""]
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(words[-1]) + len(octets) > ENCODED_OCTETS:
            words.append(b"")
        words[-1] += octets
    return CRLF.join(f" =?utf-8?b?{base64.b64encode(word).decode()}?=" for word in words)


def _longest_word(text: str) -> int:
    return max(map(len, text.split(" ")))


def _folded(line: str) -> str:
    """Broken before blanks, so that taking the breaks out gives the same text (RFC 5322 section 2.2.3).

    Not before the first word: a line that holds the field's name alone is obsolete syntax.
    """
    words = re.findall(r" *[^ ]+", line)
    lines = ["".join(words[:2])]
    for word in words[2:]:
        if len(lines[-1]) + len(word) > FOLD_AT:
            lines.append(word)
        else:
            lines[-1] += word
    return CRLF.join(lines)


def _body(handoff: Handoff) -> bytes:
    """mixed(related(alternative)) as far as there is something to hold together; ends with a line break."""
    message = handoff.message
    inline = [a for a in message.attachments if a.inline] if message.html else []
    loose = [a for a in message.attachments if not (a.inline and message.html)]
    html = _text("html", message.html) if message.html else b""
    if inline:
        html = _multipart("related", [html, *(_file(a) for a in inline)], 'type="text/html"')
    text = _text("plain", message.text) if message.text or not html else b""
    body = _multipart("alternative", [text, html]) if text and html else text or html
    return _multipart("mixed", [body, *(_file(a) for a in loose)]) if loose else body


def _multipart(subtype: str, parts: list[bytes], parameter: str = "") -> bytes:
    """The boundary cannot be in base64 or quoted-printable ("=_"), nor, being random, in plain text."""
    boundary = f"=_{secrets.token_hex(16)}"
    more = f";{CRLF} {parameter}" if parameter else ""
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"{more}{CRLF}{CRLF}'.encode()
    line = f"--{boundary}".encode()
    inside = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)
    return head + inside + line + b"--\r\n"


def _text(subtype: str, text: str) -> bytes:
    """A text part: as it is, or quoted-printable when mostly ASCII, or base64."""
    lines = _NEWLINE.sub(CRLF, text)
    if not lines.endswith(CRLF):
        lines += CRLF
    octets = lines.encode("utf-8", "replace")
    if _PLAIN_TEXT.fullmatch(lines):
        encoding, body = "7bit", octets
    elif sum(octet > 126 for octet in octets) * 6 < len(octets):
        encoding, body = "quoted-printable", binascii.b2a_qp(octets, istext=True)
    else:
        encoding, body = "base64", _base64(octets)
    charset = "us-ascii" if encoding == "7bit" else "utf-8"
    head = f'Content-Type: text/{subtype}; charset="{charset}"{CRLF}Content-Transfer-Encoding: {encoding}'
    return f"{head}{CRLF}{CRLF}".encode() + body


def _file(attachment: Attachment) -> bytes:
    kind = attachment.content_type
    # message/* and multipart/* must not be base64 (RFC 2045 section 6.4), and as they are would not be safe.
    if not _MEDIA_TYPE.fullmatch(kind) or kind.lower().startswith(("message/", "multipart/")):
        kind = "application/octet-stream"
    head = [
        f"Content-Type: {kind}",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: " + ("inline" if attachment.inline else "attachment") + _filename(attachment),
    ]
    if attachment.inline:
        _check("Content-ID", attachment.content_id)
        head.append(f"Content-ID: <{attachment.content_id}>")
    return f"{CRLF.join(head)}{CRLF}{CRLF}".encode("ascii", "replace") + _base64(attachment.content)


def _filename(attachment: Attachment) -> str:
    """RFC 2183 section 2.3; RFC 2231 section 3 and 4 where it is long or not ASCII."""
    name = attachment.filename
    if not name:
        return ""
    if len(name) <= 60 and _VISIBLE.fullmatch(name):
        return f';{CRLF} filename="{quoted(name)}"'
    pieces = [""]
    for character in name:
        octets = quote(character.encode("utf-8", "replace"), safe="")
        if len(pieces[-1]) + len(octets) > 50:
            pieces.append("")
        pieces[-1] += octets
    if len(pieces) == 1:
        return f";{CRLF} filename*=utf-8''{pieces[0]}"
    pieces[0] = f"utf-8''{pieces[0]}"
    return "".join(f";{CRLF} filename*{number}*={piece}" for number, piece in enumerate(pieces))


def _base64(octets: bytes) -> bytes:
    """Lines of 76 characters (RFC 2045 section 6.8)."""
    text = base64.b64encode(octets)
    return b"".join(text[start : start + 76] + b"\r\n" for start in range(0, len(text), 76)) or b"\r\n"
