"""Small checks of decoded JSON. Each raises Fault naming the field; a provider words the answer."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from flute_server.sandbox.mail import decode_base64

# Tabs are white space in a header, all others end it or worse.
_CONTROL = {chr(code) for code in range(0x20) if chr(code) != "\t"} | {"\x7f"}


class Fault(ValueError):
    """What is wrong with which field. `kind`: type, missing, value, unknown, recipient or sender."""

    def __init__(self, field: str, text: str, kind: str = "value") -> None:
        super().__init__(f"{field}: {text}" if field else text)
        self.field = field
        self.text = text
        self.kind = kind


def words(text: str) -> frozenset[str]:
    """A set of names, written as people read them."""
    return frozenset(text.split())


def obj(
    value: object, field: str, known: Collection[str] | None = None, required: Collection[str] = ()
) -> dict[str, Any]:
    """An object with only known members and all the required ones."""
    if not isinstance(value, dict):
        raise Fault(field, "must be an object", "type")
    if known is not None:
        for name in value:
            if name not in known:
                raise Fault(join(field, name), "is not a known field", "unknown")
    for name in required:
        if value.get(name) is None:
            raise Fault(join(field, name), "is required", "missing")
    return value


def array(value: object, field: str, maximum: int = 10_000, minimum: int = 1) -> Iterator[tuple[str, Any]]:
    """The items of an array with their field names."""
    if not isinstance(value, list):
        raise Fault(field, "must be an array", "type")
    if len(value) < minimum:
        raise Fault(field, f"must hold at least {minimum} item(s)")
    if len(value) > maximum:
        raise Fault(field, f"must hold at most {maximum} items")
    return ((f"{field}.{index}", item) for index, item in enumerate(value))


def string(value: object, field: str, maximum: int = 0, empty: bool = False) -> str:
    """A string, not empty unless allowed; `maximum` in characters."""
    if not isinstance(value, str):
        raise Fault(field, "must be a string", "type")
    if not value and not empty:
        raise Fault(field, "must not be empty")
    if maximum and len(value) > maximum:
        raise Fault(field, f"must be at most {maximum} characters")
    return value


def line(value: object, field: str, maximum: int = 0, empty: bool = False) -> str:
    """A string that fits into one header line: no control characters."""
    text = string(value, field, maximum, empty)
    if not text.isprintable() and not _CONTROL.isdisjoint(text):
        raise Fault(field, "must not contain line breaks or other control characters")
    return text


def boolean(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise Fault(field, "must be true or false", "type")
    return value


def integer(value: object, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Fault(field, "must be a whole number", "type")
    return value


def header_name(name: str, field: str) -> str:
    """RFC 5322 section 2.2: printable ASCII without the colon."""
    if not name or not all(0x21 <= ord(char) <= 0x7E and char != ":" for char in name):
        raise Fault(field, f"{name!r} is not a header name")
    return name


def file_content(value: object, field: str) -> bytes:
    """Strict base64 that is not empty."""
    try:
        return decode_base64(string(value, field))
    except ValueError as error:
        if isinstance(error, Fault):
            raise
        raise Fault(field, "is not base64") from error


def join(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name
