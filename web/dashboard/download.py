"""Handing out a file that somebody else named and filled: kept by the browser, never shown."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from flask import Response

# Should a browser show it after all, it runs nothing, and belongs to no page of ours.
POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"
LONGEST = 150
_IN_PATHS = re.compile(r'[/\\:*?"<>|]')
# What Windows takes for a device, whatever the ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def download(content: bytes, name: str) -> Response:
    """The file as a download. Its own media type is not told: nothing shall be done with it but keep it."""
    headers = {
        "Content-Disposition": disposition(name),
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return Response(content, headers=headers, content_type="application/octet-stream")


def disposition(name: str) -> str:
    """RFC 6266: the name in ASCII for old programs, and as it is (RFC 8187) for all others."""
    safe = safe_name(name)
    plain = re.sub(r"[^A-Za-z0-9 ._()+=,@-]", "_", unicodedata.normalize("NFKD", safe))
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"


def safe_name(name: str) -> str:
    """A name that says what it is and leads to no other folder: without controls, invisible characters and
    those that turn the order of letters round, so that what looks like .pdf is one.
    """
    seen = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c)[0] != "C")
    seen = " ".join(_IN_PATHS.sub("_", seen).split()).strip(". ")
    stem, dot, ending = seen.rpartition(".")
    if dot and len(ending) <= 10:
        seen = f"{stem[: LONGEST - len(ending) - 1].rstrip('. ')}.{ending}"
    seen = seen[:LONGEST].strip(". ")
    return f"_{seen}" if _DEVICE.match(seen) else seen or "attachment"
