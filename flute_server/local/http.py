"""The few HTTP calls of the supervisor, without the weight of a client library."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

_TIMEOUT = 3.0


async def call(url: str, method: str = "GET", body: bytes = b"") -> int:
    """The status of the answer; 0 when there is none."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await _call(url, method, body)
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0


async def _call(url: str, method: str, body: bytes) -> int:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        head = (
            f"{method} {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode("ascii") + body)
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
