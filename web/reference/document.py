"""The OpenAPI document, from the contract: its calls, messages and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from flute.v1.annotations_pb2 import ACCESS_ANYONE, ACCESS_MANAGE, ACCESS_READ, ACCESS_SEND
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from flute_json.naming import is_array, is_map, json_name
from web.api.operations import Operation, operations
from web.reference import guides, handmade, parts, samples, webhooks
from web.reference.examples import example_of
from web.reference.problems import codes_of
from web.reference.schemas import Json, Schemas, comment, describe

VERSION = "1.0"  # of the API, not of the program


@cache
def document() -> Json:
    """The whole document. Whoever gets it must not change it."""
    schemas = Schemas()
    handmade.add(schemas)
    webhooks.add(schemas)
    paths: Json = {}
    for operation in operations():
        paths.setdefault(operation.path, {})[operation.method.lower()] = _call(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Flute",
            "version": VERSION,
            "summary": "One call to send mail through all your providers, with failover that can be trusted.",
            "description": guides.introduction(),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The server that this document came from"}],
        "tags": guides.tags(),
        "paths": paths | handmade.paths(schemas),
        "webhooks": webhooks.calls(schemas),
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "securitySchemes": parts.SECURITY,
            "headers": parts.HEADERS,
            "parameters": parts.PARAMETERS,
        },
    }


def _call(operation: Operation, schemas: Schemas) -> Json:
    call: Json = {
        "operationId": _id(operation),
        "summary": _title(operation.name),
        "description": _description(operation),
        "tags": [operation.tag],
        "parameters": list(_parameters(operation, schemas)),
        "security": parts.security(operation.access),
    }
    request = samples.request_of(operation)
    if operation.body is not None:
        content = {"schema": _body(operation, operation.body, schemas), "example": request.body}
        required = bool(operation.body_field or schemas.requires(f"{operation.name}Request"))
        call["requestBody"] = {"required": required, "content": {"application/json": content}}
    call["responses"] = _successes(operation, schemas) | parts.failures(codes_of(operation))
    return call | {"x-codeSamples": samples.code_of(request)}


def _title(name: str) -> str:
    """GetWebhookEndpoint -> Get webhook endpoint."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f" {found[1].lower()}", name)


def _description(operation: Operation) -> str:
    text = comment(operation.rpc[1:].replace("/", "."))
    if operation.access == ACCESS_ANYONE:
        return text
    return f"{text}\n\nNeeds a key with the scope `{_SCOPES[operation.access]}`."


_SCOPES: dict[int, str] = {ACCESS_SEND: "send", ACCESS_READ: "read", ACCESS_MANAGE: "manage"}


# ----- what is sent


def _parameters(operation: Operation, schemas: Schemas) -> Iterator[Json]:
    fields = operation.request.fields_by_name
    for place in operation.places:
        schema = schemas.parameter(fields[place])
        if schema["type"] == "string":
            schema["format"] = "uuid"
        text = {"description": comment(fields[place].full_name), "example": samples.place(operation, place)}
        yield {"name": place, "in": "path", "required": True, "schema": schema} | text
    if operation.body is None:
        yield from (_query(fields[name], schemas) for name in operation.fields)
    if _is_idempotent(operation):
        yield parts.ref("parameters", "Idempotency-Key")
    yield parts.ref("parameters", "X-Request-Id")


def _query(field: FieldDescriptor, schemas: Schemas) -> Json:
    parameter: Json = {"name": json_name(field), "in": "query", "description": describe(field)}
    if is_map(field):
        parameter |= {"style": "deepObject", "explode": True}
    if is_array(field):
        parameter |= {"style": "form", "explode": False}
    return parameter | {"schema": schemas.parameter(field)}


def _body(operation: Operation, message: Descriptor, schemas: Schemas) -> Json:
    fields = [message.fields_by_name[name] for name in operation.fields]
    more = handmade.BODY_FIELDS.get(operation.name, {}) | {"access_token": handmade.ACCESS_TOKEN}
    change = operation.method == "PATCH" and bool(operation.body_field)
    return schemas.body(f"{operation.name}Request", message, fields, more, change)


def _is_idempotent(operation: Operation) -> bool:
    return "request_id" in operation.request.fields_by_name


# ----- what is answered


def _successes(operation: Operation, schemas: Schemas) -> Json:
    headers = [] if operation.access == ACCESS_ANYONE else [*parts.LIMITS]
    if _is_idempotent(operation):
        headers.append("Idempotent-Replayed")
    if operation.status == 204:
        return {"204": parts.answer("Done.", {}, headers)}
    schema = handmade.answer_to(operation, schemas)
    told = {"schema": schema, "example": example_of(schema, schemas.components)}
    if operation.name in handmade.LOCATED:
        headers.append("Location")
    text = _SAID.get(operation.status, "Done.")
    answer = parts.answer(text, {"application/json": told}, headers)
    if found := _links(operation):
        answer["links"] = found
    return {str(operation.status): answer} | handmade.more_answers(operation, schemas)


def _links(operation: Operation) -> Json:
    """Calls about what this one has made."""
    if operation.method != "POST" or operation.status not in {201, 202} or operation.places:
        return {}
    return {
        other.name: {
            "operationId": _id(other),
            "parameters": {other.places[0]: f"$response.body#{_pointer_to_id(operation.response)}"},
        }
        for other in operations()
        if other.path.startswith(f"{operation.path}/{{")
    }


def _pointer_to_id(message: Descriptor) -> str:
    return "/id" if "id" in message.fields_by_name else f"/{message.fields[0].name}/id"


def _id(operation: Operation) -> str:
    return operation.name[0].lower() + operation.name[1:]


_SAID = {200: "What was asked for.", 201: "Created.", 202: "Stored durably. The rest happens without you."}
