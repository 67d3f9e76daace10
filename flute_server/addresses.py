"""Whether a text is a usable address or domain; the rules are those of the email-validator package."""

from __future__ import annotations

from functools import lru_cache

import email_validator
from email_validator import EmailNotValidError, validate_email

# Companies do run mail in these two; an SMTP route reaches them.
for _name in ("local", "test"):
    if _name in email_validator.SPECIAL_USE_DOMAIN_NAMES:
        email_validator.SPECIAL_USE_DOMAIN_NAMES.remove(_name)


@lru_cache(maxsize=4096)
def why_invalid(address: str) -> str:
    """Why the text is no addr-spec that mail can be sent to; empty when it is one.

    Remembered, for an app sends from one address, and often to the same ones.
    """
    try:
        validate_email(address, check_deliverability=False)
    except EmailNotValidError as error:
        return f"not a valid address: {error}"
    return ""


def domain_of(text: str) -> str:
    """The domain in lower-case ASCII (IDNA). Raises ValueError that says why it is none."""
    try:
        return validate_email(f"postmaster@{text.strip()}", check_deliverability=False).ascii_domain.lower()
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error


def masked(address: str) -> str:
    """The address as a stranger may see it: a***@example.com."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"
