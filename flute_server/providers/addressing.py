"""Addresses as providers want them: ASCII domains, mailbox texts, who stands in which field of a call."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import idna

from flute_server.domain.message import Address, Handoff, RecipientKind

# What needs no quotes in a phrase: atext (RFC 5322, RFC 6532 for non-ASCII) and single spaces.
_PHRASE = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*")
_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+")


@dataclass(frozen=True, slots=True)
class Addressees:
    """The fields of one call. `to` is empty only when nobody but hidden recipients is left."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]


def addressees(handoff: Handoff) -> Addressees:
    """Who is addressed how: nobody twice (SendGrid answers 400 to that); cc becomes to when no to is left.

    bcc never becomes to: those who got a blind copy would see each other.
    """
    seen: set[str] = set()
    to, cc, bcc = (_unseen(handoff.addresses(kind), seen) for kind in RecipientKind)
    return Addressees(to, cc, bcc) if to else Addressees(cc, (), bcc)


def _unseen(addresses: Iterable[Address], seen: set[str]) -> tuple[Address, ...]:
    fresh = []
    for address in addresses:
        key = address.email.lower()
        if key not in seen:
            seen.add(key)
            fresh.append(address)
    return tuple(fresh)


def ascii_email(email: str) -> str:
    """The address with its domain in ASCII (IDNA 2008), which every system understands."""
    if email.isascii():
        return email
    local, _, domain = email.rpartition("@")
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        return email  # not a domain: the provider says so better than we do


def mailbox(address: Address) -> str:
    """`Name <addr>` in Unicode, the name quoted where RFC 5322 section 3.4 asks for it."""
    email = ascii_email(address.email)
    if not address.name:
        return email
    if _PHRASE.fullmatch(address.name):
        return f"{address.name} <{email}>"
    return f'"{quoted(address.name)}" <{email}>'


def mailboxes(addresses: Iterable[Address]) -> str:
    """A comma-separated list."""
    return ", ".join(mailbox(address) for address in addresses)


def quoted(name: str) -> str:
    """The inside of a quoted-string (RFC 5322 section 3.2.4)."""
    return name.replace("\\", "\\\\").replace('"', '\\"')


def named_recipients(handoff: Handoff, *texts: str) -> tuple[str, ...]:
    """The ids of the recipients whose addresses a text names; providers lower-case them now and then."""
    found = {match.rstrip(".").lower() for text in texts for match in _ADDRESS.findall(text)}
    return tuple(
        r.id
        for r in handoff.recipients
        if r.address.email.lower() in found or ascii_email(r.address.email).lower() in found
    )
