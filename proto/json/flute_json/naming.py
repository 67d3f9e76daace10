"""How the contract's fields and enums are called in JSON: the one place for requests, answers and OpenAPI."""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import cache

from flute.v1.annotations_pb2 import no_json_input
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor


class Kind(Enum):
    """What one value of a field is in JSON. Whether there are several is is_array and is_map."""

    STRING = auto()
    BYTES = auto()  # standard base64
    BOOLEAN = auto()
    INTEGER = auto()  # int32 or int64, a number in either case
    ENUM = auto()  # a word; null for the zero value, in answers
    TIME = auto()  # RFC 3339
    SECONDS = auto()  # a Duration: a number of seconds
    MILLISECONDS = auto()  # a Duration that is called `duration`: a whole number of milliseconds
    OBJECT = auto()


_SCALARS = {
    FieldDescriptor.TYPE_STRING: Kind.STRING,
    FieldDescriptor.TYPE_BYTES: Kind.BYTES,
    FieldDescriptor.TYPE_BOOL: Kind.BOOLEAN,
    FieldDescriptor.TYPE_INT32: Kind.INTEGER,
    FieldDescriptor.TYPE_INT64: Kind.INTEGER,
    FieldDescriptor.TYPE_ENUM: Kind.ENUM,
}

# Texts whose emptiness means that there is none, which JSON has a better word for.
_NULL_WHEN_EMPTY = {
    "flute.v1.AttemptResult.code",
    "flute.v1.AttemptResult.error",
    "flute.v1.AttemptResult.provider_message_id",
    "flute.v1.AttemptResult.status",
    "flute.v1.AttemptResult.text",
    "flute.v1.Email.resent_from",
    "flute.v1.Event.attempt_id",
    "flute.v1.Event.id",
    "flute.v1.Event.provider_account",
    "flute.v1.Event.recipient",
    "flute.v1.WebhookDelivery.body",
    "flute.v1.WebhookEndpoint.pause_reason",
}


def kind(field: FieldDescriptor) -> Kind:
    """What one value of the field is; of a map, one of its values. KeyError for what the contract lacks."""
    if is_map(field):
        return kind(map_value(field))
    if field.message_type is None:
        return _SCALARS[field.type]
    if field.message_type.full_name == "google.protobuf.Timestamp":
        return Kind.TIME
    if field.message_type.full_name == "google.protobuf.Duration":
        return Kind.MILLISECONDS if field.name == "duration" else Kind.SECONDS
    return Kind.OBJECT


def is_map(field: FieldDescriptor) -> bool:
    """A JSON object with any names."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def map_value(field: FieldDescriptor) -> FieldDescriptor:
    """The field that stands for one value of the map."""
    return field.message_type.fields_by_name["value"]  # type: ignore[union-attr]  # maps have one


def is_array(field: FieldDescriptor) -> bool:
    """A JSON array."""
    return field.is_repeated and not is_map(field)


def is_input(field: FieldDescriptor) -> bool:
    """JSON callers can give the field."""
    return not field.GetOptions().Extensions[no_json_input]


def is_nullable(field: FieldDescriptor) -> bool:
    """An answer may have null for it. Arrays, maps and their values are never null."""
    if field.is_repeated:
        return False
    if kind(field) in {Kind.STRING, Kind.BYTES, Kind.BOOLEAN, Kind.INTEGER}:
        return field.full_name in _NULL_WHEN_EMPTY
    return True


def json_name(field: FieldDescriptor) -> str:
    """The field's name in a body, an answer or a query."""
    if field.name == "state":
        return "status"
    if is_map(field):
        return field.name
    suffix = {Kind.SECONDS: "_s", Kind.MILLISECONDS: "_ms"}.get(kind(field), "")
    return field.name + suffix


@cache
def words(enum: EnumDescriptor) -> dict[int, str]:
    """Value -> its word. The zero value has none: it is never given, and shown as null."""
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values if value.number}
