"""What is refused before anything is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.addresses import why_invalid
from flute_server.domain.message import Address, Attachment, Message
from flute_server.domain.validation import faults

GOOD = Message(
    sender=Address("hello@flutemail.io", "Flute"),
    to=(Address("ada@example.com", "Ada"),),
    subject="Hello",
    text="hi",
)
FILE = Attachment("a.txt", b"x", "text/plain")


def paths(**changes: object) -> list[str]:
    return [path for path, _ in faults(replace(GOOD, **changes), why_invalid)]  # type: ignore[arg-type]


def test_a_good_mail_has_no_fault():
    assert paths() == []


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"sender": Address("")}, "from"),
        ({"sender": Address("not an address")}, "from.email"),
        ({"sender": Address("a@example.com", "x\r\nBcc: y@example.com")}, "from.name"),
        ({"to": ()}, "to"),
        ({"to": (Address("a@b@c"),)}, "to[0].email"),
        ({"to": (Address("a@example.com"), Address("A@example.com"))}, "to[1].email"),
        ({"to": tuple(Address(f"a{n}@example.com") for n in range(51))}, "to"),
        ({"cc": (Address("x@-bad-.com"),)}, "cc[0].email"),
        ({"subject": " "}, "subject"),
        ({"subject": "a\nb"}, "subject"),
        ({"subject": "a" * 999}, "subject"),
        ({"text": " ", "html": ""}, "text"),
        ({"html": "a\0"}, "html"),
        ({"headers": (("X-A", "1\r\nX-B: 2"),)}, "headers.X-A"),
        ({"headers": (("X A", "1"),)}, "headers.X A"),
        ({"headers": (("Subject", "1"),)}, "headers.Subject"),
        ({"headers": (("content-type", "1"),)}, "headers.content-type"),
        ({"headers": (("X-A", "1"), ("x-a", "2"))}, "headers.x-a"),
        ({"attachments": (replace(FILE, filename=""),)}, "attachments[0].filename"),
        ({"attachments": (replace(FILE, filename="../a"),)}, "attachments[0].filename"),
        ({"attachments": (replace(FILE, content=b""),)}, "attachments[0].content"),
        ({"attachments": (replace(FILE, content_type="x"),)}, "attachments[0].content_type"),
        ({"attachments": (replace(FILE, content_id="<a>"),)}, "attachments[0].content_id"),
        ({"tags": ("",)}, "tags[0]"),
        ({"metadata": {"a": "x" * 1001}}, "metadata.a"),
    ],
)
def test_each_fault_is_named_by_its_path(changes: dict[str, object], path: str):
    assert paths(**changes) == [path]


def test_all_faults_are_found_at_once():
    assert set(paths(to=(), subject="")) == {"to", "subject"}


@given(st.text(), st.text(), st.text(), st.text())
def test_nothing_that_passes_can_add_a_header_line(name: str, subject: str, header: str, value: str):
    message = replace(
        GOOD, sender=Address("a@flutemail.io", name), subject=subject, headers=((header, value),)
    )
    if not list(faults(message, why_invalid)):
        assert not any(c in field for c in "\r\n\0" for field in (name, subject, header, value))
