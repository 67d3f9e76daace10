"""CSV of suppressions: lossless both ways, and clear about what it cannot read."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain import suppression_csv
from flute_server.domain.suppression_csv import BadLine, Line, NotCsv, read, write

HEADER = ("email", "reason", "text")
CELLS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("'=+-@\t\r\n\",; a")


@given(rows=st.lists(st.tuples(CELLS.filter(bool), CELLS, CELLS)))
def test_what_is_written_is_read_back(rows: list[tuple[str, str, str]]):
    found = [line for line in read(write([HEADER, *rows])) if isinstance(line, Line)]
    assert [(line.email, line.reason, line.text) for line in found] == rows


@given(cell=CELLS)
def test_no_cell_is_a_formula(cell: str):
    shown = write([[cell]]).decode().removeprefix('"')
    assert not shown.startswith(("=", "+", "-", "@", "\t"))
    assert not cell.startswith(("\r", "\n")) or shown.startswith("'")


@given(data=st.binary())
def test_any_file_is_read_or_refused(data: bytes):
    for content in (data, b"email,text\n" + data):
        with contextlib.suppress(NotCsv):
            list(read(content))


@pytest.mark.parametrize(
    "data",
    [
        b"email,reason,text\r\na@b.example,bounce,why\r\n",
        b"\xef\xbb\xbfemail,reason,text\na@b.example,bounce,why",
        b"Name, TEXT ,Reason,EMAIL\nx,why,bounce,a@b.example\n\n",
        b'"email","reason","text"\n"a@b.example","bounce","why"\n',
    ],
)
def test_columns_are_found_by_their_names(data: bytes):
    [line] = read(data)
    assert isinstance(line, Line)
    assert (line.number, line.email, line.reason, line.text) == (2, "a@b.example", "bounce", "why")


def test_lines_are_numbered_as_an_editor_does():
    data = b'email,text\na@b.example,"1\n2"\n\nc@d.example\ne@f.example,x,y\ng@h.example,"x"y\nh@i.example'
    lines = list(read(data))
    assert [line.number for line in lines] == [2, 5, 6, 7, 8]
    bad = [line for line in lines if isinstance(line, BadLine)]
    assert [line.number for line in bad] == [6, 7]
    assert "comma" in bad[0].why


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no header"),
        (b"a@b.example\nc@d.example\n", "header line"),
        (b"email;reason\na@b.example;bounce\n", "separated by commas"),
        (b"email,Email\na@b.example,c@d.example\n", "twice"),
        ("email\nä@b.example\n".encode("latin-1"), "UTF-8: see byte 7"),
        ("email\na@b.example\n".encode("utf-16"), "UTF-8"),
        (b"email\n" + b"a@b.example\n" * 100_001, "100,000"),
        (b"email\n" + b" " * 10 * 1024 * 1024, "at most 10 MB"),
    ],
)
def test_a_file_that_is_none_is_refused(data: bytes, why: str):
    with pytest.raises(NotCsv, match=why):
        list(read(data))


def test_a_quote_that_is_never_closed_is_a_bad_line():
    [good, bad] = read(b'email,text\na@b.example,x\nc@d.example,"never closed\ne@f.example,x\n')
    assert isinstance(good, Line)
    assert isinstance(bad, BadLine)
    assert bad.number == 3


def test_the_largest_file_is_taken():
    rows = ((f"u{n}@example.com", "manual", "x" * 40) for n in range(suppression_csv.MAX_LINES))
    assert sum(isinstance(line, Line) for line in read(write([HEADER, *rows]))) == suppression_csv.MAX_LINES
