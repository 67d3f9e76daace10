"""Secrets never leave in what a provider says: their every spelling is taken out of texts that are kept."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote

MAX_TEXT = 500  # what is worth keeping of an answer, in characters


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that replaces the secrets, plain or as JSON, URL or base64 would spell them."""
    spellings = {spelling for secret in secrets if secret for spelling in _spellings(secret)}
    if not spellings:
        return str
    # The longest first, so that a spelling which contains another one goes as a whole.
    pattern = re.compile("|".join(re.escape(s) for s in sorted(spellings, key=len, reverse=True)))
    return lambda text: pattern.sub("[secret]", text)


def clip(text: str) -> str:
    """One line of bounded length, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MAX_TEXT]).split())
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


def _spellings(secret: str) -> tuple[str, ...]:
    encoded = base64.b64encode(secret.encode()).decode()
    return secret, json.dumps(secret)[1:-1], quote(secret, safe=""), encoded, encoded.rstrip("=")
