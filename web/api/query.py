"""From a query string to the fields of a request: as strict as web.api.parse, by the same descriptors.

- Percent-encoding must be sound UTF-8, without NUL.
- Each parameter may be there once, but for a list: `types=a,b`, `types=a&types=b`.
- A map is given by its keys: metadata[key]=value.
- An empty text is as if the parameter were not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import FieldDescriptor

from flute_json.naming import Kind, is_array, is_map, json_name, kind, map_value
from web.api.parse import Problems, Reader, single, unknown
from web.errors import FieldError, Problem

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_KEYED = re.compile(r"(\w+)\[(.*)\]", re.DOTALL)
_INTEGER = re.compile(r"-?\d{1,20}", re.ASCII)


class Query:
    """Parses the query strings of one call."""

    def __init__(self, fields: Iterable[FieldDescriptor]) -> None:
        self._fields = {json_name(field): (field, _reader(field)) for field in fields}
        self._names = [f"{name}[...]" if is_map(field) else name for name, (field, _) in self._fields.items()]

    def parse(self, query: str) -> dict[str, Any]:
        """The request's fields. Raises Problem 400 that names every wrong parameter."""
        found: dict[str, Any] = {}
        errors: list[FieldError] = []
        for name, text in _pairs(query):
            errors += self._read(name, text, found)
        if errors:
            text = f"{errors[0].parameter}: {errors[0].detail}"
            more = f"The address has {len(errors)} wrong parameters; see errors."
            raise Problem(400, "malformed_query", more if len(errors) > 1 else text, errors)
        return found

    def _read(self, name: str, text: str, found: dict[str, Any]) -> Iterator[FieldError]:
        keyed = _KEYED.fullmatch(name)
        field, reader = self._fields.get(keyed[1] if keyed else name, (None, None))
        if field is None or reader is None or is_map(field) != bool(keyed):
            yield _error(name, "unknown_parameter", unknown(name, self._names, "parameter"))
            return
        known: Any = found.setdefault(field.name, {} if keyed else []) if field.is_repeated else found
        key = keyed[2] if keyed else field.name
        if not is_array(field) and key in known:
            yield _error(name, "repeated_parameter", "is there more than once")
            return
        problems = Problems()
        with suppress(Problems.Enough):
            values = [reader(_value(field, item), "", name, problems) for item in _items(field, text)]
        yield from (_error(name, problem.code, problem.detail) for problem in problems[:1])
        if problems:
            return
        if is_array(field):
            known.extend(values)
        else:
            known[key] = values[0]


def _reader(field: FieldDescriptor) -> Reader:
    return single(map_value(field) if is_map(field) else field)


def _items(field: FieldDescriptor, text: str) -> list[str]:
    return [item for item in text.split(",") if item] if is_array(field) else [text]


def _value(field: FieldDescriptor, text: str) -> object:
    """As JSON would have it; what cannot be that stays a text, which the reader refuses."""
    if kind(field) is Kind.BOOLEAN:
        return {"true": True, "false": False}.get(text, text)
    if kind(field) is Kind.INTEGER and _INTEGER.fullmatch(text):
        return int(text)
    return text


def _error(name: str, code: str, detail: str) -> FieldError:
    return FieldError("", code, detail, parameter=name[:100])


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for part in query.split("&"):
        if part:
            name, _, text = part.partition("=")
            yield _decoded(name), _decoded(text)


def _decoded(text: str) -> str:
    """Raises Problem 400: what cannot be decoded cannot be named either."""
    # WSGI gives the bytes of the address as Latin-1.
    raw = unquote_to_bytes(text.replace("+", " ").encode("latin-1"))
    try:
        decoded = raw.decode()
    except UnicodeDecodeError:
        decoded = "\0"
    if "\0" in decoded or _BROKEN_ESCAPE.search(text):
        detail = "The query of the address is not percent-encoded UTF-8 without NUL."
        raise Problem(400, "malformed_query", detail)
    return decoded
