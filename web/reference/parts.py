"""What calls have in common: headers, parameters, credentials, the shape of answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from itertools import groupby
from typing import Any

from flute.v1.annotations_pb2 import ACCESS_ANYONE

from web.reference.problems import KINDS, Kind

Json = dict[str, Any]

SECURITY: Json = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key: `Authorization: Bearer flute_…`. Calls with a JSON body also take it as "
        "the field `access_token`.",
    }
}

HEADERS: Json = {
    "X-Request-Id": {
        "description": "The request's id: the caller's own, or a new one. It is in the log, too.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "example": "req-20261122-0001",
    },
    "RateLimit": {
        "description": "What is left of the tightest limit: `r` calls, and `t` seconds until it is full "
        "again. Absent where there is no limit.",
        "schema": {"type": "string"},
        "example": '"key";r=99;t=1',
    },
    "RateLimit-Policy": {
        "description": "The limits: `q` calls in `w` seconds. Absent where there is none.",
        "schema": {"type": "string"},
        "example": '"key";q=100;w=1',
    },
    "Retry-After": {
        "description": "After so many seconds it is worth trying again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "Idempotent-Replayed": {
        "description": "`true` when this is the first answer again, and nothing was done; absent otherwise.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Location": {
        "description": "Where to ask what became of it.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/v1/email/71fea4e9-e980-4eca-acd2-4e5a7a9684e2",
    },
    "Allow": {
        "description": "The methods that the address knows.",
        "required": True,
        "schema": {"type": "string"},
        "example": "GET, POST",
    },
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "required": True,
        "schema": {"type": "string"},
        "example": 'Bearer realm="flute"',
    },
}

IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Any text that is new for each new request; the same again within 24 hours gives the "
    "first answer and does nothing.",
    "schema": {"type": "string", "pattern": "^[ -~]{1,255}$"},
    "example": "order-4711-receipt",
}
REQUEST_ID: Json = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "Your own name for this request, to find it in logs and on timelines: 1 to 128 letters, "
    "digits, `.`, `_` and `-`. Any other value is passed over, and a new id made.",
    "schema": {"type": "string"},
    "example": "req-20261122-0001",
}
# Headers of every answer to a call with a key.
LIMITS = ("RateLimit", "RateLimit-Policy")

PARAMETERS: Json = {"Idempotency-Key": IDEMPOTENCY_KEY, "X-Request-Id": REQUEST_ID}

PROBLEM: Json = {
    "type": "object",
    "description": "Why a call failed (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "`urn:flute:problem:` and the code."},
        "title": {"type": "string", "description": "What the status means."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status."},
        "code": {"type": "string", "pattern": "^[a-z_]+$", "description": "Stable, for programs."},
        "detail": {"type": "string", "description": "What is wrong and what to do, for people."},
        "request_id": {"type": "string", "description": "The same as in the header X-Request-Id."},
        "errors": {
            "type": "array",
            "description": "Every field that is wrong; absent when it is not about fields.",
            "items": {"$ref": "#/components/schemas/FieldError"},
        },
    },
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "additionalProperties": False,
}
FIELD_ERROR: Json = {
    "type": "object",
    "description": "One wrong field.",
    "properties": {
        "pointer": {"type": "string", "description": "Where in the body: a JSON pointer (RFC 6901)."},
        "parameter": {"type": "string", "description": "In its place: the name of a parameter or header."},
        "code": {"type": "string", "description": "Stable, for programs."},
        "detail": {"type": "string", "description": "What is wrong with it, for people."},
    },
    "required": ["code", "detail"],
    "oneOf": [{"required": ["pointer"]}, {"required": ["parameter"]}],
    "additionalProperties": False,
}


def ref(section: str, name: str) -> Json:
    """A reference into components."""
    return {"$ref": f"#/components/{section}/{name}"}


def security(access: int) -> list[Json]:
    """What a call must show: any one of these."""
    return [{"bearer": []}, *([{}] if access == ACCESS_ANYONE else [])]


def answer(description: str, content: Mapping[str, Json], headers: Iterable[str] = ()) -> Json:
    """A response; content: media type -> its schema and example."""
    names = ["X-Request-Id", *headers]
    found: Json = {"description": description, "headers": {name: ref("headers", name) for name in names}}
    return found | ({"content": dict(content)} if content else {})


def failures(codes: Iterable[str]) -> Json:
    """Status -> response, for these codes of problems."""
    kinds = sorted((KINDS[code] for code in codes), key=lambda kind: kind.status)
    by_status = groupby(kinds, key=lambda kind: kind.status)
    return {str(status): _failure(status, list(group)) for status, group in by_status}


_HEADERS_OF = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After",), 503: ("Retry-After",)}


def _failure(status: int, kinds: list[Kind]) -> Json:
    text = "\n".join(f"- `{kind.code}`: {kind.means} {kind.do}" for kind in kinds)
    examples = {kind.code: {"summary": kind.means, "value": problem(kind)} for kind in kinds}
    content = {"schema": ref("schemas", "Problem"), "examples": examples}
    return answer(text, {"application/problem+json": content}, _HEADERS_OF.get(status, ()))


def problem(kind: Kind) -> Json:
    """An example of the answer."""
    return {
        "type": f"urn:flute:problem:{kind.code}",
        "title": HTTPStatus(kind.status).phrase,
        "status": kind.status,
        "code": kind.code,
        "detail": kind.means.partition(";")[0].removesuffix(".") + ".",
        "request_id": "req-20261122-0001",
        **(
            {"errors": [dict(zip(("pointer", "code", "detail"), kind.wrong, strict=True))]}
            if kind.wrong
            else {}
        ),
    }
