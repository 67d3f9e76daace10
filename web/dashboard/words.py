"""How things are said to people."""

from __future__ import annotations

import math


def sentence(text: str) -> str:
    """What the server said, as a sentence: it speaks in clauses."""
    text = text.strip()
    return (
        text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".") if text else text
    )


def too_fast(text: str, seconds: float) -> str:
    """What the server said, and when to come back: it speaks in seconds, or of "later"."""
    said = sentence(text.partition("; try again")[0])
    return f"{said} Please try again in {_roughly(seconds)}."


def _roughly(seconds: float) -> str:
    """Never too short: 65 -> 2 minutes."""
    if seconds > 90 * 60:
        return f"{math.ceil(seconds / 3600)} hours"
    if seconds > 60:
        return f"{math.ceil(seconds / 60)} minutes"
    if seconds > 30:
        return "a minute"
    return "a second" if seconds <= 1 else f"{math.ceil(seconds)} seconds"


_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrom", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


def browser(agent: str) -> str:
    """What a browser calls itself, in the few words that let people recognize it: Firefox on Windows."""
    name = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    if name and system:
        return f"{name} on {system}"
    return name or system or agent.partition(" ")[0][:40] or "Unknown browser"
