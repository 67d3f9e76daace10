"""From a JSON body to a protobuf message: strict, driven by the message's descriptor, all problems at once.

The rules, so that nobody has to guess:

- Names are those of the proto file. An unknown one is an error, with a suggestion.
- Types are exact: no number for a string, no 1 for true. A `null` counts as absent where a field may be
  absent, since many libraries write it so; inside an array or a map there is nothing it could stand for.
- Strings hold Unicode text: no lone surrogates, no NUL.
- bytes are standard base64 (RFC 4648 section 4) with padding. Line breaks, as in MIME, are accepted.
- A name twice in one object, NaN and Infinity are errors, though many JSON libraries let them pass.

Problems never repeat a value of the body: it might be a secret.
"""

from __future__ import annotations

import binascii
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from web.errors import FieldError, Problem, escape

MAX_PROBLEMS = 50
# An array of a million empty arrays is a small body and a large heap.
MAX_VALUES = 1_000_000
_LONGEST_NAME = 100

M = TypeVar("M", bound=Message)


# ----- bytes to JSON


class _Repeated(dict[str, Any]):
    """An object that names something twice, which only the parser can report with a pointer."""

    names: tuple[str, ...]


class _NotJson:
    """NaN, Infinity or -Infinity."""

    def __init__(self, _: str) -> None:
        pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    repeated = _Repeated(value)
    repeated.names = tuple(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return repeated


def _whole(digits: str) -> int | float:
    # int() refuses thousands of digits, and nothing here needs them.
    return int(digits) if len(digits) < 30 else float(digits)


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_NotJson, parse_int=_whole)


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object in the body. Raises Problem 400 saying where it stops being one."""
    if len(body) > MAX_VALUES and sum(map(body.count, (b"[", b"{", b","))) > MAX_VALUES:
        raise Problem(400, "too_many_values", "The body has too many values.")
    try:
        value = _decoder.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        text = f"The body is not UTF-8: byte {error.start + 1} cannot be read."
        raise Problem(400, "malformed_json", text) from None
    except json.JSONDecodeError as error:
        text = f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        raise Problem(400, "malformed_json", text) from None
    except RecursionError:
        raise Problem(400, "malformed_json", "The body is nested too deeply.") from None
    if not isinstance(value, dict):
        raise Problem(400, "not_an_object", f"The body must be a JSON object, not {_kind(value)}.")
    return value


# ----- JSON to message


class _Problems(list[FieldError]):
    class Enough(Exception):
        """There are so many that looking on helps nobody."""

    def report(self, pointer: str, code: str, detail: str) -> None:
        self.append(FieldError(pointer, code, detail))
        if len(self) >= MAX_PROBLEMS:
            raise self.Enough


# value, pointer of the parent, last step of the pointer, where to report -> what the message is built from
_Reader = Callable[[object, str, str | int, _Problems], Any]
_Table = Mapping[str, _Reader]


class Parser(Generic[M]):
    """Parses one kind of message; `extra` are string fields of the JSON that the message does not have."""

    def __init__(self, message: type[M], extra: Iterable[str] = ()) -> None:
        self._message = message
        self._extra = tuple(extra)
        self._table = {**_table(message.DESCRIPTOR.fields), **dict.fromkeys(self._extra, _string)}

    def parse(self, body: Mapping[str, Any]) -> tuple[M, dict[str, str]]:
        """The message and the extra fields that were given. Raises Problem 400 with all that is wrong."""
        problems = _Problems()
        fields: dict[str, Any] = {}
        with suppress(_Problems.Enough):
            fields = _fields(self._table, body, "", problems)
        if problems:
            raise Problem(400, "malformed_body", _summary(problems), problems)
        extra = {name: fields.pop(name) for name in self._extra if name in fields}
        return self._message(**fields), extra


def _summary(problems: list[FieldError]) -> str:
    if len(problems) == 1:
        return f"{problems[0].pointer}: {problems[0].detail}"
    more = " or more" if len(problems) >= MAX_PROBLEMS else ""
    return f"The body has {len(problems)}{more} problems; see errors."


def _table(fields: Iterable[Any]) -> dict[str, _Reader]:
    return {field.name: _reader(field) for field in fields}


def _reader(field: FieldDescriptor) -> _Reader:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _map(_single(kind.fields_by_name["value"]))
    reader = _single(field)
    return _array(reader) if field.is_repeated else reader


def _single(field: FieldDescriptor) -> _Reader:
    """The reader of one value. A kind that is missing here fails at import, not in a request."""
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp":
        return _timestamp
    if field.message_type is not None:
        return _nested(_table(field.message_type.fields))
    return {
        FieldDescriptor.TYPE_STRING: _string,
        FieldDescriptor.TYPE_BYTES: _bytes,
        FieldDescriptor.TYPE_BOOL: _boolean,
    }[field.type]


def _fields(table: _Table, value: object, at: str, problems: _Problems) -> dict[str, Any]:
    if not isinstance(value, dict):
        problems.report(at, "wrong_type", f"expected an object, got {_kind(value)}")
        return {}
    _check_names(value, at, problems)
    found = {}
    for name, item in value.items():
        reader = table.get(name)
        if reader is None:
            problems.report(_pointer(at, name), "unknown_field", _unknown(name, table))
        elif item is not None:
            found[name] = reader(item, at, name, problems)
    return found


def _nested(table: _Table) -> _Reader:
    def read(value: object, at: str, step: str | int, problems: _Problems) -> dict[str, Any]:
        return _fields(table, value, f"{at}/{step}", problems)

    return read


def _array(reader: _Reader) -> _Reader:
    def read(value: object, at: str, step: str | int, problems: _Problems) -> list[Any]:
        here = f"{at}/{step}"
        if not isinstance(value, list):
            problems.report(here, "wrong_type", f"expected an array, got {_kind(value)}")
            return []
        return [reader(item, here, index, problems) for index, item in enumerate(value)]

    return read


def _map(reader: _Reader) -> _Reader:
    def read(value: object, at: str, step: str | int, problems: _Problems) -> dict[str, Any]:
        here = f"{at}/{step}"
        if not isinstance(value, dict):
            problems.report(here, "wrong_type", f"expected an object, got {_kind(value)}")
            return {}
        _check_names(value, here, problems)
        for name in value:
            if not _is_text(name):
                problems.report(_pointer(here, name), "invalid_text", _NOT_TEXT)
        return {name: reader(item, here, name, problems) for name, item in value.items()}

    return read


def _string(value: object, at: str, step: str | int, problems: _Problems) -> str:
    if not isinstance(value, str):
        problems.report(_pointer(at, step), "wrong_type", f"expected a string, got {_kind(value)}")
        return ""
    if not _is_text(value):
        problems.report(_pointer(at, step), "invalid_text", _NOT_TEXT)
    return value


def _boolean(value: object, at: str, step: str | int, problems: _Problems) -> bool:
    if not isinstance(value, bool):
        problems.report(_pointer(at, step), "wrong_type", f"expected true or false, got {_kind(value)}")
        return False
    return value


def _timestamp(value: object, at: str, step: str | int, problems: _Problems) -> Timestamp | None:
    text = _string(value, at, step, problems)
    time = Timestamp()
    try:
        time.FromJsonString(text)
    except ValueError:
        advice = "expected a time like 2026-11-22T17:00:00Z or 2026-11-22T18:00:00+01:00 (RFC 3339)"
        problems.report(_pointer(at, step), "invalid_time", advice)
        return None
    return time


def _bytes(value: object, at: str, step: str | int, problems: _Problems) -> bytes:
    if not isinstance(value, str):
        problems.report(_pointer(at, step), "wrong_type", f"expected a base64 string, got {_kind(value)}")
        return b""
    if "\n" in value or "\r" in value:
        value = value.replace("\r", "").replace("\n", "")
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        problems.report(_pointer(at, step), "invalid_base64", _base64_advice(value))
        return b""


# ----- words and checks

_NOT_TEXT = "the text holds a NUL or half of a surrogate pair"


def _is_text(value: str) -> bool:
    if value.isascii():
        return "\0" not in value
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _base64_advice(value: str) -> str:
    if value.startswith("data:"):
        return "expected base64 alone, without data:...;base64, before it"
    if "-" in value or "_" in value:
        return "expected standard base64 with + and /, got the URL-safe alphabet"
    if len(value) % 4 and value.isascii():
        return "not base64: the length is not a multiple of 4 (is padding with = missing?)"
    return "not base64 (RFC 4648 section 4)"


def _check_names(value: Mapping[str, Any], at: str, problems: _Problems) -> None:
    if isinstance(value, _Repeated):
        for name in value.names:
            problems.report(_pointer(at, name), "duplicate_field", "the name appears twice in this object")


def _unknown(name: str, table: _Table) -> str:
    close = get_close_matches(name[:_LONGEST_NAME].lower(), table, n=1)
    return f"there is no such field; did you mean {close[0]}?" if close else "there is no such field"


def _pointer(at: str, step: str | int) -> str:
    return f"{at}/{escape(str(step)[:_LONGEST_NAME])}"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    for kind, word in (
        (str, "a string"),
        (dict, "an object"),
        (list, "an array"),
        (_NotJson, "NaN or Infinity"),
    ):
        if isinstance(value, kind):
            return word
    return "a number"
