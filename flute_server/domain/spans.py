"""Spans of time as people say them."""

from __future__ import annotations

# The unit changes where its number would be large: 90 seconds, but 2 minutes.
_UNITS = (("second", 1, 90), ("minute", 60, 90 * 60), ("hour", 3600, 36 * 3600))


def in_words(seconds: float) -> str:
    """Roughly: 0.2 -> less than a second, 9 -> 9 seconds, 499 -> 8 minutes, 200,000 -> 2 days."""
    if seconds < 1:
        return "less than a second"
    name, size = next(((name, size) for name, size, most in _UNITS if seconds <= most), ("day", 86400))
    count = round(seconds / size)
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
