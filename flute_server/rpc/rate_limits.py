"""RateLimit of the contract."""

from __future__ import annotations

from flute.v1.limit_pb2 import RateLimit

from flute_server.domain.bucket import Limit


def to_limit(given: RateLimit) -> Limit:
    """As it was given, right or wrong."""
    return Limit(given.per_second, given.burst)


def rate_limit(per_second: int | None, burst: int | None) -> RateLimit | None:
    """Of a row's columns; None stays absent."""
    return RateLimit(per_second=per_second, burst=burst or per_second) if per_second else None
