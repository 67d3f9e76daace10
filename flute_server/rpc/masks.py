"""update_mask, where only a few fields can be changed."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask

from flute_server.errors import Violation, invalid


def require_only(mask: FieldMask, *fields: str) -> None:
    """Raises InvalidArgument unless the mask names some of these fields and nothing else."""
    if not mask.paths or set(mask.paths) - set(fields):
        raise invalid([Violation("update_mask", f"has to name what to change: {', '.join(fields)}")])
