"""Signed return paths: a bounce leads back to its attempt, and nobody can make up a bounce.

Variable envelope return path (VERP): every hand-off gets an envelope sender of its own,

    bounce+<attempt>.<recipient>.<signature>@bounces.example.org

All three are base32 in lower case, which survives systems that fold the case of local parts (RFC 5321
section 2.4 forbids it, and it is done). At its longest the local part has the 64 octets that RFC 5321
section 4.5.3.1.1 allows: 26 for the attempt's UUID, 13 for a 63-bit number, 16 for 80 bits of HMAC-SHA256.
The domain is not signed: which of an installation's domains took the bounce does not matter.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid

ALL = "0"  # the recipient part of a transaction with several recipients: the report says which one
MARK = "bounce"

_SIGNATURE_OCTETS = 10
_NUMBER_OCTETS = 8
_SHAPE = re.compile(
    MARK + r"\+(?P<attempt>[a-z2-7]{26})\.(?P<recipient>[a-z2-7]{2,13})\.[a-z2-7]{16}@[a-z0-9.-]{1,253}",
    re.IGNORECASE | re.ASCII,  # without ASCII the Kelvin sign would be a k
)


def secret_of(installation_key: str) -> bytes:
    """The signing secret that follows from an installation's key; it tells nothing about the key."""
    return hmac.digest(installation_key.strip().encode(), b"flute: signed return paths", hashlib.sha256)


def return_path(secret: bytes, attempt_id: str, recipient_id: str, domain: str) -> str:
    """The envelope sender for one recipient of an attempt, or for ALL of them.

    Raises ValueError when the ids are not a UUID and a number, or when there is no secret.
    """
    if not recipient_id.isascii() or not recipient_id.isdecimal() or int(recipient_id) >= 1 << 63:
        raise ValueError("a recipient id is a number of up to 63 bits")
    return f"{_local_part(secret, uuid.UUID(attempt_id).bytes, int(recipient_id))}@{domain}"


def read_return_path(secret: bytes, address: str) -> tuple[str, str] | None:
    """The ids of the attempt and of the recipient (or ALL), if this address was made with the secret."""
    match = _SHAPE.fullmatch(address)
    if not match or not secret:
        return None
    try:
        attempt, number = _octets(match["attempt"]), int.from_bytes(_octets(match["recipient"]))
        expected = _local_part(secret, attempt, number)
    except ValueError:  # not base32, or larger than any number of ours
        return None
    # Made anew and compared whole: there is one way to write an address, and no timing tells about it.
    if not hmac.compare_digest(expected, address.partition("@")[0].lower()):
        return None
    return str(uuid.UUID(bytes=attempt)), str(number)


def find_return_paths(text: str, most: int = 20) -> list[str]:
    """What looks like a return path of ours, in order of appearance; the signature tells whether it is."""
    found: dict[str, None] = {}
    for match in _SHAPE.finditer(text):
        found.setdefault(match[0])
        if len(found) == most:
            break
    return list(found)


def _local_part(secret: bytes, attempt: bytes, number: int) -> str:
    if not secret:
        raise ValueError("an empty secret signs nothing")
    signed = attempt + number.to_bytes(_NUMBER_OCTETS)
    signature = hmac.digest(secret, signed, hashlib.sha256)[:_SIGNATURE_OCTETS]
    short = number.to_bytes(max(1, (number.bit_length() + 7) // 8))
    return f"{MARK}+{_letters(attempt)}.{_letters(short)}.{_letters(signature)}"


def _letters(octets: bytes) -> str:
    return base64.b32encode(octets).decode().rstrip("=").lower()


def _octets(letters: str) -> bytes:
    return base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))
