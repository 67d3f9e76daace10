"""An example of what a schema describes, from the examples of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def example_of(schema: Json, components: Mapping[str, Json]) -> Any:  # noqa: ANN401 (JSON)
    """A value that the schema allows."""
    for choices in ("examples", "enum"):
        if choices in schema:
            return schema[choices][0]
    if "$ref" in schema:
        return example_of(components[schema["$ref"].rpartition("/")[2]], components)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], components)
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if kind == "object":
        return {name: example_of(value, components) for name, value in schema.get("properties", {}).items()}
    return (
        [example_of(schema["items"], components)] if kind == "array" else _PLAIN[schema.get("format", kind)]
    )


_PLAIN = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": False,
    "date-time": "2026-11-22T17:00:00.123456Z",
}
