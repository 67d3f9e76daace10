"""Rate limits on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from flute.v1.api_key_service_pb2 import ApiKey
from flute.v1.environment_service_pb2 import Environment
from flute.v1.limit_pb2 import RateLimit


def rate_options(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options --rate and --burst; None where not given."""

    def give(function: Callable[..., Any]) -> Callable[..., Any]:
        burst = click.option("--burst", type=int, help="How many at once after a pause; default: the rate.")
        rate = click.option("--rate", type=int, help=f"{what} a second in the long run; default: no limit.")
        return rate(burst(function))

    return give


def rate_limit(rate: int | None, burst: int | None) -> RateLimit | None:
    """What the two options say."""
    if rate is None and burst is not None:
        raise click.ClickException("--burst needs --rate.")
    return None if rate is None else RateLimit(per_second=rate, burst=burst or 0)


def rate_words(row: ApiKey | Environment) -> str:
    """For a table: empty for no limit."""
    limit = row.rate_limit
    return f"{limit.per_second}/s, {limit.burst} at once" if row.HasField("rate_limit") else ""
