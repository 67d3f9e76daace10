"""Signed tokens of unsubscribe links: only who got the mail can have one, and it never expires (RFC 8058).

A token is, in base64url, the email's UUID, the recipient's number and 128 bits of HMAC-SHA256 over both:
54 letters, which no line of a header has to be broken for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import uuid
from collections.abc import Iterable

_UUID_OCTETS = 16
_NUMBER_OCTETS = 8
_SIGNATURE_OCTETS = 16
_SIGNED_OCTETS = _UUID_OCTETS + _NUMBER_OCTETS
_OCTETS = _SIGNED_OCTETS + _SIGNATURE_OCTETS


def secret_of(installation_key: str) -> bytes:
    """The signing secret that follows from an installation's key; it tells nothing about the key."""
    return hmac.digest(installation_key.strip().encode(), b"flute: unsubscribe links", hashlib.sha256)


def token(secret: bytes, email_id: uuid.UUID, recipient_id: int) -> str:
    """The token by which this recipient of this email unsubscribes."""
    signed = email_id.bytes + recipient_id.to_bytes(_NUMBER_OCTETS)
    return base64.urlsafe_b64encode(signed + _signature(secret, signed)).decode().rstrip("=")


def read_token(secrets: Iterable[bytes], given: str) -> tuple[uuid.UUID, int] | None:
    """The ids of the email and of the recipient, if the token was made with one of the secrets."""
    octets = _octets(given)
    if len(octets) != _OCTETS:
        return None
    signed, signature = octets[:_SIGNED_OCTETS], octets[_SIGNED_OCTETS:]
    if not any(hmac.compare_digest(_signature(secret, signed), signature) for secret in secrets):
        return None
    return uuid.UUID(bytes=signed[:_UUID_OCTETS]), int.from_bytes(signed[_UUID_OCTETS:])


def _signature(secret: bytes, signed: bytes) -> bytes:
    return hmac.digest(secret, signed, hashlib.sha256)[:_SIGNATURE_OCTETS]


def _octets(given: str) -> bytes:
    """Empty for what is not base64url; there is one way to write a token."""
    try:
        octets = base64.b64decode(given.encode("ascii") + b"=" * (-len(given) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return octets if base64.urlsafe_b64encode(octets).decode().rstrip("=") == given else b""
