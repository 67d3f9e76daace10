"""The list of addresses that an account must not mail, as people keep it."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy import text as sql

from flute_server import addresses
from flute_server.admin.audit import Author, note
from flute_server.admin.find import find
from flute_server.admin.paging import listed, page
from flute_server.domain.suppression_csv import BadLine, Line, NotCsv, read, write
from flute_server.errors import Violation, invalid, not_found
from flute_server.models import Account, Suppression, SuppressionReason, db

MAX_TEXT = 500
BY_HAND = "put on the list by hand"
IMPORTED = "imported"
# Lines of an import that one statement stores, and of a piece of an export.
CHUNK = 5_000
PROBLEMS_SHOWN = 100
_HEADER = ("email", "reason", "text", "create_time")
_STORE = sql(
    """
    INSERT INTO suppression (id, account_id, address, reason, text)
    SELECT gen_random_uuid(), :account_id, address, reason, text FROM unnest(
        CAST(:addresses AS text[]), CAST(:reasons AS text[]), CAST(:texts AS text[])
    ) AS given (address, reason, text)
    ON CONFLICT (account_id, address) DO NOTHING
    RETURNING id
    """
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the lines of a file; problems: the first of those that were refused."""

    added: int
    known: int
    refused: int
    problems: Sequence[BadLine]


def create(
    account_id: str, address: str, reason: SuppressionReason, text: str, author: Author
) -> Suppression:
    """Put an address on the list by hand; one that is on it stays. Raises InvalidArgument, NotFound."""
    account = find(Account, account_id)
    address = address.strip().lower()
    if why := addresses.why_invalid(address):
        raise invalid([Violation("suppression.email", why)])
    if _add(account.id, [(address, reason, text.strip() or BY_HAND)]):
        note(account.id, author, "suppression.create", address, reason)
    db.session.commit()
    known = select(Suppression).where(Suppression.account_id == account.id, Suppression.address == address)
    return db.session.scalars(known).one()


def get(id_: str, account_id: uuid.UUID | None) -> Suppression:
    """The entry with this id, in this account if one is given. Raises NotFound."""
    row = find(Suppression, id_)
    if account_id not in {None, row.account_id}:
        raise not_found("suppression", id_)
    return row


def delete(id_: str, account_id: uuid.UUID | None, author: Author) -> None:
    """Take an address off the list, of this account if one is given. Raises NotFound."""
    row = get(id_, account_id)
    text = f"it was there since {row.create_time:%d %b %Y} ({row.reason}: {row.text})"
    note(row.account_id, author, "suppression.delete", row.address, text)
    db.session.delete(row)
    db.session.commit()


def list_page(
    account_id: str, address: str, reason: SuppressionReason | None, size: int, token: str
) -> tuple[list[Suppression], str]:
    """Oldest first; an empty address and no reason let all through."""
    account = find(Account, account_id)
    query = select(Suppression).where(Suppression.account_id == account.id)
    if "\0" in address:
        raise invalid([Violation("email", "holds a NUL character")])
    if address := address.strip().lower():
        query = query.where(Suppression.address == address)
    if reason:
        query = query.where(Suppression.reason == reason)
    return page(query, Suppression, size, token)


def import_csv(account_id: str, data: bytes, author: Author) -> Imported:
    """Put the addresses of a file on the list, all in one transaction; known ones stay as they are.

    Raises InvalidArgument for a file that is no CSV of ours; a bad line does not hinder the others.
    """
    account = find(Account, account_id)
    try:
        lines = [_checked(line) for line in read(data)]
    except NotCsv as error:
        raise invalid([Violation("csv", str(error))]) from error
    bad = [line for line in lines if isinstance(line, BadLine)]
    # In one order for all, so that two imports at the same time cannot wait for each other.
    good = sorted(_row(line) for line in lines if isinstance(line, Line))
    added = _add(account.id, good)
    done = Imported(added, len(good) - added, len(bad), bad[:PROBLEMS_SHOWN])
    text = f"{added:,} added, {done.known:,} were on the list, {done.refused:,} lines refused"
    note(account.id, author, "suppression.import", f"{added:,} address{'' if added == 1 else 'es'}", text)
    db.session.commit()
    return done


def export_csv(account_id: str, token: str) -> tuple[bytes, str]:
    """A piece of the whole list, oldest first, and the token of the next; the first has the header line."""
    account = find(Account, account_id)
    query = select(Suppression).where(Suppression.account_id == account.id)
    rows, next_token = listed(query, Suppression, CHUNK, token)
    return write(itertools.chain([] if token else [_HEADER], _cells(rows))), next_token


def _cells(rows: Iterable[Suppression]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        yield row.address, row.reason, row.text, row.create_time.isoformat(timespec="seconds")


def _checked(line: Line | BadLine) -> Line | BadLine:
    if isinstance(line, BadLine):
        return line
    address = line.email.strip().lower()
    if why := addresses.why_invalid(address) if address else "has no address":
        return BadLine(line.number, f"{address[:100]!r}: {why}" if address else why)
    if _reason(line) not in set(SuppressionReason):
        known = ", ".join(SuppressionReason)
        return BadLine(line.number, f"the reason {line.reason[:40]!r} is none of {known}")
    return Line(line.number, address, line.reason, line.text)


def _reason(line: Line) -> str:
    return line.reason.strip().lower() or SuppressionReason.MANUAL


def _row(line: Line) -> tuple[str, str, str]:
    return line.email, _reason(line), line.text or IMPORTED


def _add(account_id: uuid.UUID, rows: Sequence[tuple[str, str, str]]) -> int:
    """How many of these (address, reason, text) were not on the list and are now."""
    added = 0
    for first in range(0, len(rows), CHUNK):
        chunk = rows[first : first + CHUNK]
        values = {
            "account_id": account_id,
            "addresses": [address for address, _, _ in chunk],
            "reasons": [reason for _, reason, _ in chunk],
            "texts": [text.replace("\0", "")[:MAX_TEXT] for _, _, text in chunk],
        }
        added += len(db.session.execute(_STORE, values).all())
    return added
