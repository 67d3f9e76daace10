"""What a request carries: its credentials and its body."""

from __future__ import annotations

import re
import threading
from contextlib import nullcontext
from typing import Any

from flask import request

from web import patience
from web.api.parse import decode
from web.api.query import Query
from web.client import Caller
from web.errors import FieldError, Problem, request_id, unauthenticated

# RFC 6750 section 2.1. Anything else cannot be a key, and could not travel in metadata.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,512}")
IDEMPOTENCY_KEY = "Idempotency-Key"
_LARGE = 1 << 20
# Parsing holds the GIL, so large bodies gain nothing from being parsed at once; the memory adds up.
_one_large_body = threading.Lock()


def header_token() -> str:
    """The key in the Authorization header, or an empty string. Raises 401 for other schemes."""
    header = request.environ.get("HTTP_AUTHORIZATION", "")
    if not header:
        return ""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise unauthenticated("unsupported_scheme", "Send the API key as Authorization: Bearer <key>.")
    return check_token(token.strip())


def check_token(token: str) -> str:
    """The token, if it can be one at all."""
    if not _TOKEN.fullmatch(token):
        text = "What was sent can be no API key. Copy the key whole: it begins with flute_."
        raise unauthenticated("invalid_api_key", text)
    return token


def one_token(body: str, needed: bool = True) -> str:
    """The key of a request, which may carry it in the header, in the body or in both."""
    header = header_token()
    if header and body and header != body:
        error = FieldError("/access_token", "conflicting_credentials", "differs from the key in the header")
        text = "access_token and the Authorization header name different keys. Send one of them."
        raise Problem(400, "conflicting_credentials", text, [error])
    if needed and not (header or body):
        where = ", or as access_token in the body" if request.method in {"POST", "PATCH"} else ""
        text = f"Send the API key as Authorization: Bearer <key>{where}."
        raise unauthenticated("missing_api_key", text)
    return header or (check_token(body) if body else "")


def caller(token: str) -> Caller:
    """On whose behalf the server is asked."""
    return Caller(token, request_id(), request.environ.get("REMOTE_ADDR", ""))


def no_query() -> None:
    """For calls without parameters. Raises Problem 400 naming those that are there."""
    query = request.environ.get("QUERY_STRING")
    if query:
        Query(()).parse(query)


def idempotency_key() -> str:
    """The Idempotency-Key header, or an empty string. Raises Problem 422 for one without a key."""
    key: str | None = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key == "":
        error = FieldError("", "invalid", "must be 1 to 255 printable ASCII characters", IDEMPOTENCY_KEY)
        raise Problem(422, "invalid_fields", f"{IDEMPOTENCY_KEY}: {error.detail}", [error])
    return key or ""


def refuse_idempotency_key() -> None:
    """For calls that do not know such keys. Raises Problem 400: whoever sends one relies on it."""
    if "HTTP_IDEMPOTENCY_KEY" in request.environ:
        text = f"This call does not know the header {IDEMPOTENCY_KEY}. Leave it out."
        error = FieldError("", "unsupported", "is not known to this call", IDEMPOTENCY_KEY)
        raise Problem(400, "idempotency_key_unsupported", text, [error])


def json_object(required: bool = True) -> dict[str, Any]:
    """The JSON object in the body. Raises Problem 400, 408, 413 or 415.

    required: without it, an empty body is an empty object, whatever it is announced as.
    """
    if not required and _is_empty():
        return {}
    body = json_octets()
    return decoded(body) if required or body else {}


def json_octets() -> bytes:
    """The body of a JSON call as it came. Raises Problem 400, 408, 413 or 415."""
    check_type("application/json", "JSON")
    return raw(request.max_content_length or 0)


def decoded(body: bytes) -> dict[str, Any]:
    """The JSON object in such a body. Raises Problem 400."""
    with _one_large_body if len(body) > _LARGE else nullcontext():
        return decode(body)


def _is_empty() -> bool:
    return not request.content_length and "HTTP_TRANSFER_ENCODING" not in request.environ


def check_type(expected: str, word: str) -> None:
    """Raises Problem 415 for a body announced as something else, or in another encoding than UTF-8."""
    if request.environ.get("CONTENT_TYPE") == expected:
        return
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != expected or charset not in {"utf-8", "utf8", "us-ascii"}:
        text = f"The body must be {word}, announced with Content-Type: {expected}."
        raise Problem(415, "unsupported_media_type", text)


def raw(most: int) -> bytes:
    """The body, of at most so many bytes. Raises Problem 400, 408 or 413."""
    expected = request.content_length
    if expected is None:
        # Chunked, if the server says that the stream ends. One byte above the limit tells that there is more.
        body = _wait_for(most + 1) if request.environ.get("wsgi.input_terminated") else b""
        expected = len(body)
    elif expected <= most:
        body = _wait_for(expected)
    if expected > most:
        size = f"{most >> 20} MB" if most >> 20 else f"{most >> 10} KB"
        text = f"The body is larger than {size}. Send less at once, or links instead of large files."
        raise Problem(413, "request_entity_too_large", text)
    if len(body) < expected:
        raise Problem(408, "incomplete_body", "The body did not arrive completely in time.")
    return body


def _wait_for(size: int) -> bytes:
    """At most so many bytes of the body. Straight from the server: Werkzeug's stream would only cost time."""
    with patience.reading_body(request.environ.get("gunicorn.socket"), size):
        try:
            body: bytes = request.environ["wsgi.input"].read(size)
        except Exception as error:  # gunicorn has many for broken chunks, without a root of their own
            raise Problem(400, "malformed_body", "The body could not be read.") from error
    return body
