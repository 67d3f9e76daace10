"""JSON schemas of the contract's messages: what callers may send, and what they are told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from flute_json.naming import Kind, is_array, is_input, is_map, is_nullable, json_name, kind, map_value, words
from web.reference.facts import EXAMPLES, FACTS, REQUIRED

Json = dict[str, Any]

_TYPES: dict[Kind, Json] = {
    Kind.STRING: {"type": "string"},
    Kind.BYTES: {"type": "string", "contentEncoding": "base64"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.INTEGER: {"type": "integer"},
    Kind.TIME: {"type": "string", "format": "date-time"},
    Kind.SECONDS: {"type": "number", "minimum": 0},
    Kind.MILLISECONDS: {"type": "integer", "minimum": 0},
}


@cache
def _comments() -> dict[str, str]:
    text = resources.files("flute.v1").joinpath("comments.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def comment(full_name: str) -> str:
    """What the contract says of a message, field, enum, value, service or RPC; KeyError if nothing."""
    return _comments()[full_name]


class Schemas:
    """The document's components/schemas, added as operations refer to them."""

    def __init__(self) -> None:
        self.components: dict[str, Json] = {}

    def answer(self, message: Descriptor) -> Json:
        """A reference to what callers are told: every field is there, null where there is nothing to tell."""
        if message.name not in self.components:
            self.components[message.name] = {}  # a message may hold itself
            self.components[message.name] = self._object(message, message.fields, answer=True)
        return {"$ref": f"#/components/schemas/{message.name}"}

    def body(
        self, name: str, message: Descriptor, fields: Iterable[FieldDescriptor], more: Json, change: bool
    ) -> Json:
        """A reference to what callers may send; more: properties that the message does not have.

        change: a body that names what shall be different, so that nothing is required.
        """
        schema = self._object(message, fields, answer=False)
        schema["properties"] |= more
        if change:
            schema.pop("required", None)
        self.components[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}

    def field(self, field: FieldDescriptor, answer: bool) -> Json:
        """The schema of a field with its description, as it is sent or told."""
        schema = self._several(field, answer)
        # Many libraries write null for what is not given, so it counts as absent.
        optional = not answer and field.name not in REQUIRED.get(_owner(field), ())
        if optional or (answer and _may_be_null(field)):
            schema = _or_null(schema)
        key = _key(field) if _key(field) in EXAMPLES else field.name
        examples = {"examples": [EXAMPLES[key]]} if key in EXAMPLES else {}
        return schema | {"description": describe(field)} | examples

    def requires(self, name: str) -> bool:
        """Whether there are fields that the schema of this name cannot do without."""
        return bool(self.components[name].get("required"))

    def parameter(self, field: FieldDescriptor) -> Json:
        """The schema of a field in the address, where there is no null."""
        return self._several(field, answer=False)

    def _object(self, message: Descriptor, fields: Iterable[FieldDescriptor], answer: bool) -> Json:
        given = [field for field in fields if answer or is_input(field)]
        wanted = [f for f in given if answer or f.name in REQUIRED.get(message.name, ())]
        schema: Json = {
            "type": "object",
            "description": comment(message.full_name),
            "properties": {json_name(field): self.field(field, answer) for field in given},
            "additionalProperties": False,
        }
        return schema | ({"required": [json_name(field) for field in wanted]} if wanted else {})

    def _several(self, field: FieldDescriptor, answer: bool) -> Json:
        schema = self._one(field, answer)
        if is_map(field):
            schema = {"type": "object", "additionalProperties": schema}
        if is_array(field):
            schema = {"type": "array", "items": schema}
        return schema if answer else merged(schema, _page_size(field) | FACTS.get(_key(field), {}))

    def _one(self, field: FieldDescriptor, answer: bool) -> Json:
        one = map_value(field) if is_map(field) else field
        if one.enum_type is not None:
            return {"type": "string", "enum": list(words(one.enum_type).values())}
        if kind(one) is Kind.OBJECT and one.message_type is not None:
            return self.answer(one.message_type) if answer else self._input(one.message_type)
        return dict(_TYPES[kind(one)])

    def _input(self, message: Descriptor) -> Json:
        name = f"{message.name}Input"
        if name not in self.components:
            self.components[name] = self._object(message, message.fields, answer=False)
        return {"$ref": f"#/components/schemas/{name}"}


def merged(schema: Json, more: Json) -> Json:
    """The schema with more said of it, also of the items or values within."""
    both = {name: merged(schema[name], more[name]) for name in schema.keys() & more.keys() if _is_inner(name)}
    return schema | more | both


def _is_inner(name: str) -> bool:
    return name in {"items", "additionalProperties"}


def _page_size(field: FieldDescriptor) -> Json:
    """The contract says the largest page in words: 1 to 1,000; 0 means 100."""
    if field.name != "page_size":
        return {}
    found = re.match(r"1 to ([\d,]+); 0 means ", comment(field.full_name))
    return {"minimum": 0, "maximum": int(found[1].replace(",", ""))} if found else {}


def _or_null(schema: Json) -> Json:
    if "$ref" in schema or "enum" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema | {"type": [schema["type"], "null"]}


# Times that everything of their kind has.
_ALWAYS_THERE = {"create_time", "update_time", "time", "start_time"}


def _may_be_null(field: FieldDescriptor) -> bool:
    """The server always tells a word for an enum, but for the outcome of a call that has not ended."""
    if kind(field) is Kind.ENUM:
        return field.name == "outcome"
    return is_nullable(field) and field.name not in _ALWAYS_THERE


def _key(field: FieldDescriptor) -> str:
    return f"{_owner(field)}.{field.name}"


def _owner(field: FieldDescriptor) -> str:
    """The name of the message that has the field."""
    return field.full_name.split(".")[-2]


def describe(field: FieldDescriptor) -> str:
    """What the contract says of the field, and of its words."""
    text = comment(field.full_name)
    return text if field.enum_type is None else f"{text}\n\n{_meanings(field.enum_type)}"


def _meanings(enum: EnumDescriptor) -> str:
    said = (
        (word, comment(f"{enum.full_name}.{enum.values_by_number[number].name}"))
        for number, word in words(enum).items()
    )
    return "\n".join(f"- `{word}`: {text}" for word, text in said)
