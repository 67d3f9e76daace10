"""A suppression list as CSV (RFC 4180): what is written can be read back without loss, whatever is in it.

Spreadsheets take a cell that begins with = + - or @ for a formula. Such a cell is written with an apostrophe
before it, which makes it text; reading takes that apostrophe away.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MAX_BYTES = 10 * 1024 * 1024
MAX_LINES = 100_000

# A cell that has apostrophes of its own before the sign gets one more, so that one can always be taken away.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_GUARDED = re.compile(r"'+[=+\-@\t\r\n]")
_COLUMNS = ("email", "reason", "text")


class NotCsv(ValueError):
    """The file as a whole cannot be read; says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the file; number: of the line on which it begins, the header being line 1."""

    number: int
    email: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A row that cannot be read, and why."""

    number: int
    why: str


def read(data: bytes) -> Iterator[Line | BadLine]:
    """The rows but for blank lines. Raises NotCsv, also while rows are read."""
    if len(data) > MAX_BYTES:
        raise NotCsv(f"has {len(data):,} bytes; at most {MAX_BYTES // 1024 // 1024} MB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotCsv(f"is not UTF-8: see byte {error.start + 1}") from error
    rows = _rows(text)
    header = next(rows, None)
    if header is None or isinstance(header, BadLine):
        raise NotCsv("has no header line")
    places = _places(header[1])
    for count, row in enumerate(rows, 1):
        if count > MAX_LINES:
            raise NotCsv(f"has more than {MAX_LINES:,} lines; import it in parts")
        yield row if isinstance(row, BadLine) else _line(*row, places, len(header[1]))


def write(rows: Iterable[Sequence[str]]) -> bytes:
    """Lines of CSV with these cells."""
    output = io.StringIO(newline="")
    csv.writer(output).writerows([_guarded(cell) for cell in row] for row in rows)
    return output.getvalue().encode()


def _rows(text: str) -> Iterator[tuple[int, list[str]] | BadLine]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadLine(number, f"is no CSV (RFC 4180): {error}")
            continue
        if cells:
            yield number, [_bare(cell) for cell in cells]


def _places(header: list[str]) -> dict[str, int]:
    """Where each column is that we read."""
    names = [name.strip().lower() for name in header]
    for name in _COLUMNS:
        if names.count(name) > 1:
            raise NotCsv(f"names the column {name} twice in its header line")
    if "email" not in names:
        has = ", ".join(name[:40] for name in names[:10])
        raise NotCsv(f"needs a header line, separated by commas, that names a column email; it has: {has}")
    return {name: names.index(name) for name in _COLUMNS if name in names}


def _line(number: int, cells: list[str], places: dict[str, int], width: int) -> Line | BadLine:
    if len(cells) > width:
        return BadLine(number, f"has {len(cells)} cells and the header {width}; is a comma not in quotes?")
    found = {name: cells[place] for name, place in places.items() if place < len(cells)}
    return Line(number, found.get("email", ""), found.get("reason", ""), found.get("text", ""))


def _guarded(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _bare(cell: str) -> str:
    return cell[1:] if _GUARDED.match(cell) else cell
