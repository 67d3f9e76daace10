"""How often something may be done, as people set it."""

from __future__ import annotations

from flute_server.domain.bucket import Limit
from flute_server.errors import Violation, invalid

MOST_PER_SECOND = 100_000
MOST_AT_ONCE = 1_000_000


def checked(field: str, limit: Limit | None) -> Limit | None:
    """The limit if it can be kept; a burst of 0 is as many as per_second. Raises InvalidArgument."""
    if limit is None:
        return None
    found = []
    if not 1 <= limit.per_second <= MOST_PER_SECOND:
        found.append(Violation(f"{field}.per_second", f"1 to {MOST_PER_SECOND:,}"))
    if not 0 <= limit.burst <= MOST_AT_ONCE:
        found.append(Violation(f"{field}.burst", f"0 to {MOST_AT_ONCE:,}"))
    if found:
        raise invalid(found)
    return Limit(limit.per_second, limit.burst or limit.per_second)
