"""The jobs, by the names under which flute_server enqueues them."""

from __future__ import annotations

from workers import process


def deliver() -> None:
    """Deliver what is due."""
    process.deliverer().drain()


def ingest() -> None:
    """Read what providers told."""
    process.reader().drain()
