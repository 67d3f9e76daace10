"""Which calls the public JSON API has: read from the contract, which is the one place that says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from flute.v1 import (
    email_service_pb2,
    environment_service_pb2,
    event_service_pb2,
    statistics_service_pb2,
    suppression_service_pb2,
    webhook_service_pb2,
)
from flute.v1.annotations_pb2 import access, http
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from flute_json.naming import is_input

_MODULES: tuple[ModuleType, ...] = (
    email_service_pb2,
    event_service_pb2,
    suppression_service_pb2,
    webhook_service_pb2,
    statistics_service_pb2,
    environment_service_pb2,
)
_PLACE = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One call. `rpc` is its full path at the server; `access` the value of flute.v1.Access that it needs.

    body: the message that the JSON body is read as, absent for calls without one; body_field: the request's
    field for it, empty where the body is the request. fields: what the body, or else the query, may have.
    """

    method: str
    path: str
    status: int
    tag: str
    rpc: str
    name: str
    access: int
    request: Descriptor
    response: Descriptor
    places: tuple[str, ...]
    body: Descriptor | None
    body_field: str
    fields: tuple[str, ...]
    problems: tuple[str, ...]


@cache
def operations() -> tuple[Operation, ...]:
    """Every call that the contract gives a place in the JSON API, in the order of the contract."""
    return tuple(_operations())


def _operations() -> Iterator[Operation]:
    for module in _MODULES:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if method.GetOptions().HasExtension(http):
                    yield _operation(method)


def _operation(method: MethodDescriptor) -> Operation:
    rule = method.GetOptions().Extensions[http]
    places = tuple(_PLACE.findall(rule.path))
    request = method.input_type
    body = None
    if rule.method in {"POST", "PATCH"}:
        body = request.fields_by_name[rule.body].message_type if rule.body else request
    return Operation(
        method=rule.method,
        path=rule.path,
        status=rule.status or 200,
        tag=rule.tag,
        rpc=f"/{method.containing_service.full_name}/{method.name}",
        name=method.name,
        access=method.GetOptions().Extensions[access],
        request=request,
        response=method.output_type,
        places=places,
        body=body,
        body_field=rule.body,
        fields=tuple(f.name for f in (body or request).fields if f.name not in places and is_input(f)),
        problems=tuple(rule.problems),
    )
