"""DKIM key records (RFC 6376 section 3.6.1): can mail that is signed with the key be verified?"""

from __future__ import annotations

import base64
import binascii
import re

_TAG = re.compile(r"\s*([a-z][a-z0-9_]*)\s*=\s*(.*?)\s*", re.IGNORECASE | re.DOTALL)
# The octets of an RSA key of 1024 bits with its wrapping, by and large; receivers ignore shorter ones.
_SHORTEST_RSA = 150
_ED25519 = 32


def is_key(text: str) -> bool:
    """Whether a TXT record means to be a key."""
    tags = _tags(text)
    return "p" in tags and tags.get("v", "DKIM1") == "DKIM1"


def fault(text: str) -> str:
    """Why no receiver can verify a signature with this record; empty when it can."""
    tags = _tags(text)
    if "p" not in tags:
        return "it holds no key (no p=)"
    if tags.get("v", "DKIM1") != "DKIM1":
        return f"its version is {tags['v'][:20]!r}, not DKIM1"
    packed = "".join(tags["p"].split())
    if not packed:
        return "the key was revoked (p= is empty)"
    try:
        size = len(base64.b64decode(packed, validate=True))
    except (binascii.Error, ValueError):
        return "its key is not base64, perhaps because a part of it is missing"
    return _size_fault(tags.get("k", "rsa").lower(), size)


def _size_fault(kind: str, size: int) -> str:
    if kind == "rsa":
        return "its key is cut off, or shorter than 1024 bits" if size < _SHORTEST_RSA else ""
    if kind == "ed25519":
        return "its key is not one of Ed25519" if size != _ED25519 else ""
    return f"its kind of key, {kind[:20]!r}, is not known"


def _tags(text: str) -> dict[str, str]:
    found = (_TAG.fullmatch(part) for part in text.split(";"))
    return {match[1].lower(): match[2] for match in found if match}
