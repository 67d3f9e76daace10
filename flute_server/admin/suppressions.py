"""The list of addresses that an account must not mail, as people keep it."""

from __future__ import annotations

from sqlalchemy import select

from flute_server import addresses
from flute_server.admin.find import find
from flute_server.admin.paging import page
from flute_server.errors import Violation, invalid
from flute_server.models import Account, Suppression, SuppressionReason, db


def create(account_id: str, address: str, text: str) -> Suppression:
    """Put an address on the list by hand; one that is on it stays. Raises InvalidArgument, NotFound."""
    account = find(Account, account_id)
    address = address.strip().lower()
    if why := addresses.why_invalid(address):
        raise invalid([Violation("suppression.email", why)])
    known = select(Suppression).where(Suppression.account_id == account.id, Suppression.address == address)
    if row := db.session.scalar(known):
        return row
    row = Suppression(
        account_id=account.id,
        address=address,
        reason=SuppressionReason.MANUAL,
        text=text.strip()[:500] or "put on the list by hand",
    )
    db.session.add(row)
    db.session.commit()
    return row


def delete(id_: str) -> None:
    db.session.delete(find(Suppression, id_))
    db.session.commit()


def list_page(account_id: str, size: int, token: str) -> tuple[list[Suppression], str]:
    account = find(Account, account_id)
    return page(select(Suppression).where(Suppression.account_id == account.id), Suppression, size, token)
