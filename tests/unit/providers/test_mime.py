"""The octets for SMTP: whatever goes in comes out of another parser, and nothing else does."""

from __future__ import annotations

import re
from dataclasses import replace
from email import message_from_bytes, policy
from email.header import decode_header
from email.message import EmailMessage
from email.utils import getaddresses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flute_server.domain.message import Address, Attachment, Handoff, Message, Recipient, RecipientKind
from flute_server.providers import mime

NOW = 1_767_225_600.0  # 2026-01-01
SIMPLE = Message(Address("news@flutemail.io", "News"), (Address("ada@example.com"),), subject="Hi", text="hi")

# What a person can write: no controls, no lone surrogates, and no blanks that a header field cannot keep.
_WRITABLE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
_LINE = st.text(_WRITABLE, max_size=300)
_NAME = st.text(_WRITABLE, max_size=120)
_LOCAL = st.from_regex(r"[a-z0-9]{1,12}([.+-][a-z0-9]{1,12}){0,2}", fullmatch=True)
_DOMAIN = st.sampled_from(["example.com", "bücher.example", "a-very-long-label-here.example.org"])
_ADDRESS = st.builds(lambda local, domain, name: Address(f"{local}@{domain}", name), _LOCAL, _DOMAIN, _NAME)
_ADDRESSES = st.lists(_ADDRESS, max_size=4).map(tuple)
_BODY = st.text(st.characters(exclude_categories=["Cs"]), max_size=2000)
_FILES = st.lists(
    st.builds(
        Attachment,
        filename=st.text(_WRITABLE, min_size=1, max_size=150),
        content=st.binary(max_size=300),
        content_type=st.sampled_from(["application/pdf", "text/plain; charset=utf-8", "image/png"]),
        content_id=st.sampled_from(["", "logo1", "a.b@c"]),
    ),
    max_size=3,
).map(tuple)
_HEADERS = st.lists(
    st.tuples(st.from_regex(r"X-[A-Za-z0-9-]{1,20}", fullmatch=True), _LINE),
    max_size=3,
    unique_by=lambda h: h[0].lower(),
).map(tuple)
MESSAGES = st.builds(
    Message,
    sender=_ADDRESS,
    to=_ADDRESSES,
    cc=_ADDRESSES,
    bcc=_ADDRESSES,
    reply_to=_ADDRESSES,
    subject=_LINE,
    text=_BODY,
    html=_BODY,
    headers=_HEADERS,
    attachments=_FILES,
)


def handoff(message: Message) -> Handoff:
    recipients = tuple(Recipient(f"r{n}", a, RecipientKind.TO) for n, a in enumerate(message.to))
    return Handoff("email-1", "attempt-1", message, recipients)


def parsed(message: Message) -> EmailMessage:
    built = message_from_bytes(mime.build(handoff(message), NOW), policy=policy.default)
    assert isinstance(built, EmailMessage)
    assert not built.defects
    return built


def ascii_domain(address: Address) -> tuple[str, str]:
    return address.name, address.email.replace("bücher", "xn--bcher-kva")


def lines(text: str) -> str:
    """Line breaks as mail has them; the last line always ends."""
    broken = re.sub(r"\r\n|\r|\n", "\n", text)
    return broken if broken.endswith("\n") else broken + "\n"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(message=MESSAGES)
def test_every_header_field_comes_back(message: Message) -> None:
    octets = mime.build(handoff(message), NOW)
    built = message_from_bytes(octets, policy=policy.compat32)

    assert decoded(built["Subject"]) == message.subject
    for name, value in message.headers:
        assert decoded(built[name]) == value
    for name, expected in (
        ("From", (message.sender,)),
        ("To", message.to),
        ("Cc", message.cc),
        ("Reply-To", message.reply_to),
    ):
        if expected:
            assert mailboxes(built[name]) == [ascii_domain(a) for a in expected]
    assert "Bcc" not in built
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
    assert octets.isascii()
    assert b"\n" not in octets.replace(b"\r\n", b"")
    assert b"\r" not in octets.replace(b"\r\n", b"")


def decoded(field: str | None) -> str:
    """Unfolded (RFC 5322 section 2.2.3), blanks between encoded-words dropped (RFC 2047 section 6.2)."""
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", str(field or ""))
    if "=?" not in unfolded:
        return unfolded
    return "".join(
        part.decode(charset or "ascii") if isinstance(part, bytes) else part
        for part, charset in decode_header(unfolded)
    )


def mailboxes(field: str | None) -> list[tuple[str, str]]:
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", str(field or ""))
    return [(decoded(name), email) for name, email in getaddresses([unfolded])]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(message=MESSAGES)
def test_bodies_and_files_come_back(message: Message) -> None:
    built = parsed(
        replace(message, sender=SIMPLE.sender, to=SIMPLE.to, cc=(), reply_to=(), headers=(), subject="")
    )
    texts: dict[str, str] = {}
    files = []
    for part in built.walk():
        if part.is_multipart():
            continue
        if part.get_content_disposition():
            content = part.get_payload(decode=True)
            files.append((part.get_filename(), content, str(part["Content-ID"] or "").strip("<>")))
        else:
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            texts[part.get_content_type()] = payload.decode().replace("\r\n", "\n")

    expected = {"text/plain": message.text, "text/html": message.html}
    wanted = {kind: lines(text) for kind, text in expected.items() if text} or {"text/plain": "\n"}
    assert texts == wanted
    assert sorted(files) == sorted((a.filename.strip(), a.content, a.content_id) for a in message.attachments)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"subject": "a\r\nBcc: eve@example.com"},
        {"subject": "a\nb"},
        {"subject": "a\0b"},
        {"sender": Address("news@flutemail.io", "a\r\nb")},
        {"sender": Address("news@flutemail.io>\r\nBcc: <eve@example.com", "a")},
        {"to": (Address("ada@example.com", "Ada\nBcc: eve@example.com"),)},
        {"to": (Address("ada@example.com\r\nBcc: eve@example.com"),)},
        {"reply_to": (Address("a@example.com\n"),)},
        {"headers": (("X-A", "b\r\n\r\nbody"),)},
        {"headers": (("X-A: b\r\nBcc", "eve@example.com"),)},
        {"headers": (("X A", "b"),)},
        {"headers": (("X-Ä", "b"),)},
        {"html": "<p>", "attachments": (Attachment("a", b"", "image/png", "cid\r\nX: y"),)},
    ],
)
def test_nothing_can_start_a_header_field_of_its_own(spoiled: dict[str, object]) -> None:
    with pytest.raises(mime.UnsafeHeader):
        mime.build(handoff(replace(SIMPLE, **spoiled)), NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "hostile", ["text/plain\r\nX-Evil: 1", 'text/plain; name="a\n"', "evil", "", "message/rfc822"]
)
def test_a_doubtful_media_type_becomes_plain_octets(hostile: str) -> None:
    built = parsed(replace(SIMPLE, attachments=(Attachment('a"b\\c.txt', b"x", hostile),)))

    part = next(built.iter_attachments())

    assert part.get_content_type() == "application/octet-stream"
    assert part.get_filename() == 'a"b\\c.txt'
    assert "X-Evil" not in part


def test_the_structure_is_what_mail_programs_expect() -> None:
    full = replace(
        SIMPLE,
        html='<img src="cid:logo">',
        attachments=(
            Attachment("l.png", b"1", "image/png", "logo"),
            Attachment("a.pdf", b"2", "application/pdf"),
        ),
    )

    def shape(part: EmailMessage) -> object:
        if part.is_multipart():
            return part.get_content_subtype(), [shape(p) for p in part.iter_parts()]  # type: ignore[arg-type]
        return part.get_content_type()

    assert shape(parsed(full)) == (
        "mixed",
        [("alternative", ["text/plain", ("related", ["text/html", "image/png"])]), "application/pdf"],
    )


def test_the_message_carries_our_ids_and_a_date() -> None:
    built = parsed(SIMPLE)

    assert built["Message-ID"] == "<attempt-1@flutemail.io>"
    assert built["X-Flute-Id"] == "email-1"
    assert built["Date"].datetime.timestamp() == NOW
    assert built["MIME-Version"] == "1.0"


def test_a_mail_to_blind_copies_only_names_nobody() -> None:
    built = parsed(replace(SIMPLE, to=(), bcc=(Address("eve@example.com"),)))

    assert built["To"] == "undisclosed-recipients:;"
    assert b"eve" not in built.as_bytes()


def test_only_a_local_part_beyond_ascii_makes_the_octets_more_than_seven_bits() -> None:
    assert mime.build(handoff(replace(SIMPLE, to=(Address("ada@bücher.example"),))), NOW).isascii()
    assert "jürgen@example.com".encode() in mime.build(
        handoff(replace(SIMPLE, to=(Address("jürgen@example.com"),))), NOW
    )
