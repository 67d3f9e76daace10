"""What the contract does not say: the shapes that flute_json.render makes by hand, and calls with CSV."""

from __future__ import annotations

from collections.abc import Iterable

from flute.v1.annotations_pb2 import ACCESS_MANAGE, ACCESS_READ
from flute.v1.email_pb2 import Email, EmailContent, Recipient
from flute.v1.email_service_pb2 import PlanEmailResponse, SendEmailResult
from flute.v1.suppression_service_pb2 import ImportSuppressionsRequest, ImportSuppressionsResponse
from google.protobuf.descriptor import Descriptor

from flute_json.naming import json_name
from web.api.operations import Operation
from web.reference import samples
from web.reference.examples import example_of
from web.reference.parts import FIELD_ERROR, LIMITS, PROBLEM, answer, failures, ref, security
from web.reference.problems import csv_codes
from web.reference.schemas import Json, Schemas, comment

ACCESS_TOKEN: Json = {
    "type": ["string", "null"],
    "description": "The API key, where it is not in the Authorization header.",
}
DRY_RUN: Json = {
    "type": ["boolean", "null"],
    "description": "Accept nothing; answer with the way that this mail would take now, and why.",
}

# Calls whose JSON has fields that the message does not have.
BODY_FIELDS: dict[str, Json] = {"SendEmail": {"dry_run": DRY_RUN}}


# Calls that answer with what was stored, and where it can be asked for.
ACCEPTING = ("SendEmail", "ResendEmail")
LOCATED = (*ACCEPTING,)


def add(schemas: Schemas) -> None:
    """Put the shapes made by hand among the schemas; they stand in for those that the contract would give."""
    schemas.components |= {"Problem": PROBLEM, "FieldError": FIELD_ERROR}
    schemas.components["Email"] = _email(schemas)
    schemas.components["AcceptedEmail"] = _accepted(schemas)
    schemas.components["SendEmailResult"] = _result(schemas)
    # Left out for those who may not see it.
    schemas.components["Recipient"]["required"].remove("name")


def answer_to(operation: Operation, schemas: Schemas) -> Json:
    """The schema of a success."""
    return (
        ref("schemas", "AcceptedEmail") if operation.name in ACCEPTING else schemas.answer(operation.response)
    )


def more_answers(operation: Operation, schemas: Schemas) -> Json:
    """Successes of another kind."""
    if operation.name != "SendEmail":
        return {}
    schema = schemas.answer(PlanEmailResponse.DESCRIPTOR)
    told = {"schema": schema, "example": example_of(schema, schemas.components)}
    text = comment("flute.v1.EmailService.PlanEmail")
    return {"200": answer(f"With `dry_run`. {text}", {"application/json": told}, LIMITS)}


def _accepted(schemas: Schemas) -> Json:
    email, content = Email.DESCRIPTOR.fields_by_name, EmailContent.DESCRIPTOR.fields_by_name
    recipient = Recipient.DESCRIPTOR.fields_by_name
    told = {name: schemas.field(recipient[name], answer=True) for name in ("email", "state")}
    names = ("id", "state", "create_time", "test", "resent_from")
    properties = {json_name(email[name]): schemas.field(email[name], answer=True) for name in names}
    for state in (properties["status"], told["state"]):
        state["examples"] = ["queued"]
    return {
        "type": "object",
        "description": "What was stored, durably.",
        "properties": {
            **properties,
            "send_at": schemas.field(content["send_at"], answer=True),
            "recipients": {
                "type": "array",
                "description": "To, Cc and Bcc in this order.",
                "items": {
                    "type": "object",
                    "properties": {json_name(recipient[name]): schema for name, schema in told.items()},
                    "required": ["email", "status"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["id", "status", "create_time", "recipients"],
        "additionalProperties": False,
    }


def _result(schemas: Schemas) -> Json:
    accepted = {
        "type": "object",
        "title": "Accepted",
        "description": "The mail is stored.",
        "properties": _view(schemas, SendEmailResult.DESCRIPTOR, ("id", "state")),
        "required": ["id", "status"],
        "additionalProperties": False,
    }
    refused = {
        "type": "object",
        "title": "Refused",
        "description": "The mail is not stored; the same again would be refused, too.",
        "properties": {name: PROBLEM["properties"][name] for name in ("code", "detail", "errors")},
        "required": ["code", "detail", "errors"],
        "additionalProperties": False,
    }
    return {"description": comment(SendEmailResult.DESCRIPTOR.full_name), "anyOf": [accepted, refused]}


def _email(schemas: Schemas) -> Json:
    fields = Email.DESCRIPTOR.fields_by_name
    private = {
        **_view(schemas, Email.DESCRIPTOR, ("environment_id", "resent_from", "content_removed")),
        **_view(schemas, EmailContent.DESCRIPTOR, _content_names()),
        **_view(schemas, Email.DESCRIPTOR, ("attachments",)),
    }
    return {
        "type": "object",
        "description": f"{comment(Email.DESCRIPTOR.full_name)} Without the environment's key, the fields "
        f"{', '.join(f'`{name}`' for name in private)} and the names of recipients are left out, and "
        "addresses are masked.",
        "properties": {
            **_view(schemas, Email.DESCRIPTOR, ("id", "state", "create_time", "test", "next_attempt_time")),
            **private,
            "recipients": schemas.field(fields["recipients"], answer=True),
            "timeline": schemas.field(fields["events"], answer=True),
            "attempts": schemas.field(fields["attempts"], answer=True),
        },
        "required": ["id", "status", "create_time", "test", "recipients", "timeline", "attempts"],
        "dependentRequired": {"environment_id": sorted(private.keys() - {"content_removed"})},
        "additionalProperties": False,
    }


def _content_names() -> list[str]:
    return [field.name for field in EmailContent.DESCRIPTOR.fields if field.name != "attachments"]


def _view(schemas: Schemas, message: Descriptor, names: Iterable[str]) -> Json:
    fields = message.fields_by_name
    return {json_name(fields[name]): schemas.field(fields[name], answer=True) for name in names}


# ----- calls that are no JSON


def paths(schemas: Schemas) -> Json:
    """Path -> method -> call."""
    return {
        "/v1/suppressions/import": {"post": _import(schemas)},
        "/v1/suppressions/export": {"get": _export()},
    }


_CSV = "email,reason,text\nbob@example.com,unsubscribe,by phone\n"


def _import(schemas: Schemas) -> Json:
    request = samples.Request("POST", "/v1/suppressions/import", data=_CSV, media_type="text/csv")
    csv = comment(f"{ImportSuppressionsRequest.DESCRIPTOR.full_name}.csv")
    schema = schemas.answer(ImportSuppressionsResponse.DESCRIPTOR)
    told = {"schema": schema, "example": example_of(schema, schemas.components)}
    return {
        "operationId": "importSuppressions",
        "summary": "Import suppressions",
        "description": "Puts many addresses on the list, from CSV (RFC 4180).\n\n"
        "Needs a key with the scope `manage`.",
        "tags": ["Suppressions"],
        "parameters": [ref("parameters", "X-Request-Id")],
        "security": security(ACCESS_MANAGE),
        "requestBody": {
            "required": True,
            "description": csv,
            "content": {"text/csv": {"schema": {"type": "string", "minLength": 1}, "example": _CSV}},
        },
        "responses": {
            "200": answer("What became of the lines.", {"application/json": told}, LIMITS),
            **failures(csv_codes(body=True)),
        },
        "x-codeSamples": samples.code_of(request),
    }


def _export() -> Json:
    request = samples.Request("GET", "/v1/suppressions/export", returns_json=False)
    told = {"schema": {"type": "string"}, "example": _CSV}
    return {
        "operationId": "exportSuppressions",
        "summary": "Export suppressions",
        "description": "The whole list as CSV (RFC 4180).\n\nNeeds a key with the scope `read`.",
        "tags": ["Suppressions"],
        "parameters": [ref("parameters", "X-Request-Id")],
        "security": security(ACCESS_READ),
        "responses": {
            "200": answer("The list, oldest first.", {"text/csv": told}, LIMITS),
            **failures(csv_codes(body=False)),
        },
        "x-codeSamples": samples.code_of(request),
    }
