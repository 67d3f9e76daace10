"""From a JSON body to the fields of a protobuf message: strict, by its descriptor, all problems at once.

The rules, so that nobody has to guess:

- Names are those of flute_json.naming. An unknown one is an error, with a suggestion.
- Types are exact: no number for a string, no 1 for true. A `null` counts as absent where a field may be
  absent, since many libraries write it so; inside an array or a map there is nothing it could stand for.
- Strings hold Unicode text: no lone surrogates, no NUL.
- bytes are standard base64 (RFC 4648 section 4) with padding. Line breaks, as in MIME, are accepted.
- Enums are words, times are RFC 3339, durations are numbers of seconds: see flute_json.naming.
- A name twice in one object, NaN and Infinity are errors, though many JSON libraries let them pass.

Problems never repeat a value of the body: it might be a secret.
"""

from __future__ import annotations

import binascii
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flute_json.naming import Kind, is_array, is_input, is_map, json_name, kind, map_value, words
from web.errors import FieldError, Problem, escape

MAX_PROBLEMS = 50
# An array of a million empty arrays is a small body and a large heap.
MAX_VALUES = 1_000_000
_LONGEST_NAME = 100


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
        text = f"The body has more than {MAX_VALUES:,} values; send less at once."
        raise Problem(400, "too_many_values", text)
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


class Problems(list[FieldError]):
    """What is wrong, as far as it has been found."""

    class Enough(Exception):
        """There are so many that looking on helps nobody."""

    def report(self, pointer: str, code: str, detail: str) -> None:
        """Add one. Raises Enough when that was the last one worth telling."""
        self.append(FieldError(pointer, code, detail))
        if len(self) >= MAX_PROBLEMS:
            raise self.Enough


# value, pointer of the parent, last step of the pointer, where to report -> what the message is built from
Reader = Callable[[object, str, str | int, Problems], Any]
# JSON name -> name in the message, reader
_Table = Mapping[str, tuple[str, Reader]]


class Parser:
    """Parses one kind of message; `extra` are fields of the JSON that the message does not have.

    fields: those of the message that JSON callers may give; all that the contract lets them if left out.
    """

    def __init__(
        self,
        message: Descriptor,
        extra: Mapping[str, Reader] = MappingProxyType({}),
        fields: Iterable[str] | None = None,
    ) -> None:
        known = message.fields_by_name
        chosen = filter(is_input, known.values()) if fields is None else (known[name] for name in fields)
        self._extra = extra
        self._table = _table(chosen) | {name: (name, reader) for name, reader in extra.items()}

    def parse(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the message is built from, and the extra fields that were given. Raises Problem 400."""
        fields, problems = self.read(body, "")
        if problems:
            raise malformed(problems)
        return fields, {name: fields.pop(name) for name in self._extra if name in fields}

    def read(self, value: object, at: str) -> tuple[dict[str, Any], list[FieldError]]:
        """What the message is built from, and all that is wrong. The value stands at this pointer."""
        problems = Problems()
        fields: dict[str, Any] = {}
        with suppress(Problems.Enough):
            fields = _fields(self._table, value, at, problems)
        return fields, problems

    def given(self, body: Mapping[str, Any]) -> list[str]:
        """The names in the message of the fields that the body has, those that are null included."""
        return [self._table[name][0] for name in body if name in self._table and name not in self._extra]


def malformed(problems: Sequence[FieldError]) -> Problem:
    """The answer to a body with these problems."""
    return Problem(400, "malformed_body", summary(problems), problems)


def summary(problems: Sequence[FieldError]) -> str:
    """One sentence."""
    if len(problems) == 1:
        return f"{problems[0].pointer}: {problems[0].detail}"
    more = " or more" if len(problems) >= MAX_PROBLEMS else ""
    return f"The body has {len(problems)}{more} problems; see errors."


def _table(fields: Iterable[FieldDescriptor]) -> dict[str, tuple[str, Reader]]:
    return {json_name(field): (field.name, _reader(field)) for field in fields}


def _reader(field: FieldDescriptor) -> Reader:
    if is_map(field):
        return _map(single(map_value(field)))
    return array(single(field)) if is_array(field) else single(field)


def single(field: FieldDescriptor) -> Reader:
    """The reader of one value. A kind that is missing here fails at import, not in a request."""
    if field.enum_type is not None:
        return _word({word: number for number, word in words(field.enum_type).items()})
    if kind(field) is Kind.INTEGER:
        return _integer(64 if field.type == FieldDescriptor.TYPE_INT64 else 32)
    if kind(field) is Kind.OBJECT and field.message_type is not None:
        return _nested(_table(filter(is_input, field.message_type.fields)))
    return _READERS[kind(field)]


def _fields(table: _Table, value: object, at: str, problems: Problems) -> dict[str, Any]:
    if not isinstance(value, dict):
        problems.report(at, "wrong_type", f"expected an object, got {_kind(value)}")
        return {}
    _check_names(value, at, problems)
    found = {}
    for name, item in value.items():
        entry = table.get(name)
        if entry is None:
            problems.report(_pointer(at, name), "unknown_field", unknown(name, table, "field"))
        elif item is not None:
            found[entry[0]] = entry[1](item, at, name, problems)
    return found


def _nested(table: _Table) -> Reader:
    def read(value: object, at: str, step: str | int, problems: Problems) -> dict[str, Any]:
        return _fields(table, value, f"{at}/{step}", problems)

    return read


def array(reader: Reader) -> Reader:
    """The Reader of an array of what this one reads."""

    def read(value: object, at: str, step: str | int, problems: Problems) -> list[Any]:
        here = f"{at}/{step}"
        if not isinstance(value, list):
            problems.report(here, "wrong_type", f"expected an array, got {_kind(value)}")
            return []
        return [reader(item, here, index, problems) for index, item in enumerate(value)]

    return read


def _map(reader: Reader) -> Reader:
    def read(value: object, at: str, step: str | int, problems: Problems) -> dict[str, Any]:
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


def string(value: object, at: str, step: str | int, problems: Problems) -> str:
    """A Reader of text."""
    if not isinstance(value, str):
        problems.report(_pointer(at, step), "wrong_type", f"expected a string, got {_kind(value)}")
        return ""
    if not _is_text(value):
        problems.report(_pointer(at, step), "invalid_text", _NOT_TEXT)
    return value


def boolean(value: object, at: str, step: str | int, problems: Problems) -> bool:
    """A Reader of true and false."""
    if not isinstance(value, bool):
        problems.report(_pointer(at, step), "wrong_type", f"expected true or false, got {_kind(value)}")
        return False
    return value


def _word(numbers: Mapping[str, int]) -> Reader:
    def read(value: object, at: str, step: str | int, problems: Problems) -> int:
        if isinstance(value, str) and value in numbers:
            return numbers[value]
        code = "unknown_value" if isinstance(value, str) else "wrong_type"
        problems.report(_pointer(at, step), code, f"expected one of {', '.join(numbers)}")
        return 0

    return read


def _integer(bits: int) -> Reader:
    most = (1 << bits - 1) - 1

    def read(value: object, at: str, step: str | int, problems: Problems) -> int:
        # JSON has one kind of number: 5.0 is 5.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            found = "a fraction" if isinstance(value, float) else _kind(value)
            problems.report(_pointer(at, step), "wrong_type", f"expected a whole number, got {found}")
            return 0
        if not -most - 1 <= value <= most:
            problems.report(_pointer(at, step), "out_of_range", f"must be between {-most - 1} and {most}")
            return 0
        return value

    return read


def _seconds(value: object, at: str, step: str | int, problems: Problems) -> Duration | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        advice = f"expected a number of seconds, got {_kind(value)}"
        problems.report(_pointer(at, step), "wrong_type", advice)
        return None
    if not abs(value) <= _MOST_SECONDS:
        advice = f"must be between -{_MOST_SECONDS} and {_MOST_SECONDS} seconds"
        problems.report(_pointer(at, step), "out_of_range", advice)
        return None
    duration = Duration()
    duration.FromNanoseconds(round(value * 1_000_000_000))
    return duration


def _timestamp(value: object, at: str, step: str | int, problems: Problems) -> Timestamp | None:
    if not isinstance(value, str):
        problems.report(_pointer(at, step), "wrong_type", f"expected a string, got {_kind(value)}")
        return None
    time = Timestamp()
    try:
        if not _RFC_3339.fullmatch(value):
            raise ValueError
        time.FromJsonString(value.upper())
    except ValueError:
        advice = "expected a time like 2026-11-22T17:00:00Z or 2026-11-22T18:00:00+01:00 (RFC 3339)"
        problems.report(_pointer(at, step), "invalid_time", advice)
        return None
    return time


def _bytes(value: object, at: str, step: str | int, problems: Problems) -> bytes:
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


_READERS: Mapping[Kind, Reader] = {
    Kind.STRING: string,
    Kind.BYTES: _bytes,
    Kind.BOOLEAN: boolean,
    Kind.TIME: _timestamp,
    Kind.SECONDS: _seconds,
}

# The most that protobuf allows.
_MOST_SECONDS = 315_576_000_000
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII | re.IGNORECASE
)


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


def _check_names(value: Mapping[str, Any], at: str, problems: Problems) -> None:
    if isinstance(value, _Repeated):
        for name in value.names:
            problems.report(_pointer(at, name), "duplicate_field", "the name appears twice in this object")


def unknown(name: str, known: Iterable[str], what: str) -> str:
    """That there is no field or parameter of this name, with the one probably meant, or else all."""
    names = list(known)
    close = get_close_matches(name[:_LONGEST_NAME].lower(), names, n=1)
    if close:
        return f"there is no such {what}; did you mean {close[0]}?"
    return f"there is no such {what}; there is {', '.join(names) if names else 'none'}"


def _pointer(at: str, step: str | int) -> str:
    return f"{at}/{escape(str(step)[:_LONGEST_NAME])}"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    for type_, word in (
        (str, "a string"),
        (dict, "an object"),
        (list, "an array"),
        (_NotJson, "NaN or Infinity"),
    ):
        if isinstance(value, type_):
            return word
    return "a number"
