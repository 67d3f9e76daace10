"""Whether a text is a usable address or domain; the rules are those of the email-validator package."""

from __future__ import annotations

import re
from functools import lru_cache

import email_validator
from email_validator import EmailNotValidError, validate_email

# Companies do run mail in these two; an SMTP route reaches them.
for _name in ("local", "test"):
    if _name in email_validator.SPECIAL_USE_DOMAIN_NAMES:
        email_validator.SPECIAL_USE_DOMAIN_NAMES.remove(_name)


# What most addresses are like: RFC 5322's dot-atom, at a domain in ASCII.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PLAIN = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@([A-Za-z0-9.-]+)")
# RFC 5321 section 4.5.3.1, and RFC 3696 erratum 1690.
_MAX_LOCAL, _MAX_ADDRESS = 64, 254
# Beyond it a text is not looked at: that would take seconds for some megabytes, and be kept in memory.
_MAX_TEXT = 1000


def why_invalid(address: str) -> str:
    """Why the text is no addr-spec that mail can be sent to; empty when it is one.

    A whole check takes as long as the rest of accepting a mail in a batch, so a plain address at a domain
    that was found good before is let through: nothing else can be wrong with it.
    """
    if len(address) > _MAX_TEXT:
        return f"not a valid address: with {len(address):,} characters it is too long"
    plain = _PLAIN.fullmatch(address)
    if plain and len(plain[1]) <= _MAX_LOCAL and len(address) <= _MAX_ADDRESS:
        return _why_invalid(address) if _why_invalid(f"a@{plain[2]}") else ""
    return _why_invalid(address)


@lru_cache(maxsize=4096)
def _why_invalid(address: str) -> str:
    try:
        validate_email(address, check_deliverability=False)
    except EmailNotValidError as error:
        return f"not a valid address: {str(error).rstrip('.')}"
    return ""


def domain_of(text: str) -> str:
    """The domain in lower-case ASCII (IDNA). Raises ValueError that says why it is none."""
    if len(text) > _MAX_TEXT:
        raise ValueError(f"with {len(text):,} characters it is too long.")
    try:
        return validate_email(f"postmaster@{text.strip()}", check_deliverability=False).ascii_domain.lower()
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error


def masked(address: str) -> str:
    """The address as a stranger may see it: a***@example.com."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"
