"""Every problem that a call can end with: its status, what it means and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from flute.v1.annotations_pb2 import ACCESS_ANYONE

from web.api.operations import Operation


@dataclass(frozen=True, slots=True)
class Kind:
    """One code of the field `code`. The texts are for the reference; an answer's own are more exact."""

    code: str
    status: int
    means: str
    do: str
    retry_after: bool = False  # the header Retry-After says when
    wrong: tuple[str, str, str] | None = None  # pointer, code and detail of an example in `errors`


_FIX = "Mend the request; the same one will be refused again."

_ALL = (
    Kind("malformed_request", 400, "The request is not valid HTTP.", "Use an HTTP library."),
    Kind("malformed_json", 400, "The body is no JSON, or nested too deeply.", "Let a JSON library write it."),
    Kind("not_an_object", 400, "The body is JSON, but no object.", _FIX),
    Kind("too_many_values", 400, "The body has more than a million values.", _FIX),
    Kind(
        "malformed_body",
        400,
        "Fields are unknown, given twice or of the wrong type; `errors` names each.",
        "Mend the fields that `errors` points to.",
        wrong=("/subjct", "unknown_field", "there is no such field; did you mean subject?"),
    ),
    Kind(
        "malformed_query",
        400,
        "Parameters of the address are unknown, given twice or of the wrong type; `errors` names each.",
        "Mend the parameters that `errors` names.",
    ),
    Kind(
        "key_in_address",
        400,
        "The access token stands in the address, which ends up in logs.",
        "Send it in the header, and replace the token: it has leaked.",
    ),
    Kind(
        "conflicting_credentials",
        400,
        "`access_token` and the Authorization header name different keys.",
        "Send one of them.",
    ),
    Kind(
        "idempotency_key_unsupported",
        400,
        "The call was given an Idempotency-Key, which it does not know.",
        "Leave it out: repeating this call does it again.",
    ),
    Kind("missing_api_key", 401, "The call needs an API key and has none.", "Send one."),
    Kind("unsupported_scheme", 401, "The Authorization header is not `Bearer`.", "Send `Bearer <key>`."),
    Kind("invalid_api_key", 401, "What was sent can be no API key.", "Copy the key whole."),
    Kind("bad_access_token", 401, "There is no such key.", "Copy the key whole, and ask the right server."),
    Kind("revoked_access_token", 401, "The key was revoked.", "Use a new key."),
    Kind("expired_access_token", 401, "The key has expired.", "Use a new key."),
    Kind(
        "insufficient_scope", 403, "The key may not do this.", "Use a key with the scope that `detail` names."
    ),
    Kind(
        "test_key",
        403,
        "The mail is a live one, and the key of the kind `test`.",
        "Use a live key of the same environment.",
    ),
    Kind(
        "from_domain_mismatch",
        403,
        "The author's address is not in the environment's domain.",
        "Send from the environment's domain, or use the key of another environment.",
    ),
    Kind(
        "email_not_found",
        404,
        "There is no email with this id that the key may see.",
        "Check the id, and that the key is of the environment that sent it.",
    ),
    Kind("not_found", 404, "There is nothing with this id, or nothing at this address.", "Check both."),
    Kind(
        "method_not_allowed",
        405,
        "The address does not know the method.",
        "The header Allow lists those it does.",
    ),
    Kind("incomplete_body", 408, "The body did not arrive in time.", "Send it again."),
    Kind("no_routes", 409, "The environment has no provider yet.", "Add a route to it; then send again."),
    Kind(
        "idempotency_key_reused",
        409,
        "The Idempotency-Key was used with another body in the last 24 hours.",
        "Use a new key for each new mail, and the same only to repeat it.",
    ),
    Kind(
        "request_in_flight",
        409,
        "The first call with this Idempotency-Key has not ended yet.",
        "Send the same again after Retry-After; it will get the first answer.",
        retry_after=True,
    ),
    Kind("not_cancelable", 409, "Nothing of the mail waits any more.", "It cannot be taken back."),
    Kind(
        "being_sent",
        409,
        "A worker is handing the mail to a provider this very moment.",
        "Ask again in a few seconds: if that attempt fails, it can be taken back.",
        retry_after=True,
    ),
    Kind("not_scheduled", 409, "The mail does not wait for a time of sending.", "It has gone its way."),
    Kind(
        "nothing_to_resend", 409, "The mail reached all, or is still on its way.", "Resend to `all`, or wait."
    ),
    Kind(
        "content_removed",
        409,
        "The mail was finished so long ago that its content was removed, as its environment wants it.",
        "Send it anew, with its content.",
    ),
    Kind("too_many_endpoints", 409, "The environment has its largest number of endpoints.", "Delete one."),
    Kind(
        "overlap_under_way",
        409,
        "The secret before the last rotation is in use still, and only one old secret is kept.",
        "Rotate when its time is over, or with an overlap of 0, which ends both old secrets at once.",
    ),
    Kind("request_entity_too_large", 413, "The body is larger than 35 MB.", "Send less, or a link to it."),
    Kind("uri_too_long", 414, "The address is longer than 4,000 bytes.", _FIX),
    Kind(
        "unsupported_media_type", 415, "The body is not announced as what it has to be.", "Send Content-Type."
    ),
    Kind("expectation_failed", 417, "Expect asks for something else than 100-continue.", "Leave it out."),
    Kind(
        "invalid_fields",
        422,
        "The request is well-formed, but some of it cannot be; `errors` names each field.",
        "Mend the fields that `errors` points to.",
        wrong=("/to/0/email", "invalid", "not a valid address: An email address must have an @-sign"),
    ),
    Kind(
        "rate_limited",
        429,
        "The key or the environment takes no more calls this moment, or too many unknown keys were tried.",
        "Wait for Retry-After. The RateLimit header of every answer tells how much is left.",
        retry_after=True,
    ),
    Kind(
        "quota_exceeded",
        429,
        "The environment has taken its mails of this month (UTC).",
        "Wait for the next month, or have the quota raised.",
        retry_after=True,
    ),
    Kind("headers_too_large", 431, "The header is larger than this server accepts.", _FIX),
    Kind(
        "unavailable",
        503,
        "A part of Flute is away. What was answered with 202 before is safe.",
        "Send again after Retry-After, with the same Idempotency-Key.",
        retry_after=True,
    ),
    Kind(
        "timeout",
        503,
        "A part of Flute did not answer in time, and may have carried out the call all the same.",
        "Send again with the same Idempotency-Key: then nothing happens twice.",
        retry_after=True,
    ),
    Kind("database_away", 503, "The database is away.", "Send again after Retry-After.", retry_after=True),
)

KINDS = {kind.code: kind for kind in _ALL}

_ANY = (
    # Of HTTP itself.
    "malformed_request",
    "uri_too_long",
    "expectation_failed",
    "headers_too_large",
    "malformed_query",
    "key_in_address",
    "unsupported_scheme",
    "invalid_api_key",
    "unavailable",
    "timeout",
    "database_away",
)
_WITH_BODY = (
    *("malformed_json", "not_an_object", "too_many_values", "malformed_body", "conflicting_credentials"),
    *("incomplete_body", "request_entity_too_large", "unsupported_media_type"),
)
_NEEDS_KEY = ("missing_api_key", "insufficient_scope")
# Who tries many unknown keys is slowed down, also where none is needed.
_KEY = ("bad_access_token", "revoked_access_token", "expired_access_token", "rate_limited")


def codes_of(operation: Operation) -> tuple[str, ...]:
    """The codes of everything that the call can end with, in the order of KINDS."""
    anyone = operation.access == ACCESS_ANYONE
    body = _WITH_BODY if operation.body is not None else ()
    idempotent = "request_id" in operation.request.fields_by_name
    refuses = operation.method == "POST" and not idempotent
    header = ("idempotency_key_unsupported",) if refuses else ("invalid_fields",) if idempotent else ()
    key = () if anyone else _NEEDS_KEY
    return _in_order(*_ANY, *_KEY, *body, *header, *key, *operation.problems)


def csv_codes(body: bool) -> tuple[str, ...]:
    """The same for import and export, which the contract gives no place in the JSON API."""
    more = (
        "incomplete_body",
        "request_entity_too_large",
        "unsupported_media_type",
        "invalid_fields",
        "idempotency_key_unsupported",
    )
    return _in_order(*_ANY, *_KEY, *_NEEDS_KEY, *(more if body else ()))


def _in_order(*codes: str) -> tuple[str, ...]:
    return tuple(kind.code for kind in _ALL if kind.code in codes)
