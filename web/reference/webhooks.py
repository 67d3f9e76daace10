"""What Flute tells to webhook endpoints."""

from __future__ import annotations

import copy

from flute.v1.email_pb2 import Event

from web.reference import samples
from web.reference.events import EVENTS, TEST
from web.reference.examples import example_of
from web.reference.parts import ref
from web.reference.schemas import Json, Schemas


def add(schemas: Schemas) -> None:
    """Put the shape of a call among the schemas: the event of the feed, and what is told besides."""
    schemas.answer(Event.DESCRIPTOR)
    data: Json = copy.deepcopy(schemas.components["Event"]["properties"])
    data["id"] = {
        "type": "string",
        "description": "The event's id, the same as in the header webhook-id: know repetitions by it.",
        "examples": ["evt_1207"],
    }
    data["email_id"] = {
        "type": ["string", "null"],
        "description": "The email; null in a call to try the endpoint out.",
        "examples": [samples.ID],
    }
    data["environment_id"] = {
        "type": "string",
        "description": "The environment.",
        "examples": ["0b7a4b4e-8a52-4f0c-9a55-7f2a4f0f3f10"],
    }
    data["subject"] = {
        "type": ["string", "null"],
        "description": "The email's subject.",
        "examples": ["Your receipt"],
    }
    data["tags"] = {
        "type": "array",
        "items": {"type": "string"},
        "description": "The email's.",
        "examples": [["receipt"]],
    }
    data["metadata"] = {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "The email's.",
        "examples": [{"order": "4711"}],
    }
    data["test"] = {"type": "boolean", "description": "It was sent with a key of type test: nobody got it."}
    schemas.components["WebhookEvent"] = {
        "type": "object",
        "description": "The body of a call to a webhook endpoint.",
        "properties": {
            "type": {
                "type": "string",
                "enum": [*EVENTS, TEST],
                "description": "What happened.",
                "examples": ["delivered"],
            },
            "timestamp": {"type": "string", "format": "date-time", "description": "When."},
            "data": {
                "type": "object",
                "description": "The event as `GET /v1/events` tells it, with what is known of its email.",
                "properties": data,
                "required": list(data),
                "additionalProperties": False,
            },
        },
        "required": ["type", "timestamp", "data"],
        "additionalProperties": False,
    }


_CALLS = EVENTS | {TEST: "A call to try the endpoint out."}
_HEADERS = {
    "webhook-id": ("The event's id, the same in every try and replay.", "evt_1207"),
    "webhook-timestamp": ("When this call began, in seconds since 1970.", "1795366800"),
    "webhook-signature": (
        "`v1,` and the base64 of the HMAC-SHA256 of `<id>.<timestamp>.<body>`; several, separated by spaces, "
        "while a secret is being changed.",
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
}


def calls(schemas: Schemas) -> Json:
    """The document's webhooks: one call for each type of event."""
    parameters = [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": text,
            "schema": {"type": "string"},
            "example": value,
        }
        for name, (text, value) in _HEADERS.items()
    ]
    return {name: {"post": _call(name, text, parameters, schemas)} for name, text in _CALLS.items()}


def _call(name: str, text: str, parameters: list[Json], schemas: Schemas) -> Json:
    example = example_of(ref("schemas", "WebhookEvent"), schemas.components) | {"type": name}
    example["data"] |= {"type": name, "time": example["timestamp"]}
    content = {"schema": ref("schemas", "WebhookEvent"), "example": example}
    return {
        "operationId": f"on{name.title()}",
        "summary": name,
        "tags": ["Webhook events"],
        "description": text,
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "2XX": {"description": "Taken. Anything else, or no answer within the time, is tried again."},
        },
    }
