"""Where the caller gave what the server finds wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.descriptor import Descriptor

from flute_json.naming import is_map, json_name
from web.api.operations import Operation
from web.api.request import IDEMPOTENCY_KEY
from web.errors import escape, steps


def locate(operation: Operation, path: str) -> tuple[str, str]:
    """The JSON pointer, or else the name of the parameter, of a field in the server's request."""
    at = steps(path)
    if at[:1] == ["request_id"]:
        return "", IDEMPOTENCY_KEY
    if at and at[0] == operation.body_field:
        return pointer(operation.body, at[1:]), ""
    if at and (operation.body is None or at[0] in operation.places):
        name, *keys = _names(operation.request, at)
        return "", name + "".join(f"[{key}]" for key in keys)
    return pointer(operation.body, at), ""


def pointer(message: Descriptor | None, at: Iterable[str]) -> str:
    """The JSON pointer of a field in a message."""
    return "".join(f"/{escape(name)}" for name in _names(message, at))


def _names(message: Descriptor | None, at: Iterable[str]) -> Iterator[str]:
    for step in at:
        field = message.fields_by_name.get(step) if message else None
        if field is None:
            yield step  # an index, a key, or nothing that callers know
        else:
            yield json_name(field)
            message = None if is_map(field) else field.message_type
