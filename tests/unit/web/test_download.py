"""A file that somebody else named is kept by the browser, under a name that does no harm."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from web.dashboard.download import LONGEST, disposition, download, safe_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("invoice.pdf", "invoice.pdf"),
        ("Résumé, Zoë.pdf", "Résumé, Zoë.pdf"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\autoexec.bat", "C__autoexec.bat"),
        ('a"; filename="evil.exe', "a_; filename=_evil.exe"),
        ("a\r\nSet-Cookie: x=1", "aSet-Cookie_ x=1"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("zero\u200bwidth\x00.txt", "zerowidth.txt"),
        (".htaccess", "htaccess"),
        ("con.txt", "_con.txt"),
        ("...", "attachment"),
        ("\u202e\u200f", "attachment"),
        (" spaced   out . ", "spaced out"),
        ("<img src=x>.html", "_img src=x_.html"),
    ],
)
def test_a_name_says_what_it_is_and_leads_nowhere(name: str, expected: str):
    assert safe_name(name) == expected


def test_a_long_name_keeps_its_ending():
    assert len(safe_name("x" * 255)) == LONGEST
    long = safe_name("x" * 251 + ".pdf")
    assert len(long) == LONGEST
    assert long.endswith(".pdf")


HOSTILE = [
    "plain.txt",
    'q"uo\\te.txt',
    "a\r\nX: y",
    "100%41.txt",
    "日本語.pdf",
    "\U0001f600.png",
    "a;b'c*d.txt",
    "",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_the_header_is_one_header_with_one_name_for_each_kind_of_program(name: str):
    found = re.fullmatch(
        r"attachment; filename=\"([A-Za-z0-9 ._()+=,@-]+)\"; filename\*=UTF-8''([A-Za-z0-9._~%-]+)",
        disposition(name),
    )
    assert found
    assert unquote(found[2]) == safe_name(name)


def test_nothing_is_shown_and_nothing_runs():
    answer = download(b"<script>alert(1)</script>", "page.html")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
