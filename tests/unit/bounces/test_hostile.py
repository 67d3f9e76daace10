"""Mails that were made to hurt: whatever comes in, a list comes out, soon and small."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flute_server.bounces import read
from flute_server.domain.event import ProviderEvent, ProviderEventKind
from tests.unit.bounces import samples
from tests.unit.bounces.samples import ONE, read_address, report

SAMPLES = [
    value for name, value in sorted(vars(samples).items()) if name.isupper() and isinstance(value, bytes)
]
SLOW_S = 3.0  # seconds of computing that a mail may take; a laptop needs a third


def timed(raw: bytes) -> list[ProviderEvent]:
    start = time.process_time()
    events = read(raw, read_address, ONE)
    assert time.process_time() - start < SLOW_S
    size = sum(len(e.diagnostic.text) + len(repr(e.raw)) for e in events)
    assert size < 4 * 1024 * 1024
    return events


def nested(depth: int, kind: str) -> bytes:
    raw = b"550 5.1.1 the core"
    for level in range(depth):
        if kind == "rfc822":
            raw = b"Content-Type: message/rfc822\n\n" + raw
        else:
            mark = b"b%d" % level
            head = b"Content-Type: multipart/" + kind.encode() + b"; boundary=" + mark
            raw = head + b"\n\n--" + mark + b"\n" + raw + b"\n--" + mark + b"--\n"
    return b"From: MAILER-DAEMON@x.example\nSubject: failure notice\n" + raw


@pytest.mark.parametrize("kind", ["mixed", "digest", "report", "rfc822"])
@pytest.mark.parametrize("depth", [30, 2_000])
def test_deep_nesting(kind: str, depth: int):
    assert timed(nested(depth, kind))


HEAD = b"From: MAILER-DAEMON@x.example\nX-Mailer: <SMTP32 v1>\nSubject: failure notice\n"
STARTS = b"\n".join(
    [
        b"here is your list of failed recipients",
        b"the following addresses had",
        b"this message was created automatically by mail delivery software",
        b"failed addresses follow:",
        b"Your message could not be delivered to",
        b"A message that you sent could not be delivered",
        b"Did not reach the following recipient",
        b"not yet been delivered",
        b"Hi. This is the\n",
        b"This Message was undeliverable due to the following reason:",
        b"Message not delivered to the following",
    ]
)
BOMBS = {
    "ten megabytes": HEAD + b"\n" + (b"x" * 76 + b"\n") * 136_000,
    "one long line": HEAD + b"\n" + STARTS + b"\n" + b"a" * 10_000_000,
    "angles": HEAD + b"\n" + STARTS + b"\n" + (b"<" * 990 + b"\n") * 1_000,
    "words without an at": HEAD + b"\n" + STARTS + b"\n" + (b"a" * 990 + b"\n") * 1_000,
    "ats": HEAD + b"\n" + STARTS + b"\n" + (b"@" * 990 + b"\n") * 1_000,
    "commas": HEAD + b"\n" + STARTS + b"\n" + (b",a@" * 330 + b"\n") * 1_000,
    "blanks": HEAD + b"\n" + STARTS + b"\n" + (b" " * 990 + b"\n") * 1_000,
    "dashes": HEAD + b"\n" + (b"-" * 990 + b"\n") * 1_000,
    "empty lines": HEAD + b"\n" + b"\n" * 1_000_000,
    "carriage returns": HEAD + b"\n" + b"\r" * 1_000_000,
    "header fields": HEAD + b"X-A: b\n" * 150_000 + b"\nhi",
    "a folded header": b"Subject: x\n" + b" folded\n" * 120_000 + b"\nhi",
    "encoded words": b"Subject: " + b"=?utf-8?b?eA==?= " * 60_000 + b"\n\nhi",
    "html": HEAD + b"Content-Type: text/html\n\n" + (b"<" * 990 + b"\n") * 1_000,
    "base64 of angles": HEAD + b"Content-Transfer-Encoding: base64\n\n" + b"PDw8" * 250_000,
    "base64 lines": HEAD + b"Content-Transfer-Encoding: base64\n\n" + (b"PDw8" * 19 + b"\n") * 13_000,
    "soft breaks": HEAD + b"Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n"
    + (b"<" * 70 + b"=\n") * 13_000,
    "empty parts": HEAD + b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\n" * 150_000,
    "many types": HEAD + b"Content-Type: multipart/mixed; boundary=x\n" * 20_000,
    "half addresses of ours": HEAD + b"\n" + (b"bounce+" + b"a" * 60) * 15_000,
    "mistaken addresses of ours": HEAD + b"\n" + (ONE.replace(".", ".a", 1)[:-2].encode() + b" ") * 10_000,
    "punycode": HEAD + b"Content-Type: text/plain; charset=punycode\n\n" + b"a-zzzzzzzz" * 100_000,
    "charsets that are none": HEAD + b"Content-Type: text/plain; charset=\"\xff\x00;utf-8\"\n\n\xff\xfe",
    "zeros": HEAD + b"\n" + b"\0" * 1_000_000,
    "recipients": report("Final-Recipient: rfc822; a@b\nAction: failed\n\n" * 20_000),
    "different recipients": report(
        "\n".join(f"\nFinal-Recipient: rfc822; a{n}@b\nAction: failed\n" for n in range(9_000)),
        "long " * 9_000,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str):
    assert 1 <= len(timed(BOMBS[name])) <= 200


def test_a_report_on_top_of_ten_megabytes_is_read():
    raw = samples.POSTFIX.replace(
        b"\r\n--B--", b"\r\n" + (b"original " * 8 + b"\r\n") * 140_000 + b"\r\n--B--"
    )
    (event,) = timed(raw)
    assert (event.kind, event.recipient) == (ProviderEventKind.BOUNCED, "ada@example.com")


@given(st.binary(max_size=2_000), st.text(max_size=80))
def test_any_octets_give_a_list(raw: bytes, recipient: str):
    assert isinstance(read(raw, read_address, recipient), list)


@settings(max_examples=400)
@given(st.sampled_from(SAMPLES), st.data())
def test_any_damage_to_a_real_one_gives_a_list(raw: bytes, data: st.DataObject):
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(len(raw), start + 60)))
        raw = raw[:start] + data.draw(st.binary(max_size=12)) + raw[end:]
    check(read(raw, read_address, ONE, datetime.now(UTC)))


@settings(max_examples=300)
@given(st.lists(st.sampled_from([line for raw in SAMPLES for line in raw.splitlines()]), max_size=40))
def test_any_mixture_of_real_lines_gives_a_list(lines: list[bytes]):
    check(read(b"\n".join(lines), read_address, ONE))


def check(events: list[ProviderEvent]) -> None:
    keys = [event.key for event in events]
    assert len(set(keys)) == len(keys)
    for event in events:
        assert event.raw["verified"] is True
        assert event.attempt_id == samples.ATTEMPT
        # PostgreSQL takes UTF-8 without zeros.
        told = [event.recipient, event.diagnostic.text, event.diagnostic.rhost, *map(str, event.raw.values())]
        assert "\0" not in "".join(told).encode().decode()
