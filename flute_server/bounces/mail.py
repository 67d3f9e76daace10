"""A mail that anyone may have written, read within bounds: its size, lines, nesting and texts.

A report stands at the top of its mail and the returned original at the end, so cutting the end loses nothing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message

MAX_OCTETS = 1 << 20
MAX_LINES = 20_000
MAX_LINE = 1_000  # RFC 5322 section 2.1.1 allows 998
MAX_NESTED = 20  # each costs the parser a look at every line below
MAX_FIELD = 2_000
MAX_TEXT = 32_768

_CONTAINER = re.compile(rb"^content-type:\s*(?:multipart|message)/", re.IGNORECASE | re.MULTILINE)
# Codecs for text; others that Python knows are slow (punycode) or no text at all.
_CHARSETS = re.compile(
    r"(?:us-ascii|utf-?(?:8|16)|iso-?8859|iso-?2022|windows-|cp125|koi8|gb|big5|euc|shift|latin)[\w-]*"
)
_TAG = re.compile(r"<[^<>]*>")
_BLOCK_END = re.compile(r"<(?:br|/p|/div|/tr|/h\d|/li)\b[^<>]*>", re.IGNORECASE)


def bounded(raw: bytes) -> bytes:
    """The top of the mail, with plain line feeds and no zero octets."""
    text = raw[:MAX_OCTETS].replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\0", b" ")
    text = b"\n".join(line[:MAX_LINE] for line in text.split(b"\n", MAX_LINES)[:MAX_LINES])
    for number, container in enumerate(_CONTAINER.finditer(text), 1):
        if number > MAX_NESTED:
            return text[: container.start()]
    return text


def open_mail(text: bytes) -> Message:
    """The parsed mail. Takes what `bounded` gave."""
    return message_from_bytes(text)


def parts(message: Message) -> Iterator[Message]:
    """The parts that the reporter wrote; what is inside a returned mail is not his word."""
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in _children(message):
            yield from parts(part)
    else:
        yield message


def field(part: Message, name: str) -> str:
    """The first header field of that name on one line; empty when there is none."""
    return next(iter(field_values(part, name)), "")


def field_values(part: Message, name: str) -> list[str]:
    """Every header field of that name; `name` in lower case."""
    return [one_line(str(value)) for key, value in part.raw_items() if key.lower() == name]


def subject(message: Message) -> str:
    """The subject with its encoded words (RFC 2047) decoded where they can be."""
    text = field(message, "subject")
    try:
        return one_line(str(make_header(decode_header(text))))
    except (ValueError, LookupError):  # a charset or a coding that is none
        return text


def content_type(part: Message) -> str:
    return part.get_content_type()


def reported_fields(part: Message) -> list[Message]:
    """The groups of fields of a report part, which blank lines separate (RFC 3464 section 2.1).

    The parser has read them already, except where they came encoded (RFC 3464 forbids it, and it is done)
    and in message/global-delivery-status (RFC 6533), which it takes for a mail: so all are read anew.
    """
    text = "\n\n".join(_unparsed(child) for child in _children(part)) or str(part.get_payload())
    encoding = field(part, "content-transfer-encoding").lower()
    if encoding in {"base64", "quoted-printable"}:
        text = _decoded(text.strip(), encoding)
    groups = re.split(r"\n(?:[ \t]*\n)+", text.replace("\r\n", "\n"))
    return [message_from_bytes(_octets(group.strip()) + b"\n\n") for group in groups if group.strip()]


def human_text(message: Message) -> str:
    """What the reporter wrote for people: the first text part, HTML without its tags."""
    texts = [part for part in parts(message) if part.get_content_maintype() == "text"]
    plain = [part for part in texts if content_type(part) == "text/plain"]
    return part_text((plain or texts)[0]) if texts else ""


def part_text(part: Message) -> str:
    """A text part's content within bounds."""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    text = _characters(payload, part.get_param("charset"))
    if content_type(part) == "text/html":
        start = max(0, text.lower().find("<body"))
        text = html.unescape(_TAG.sub(" ", _BLOCK_END.sub("\n", text[start:])))
    return "\n".join(line[:MAX_LINE] for line in text.splitlines()).replace("\0", " ")[:MAX_TEXT]


def one_line(text: str) -> str:
    """Readable text of bounded length without line breaks, zeros or halves of characters."""
    return " ".join(_octets(text[:MAX_FIELD]).decode("utf-8", "replace").replace("\0", " ").split())


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def _unparsed(block: Message) -> str:
    head = "\n".join(f"{name}: {value}" for name, value in block.raw_items())
    payload = block.get_payload(decode=True)  # as octets: as text it would have lost what is not ASCII
    if not isinstance(payload, bytes) or not payload.strip():
        return head
    return f"{head}\n\n{payload.decode('ascii', 'surrogateescape')}"


def _decoded(text: str, encoding: str) -> str:
    carrier = Message()
    carrier["Content-Transfer-Encoding"] = encoding
    carrier.set_payload(_octets(text).decode("ascii", "replace").replace("\ufffd", "?"))
    payload = carrier.get_payload(decode=True)
    return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _characters(payload: bytes, charset: object) -> str:
    """UTF-8 if it can be read so, else by the named charset, else Latin-1, which reads anything."""
    payload = payload[: 4 * MAX_TEXT]
    named = str(charset).lower().strip()
    for name in ("utf-8", named if _CHARSETS.fullmatch(named) else "latin-1"):
        try:
            return payload.decode(name)
        except (UnicodeError, LookupError):
            continue
    return payload.decode("latin-1")


def _octets(text: str) -> bytes:
    """The octets that the parser hid in surrogates."""
    return text.encode("utf-8", "surrogateescape" if _escaped(text) else "replace")


def _escaped(text: str) -> bool:
    """Whether all surrogates are those that stand for an octet."""
    return not re.search(r"[\ud800-\udc7f\udd00-\udfff]", text)
