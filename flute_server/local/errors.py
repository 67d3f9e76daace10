"""Why something on this machine cannot go on, told to the person who started it."""

from __future__ import annotations


class LocalError(Exception):
    """Says what is wrong, where, and what to do. Shown without a trace; not part of the runtime errors."""
