"""What comes back by mail: delivery reports, bounces without a standard, complaints and auto-replies."""

from __future__ import annotations

from flute_server.bounces.parse import read

__all__ = ["read"]
