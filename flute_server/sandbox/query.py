"""Query strings of the providers' look-ups, checked as strictly as their send calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

from flute_server.sandbox.checks import Fault


def parse_query(path: str) -> dict[str, str]:
    """The parameters after the question mark, each once. Raises Fault."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(path.partition("?")[2], keep_blank_values=True):
        if name in found:
            raise Fault(name, "is given more than once")
        found[name] = value
    return found


def check_names(query: Mapping[str, str], played: Collection[str], unplayed: Collection[str] = ()) -> None:
    """Raises Fault: a parameter that is ignored would make the answer too wide."""
    for name in query:
        if name in unplayed:
            raise Fault(name, "is not played by the sandbox", "unknown")
        if name not in played:
            raise Fault(name, "is not a known parameter", "unknown")


def integer(query: Mapping[str, str], name: str, low: int, high: int, default: int | None = None) -> int:
    """A whole number within bounds; required without a default. Raises Fault."""
    text = query.get(name)
    if text is None:
        if default is None:
            raise Fault(name, "is required", "missing")
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise Fault(name, f"must be a whole number from {low} to {high}")
    return int(text)
