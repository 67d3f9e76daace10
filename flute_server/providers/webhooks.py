"""What the readers of webhooks share: hostile JSON into safe values, times, codes, checks of who is speaking.

What a reader hands on can be stored: no NUL, no lone surrogate (PostgreSQL takes neither), no NaN, nothing
deeper, longer or more than the limits below. Each provider's own words are in its `<slug>_events` module.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flute_server.domain.verdict import Diagnostic
from flute_server.providers.base import CredentialError, Field, WebhookMalformed, WebhookRefused

MAX_BODY = 8 * 1024 * 1024  # SendGrid flushes at 768 KB; a Postmark bounce may hold the whole mail
MAX_EVENTS = 10_000
MAX_PARTS = 500_000  # commas and opening brackets, about as many as values
MAX_DEPTH = 12
MAX_STRING = 10_000  # characters; the classifier reads the first 3,000 and the last 1,000
MAX_ID = 255
MAX_ADDRESS = 320
FUTURE = timedelta(minutes=5)

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# What stands in a body that may hold such characters: raw or escaped. Most bodies hold none.
_SUSPECT = re.compile(rb"\x00|\\u0000|\\u[dD][89a-fA-F]")
# RFC 3463: three numbers, not part of an IP address, which has four.
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?!\d|\.\d)", re.ASCII)
_REPLY = re.compile(r"(?<![\w.,:/=+@-])([245]\d\d)(?=[ \-#:;,]|$)", re.ASCII)
_UNIX = re.compile(r"\d{1,11}(?:\.\d{1,9})?", re.ASCII)
_FRACTION = re.compile(r"(\.\d{6})\d+")
_ADDRESS = re.compile(r"[^\s\x00-\x20\x7f<>]+@[^\s\x00-\x20\x7f<>@]+")
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def parse(body: bytes, limit: int = MAX_BODY) -> Any:  # noqa: ANN401 - JSON
    """The body's JSON, safe to store. Raises WebhookMalformed."""
    if len(body) > limit:
        raise WebhookMalformed(f"the body has {len(body):,} octets, more than {limit:,}")
    if sum(body.count(mark) for mark in b",[{") > MAX_PARTS:
        raise WebhookMalformed(f"the body holds more than {MAX_PARTS:,} values")
    try:
        parsed = json.loads(body.decode("utf-8-sig", "replace"), strict=False, parse_constant=_nothing)
    except RecursionError:
        raise WebhookMalformed("the body is nested too deeply") from None
    except ValueError as error:
        raise WebhookMalformed(f"the body is not JSON: {error}") from None
    return _Cleaner(suspect=_SUSPECT.search(body) is not None).value(parsed, 0)


def objects(items: list[Any]) -> list[dict[str, Any]]:
    """The objects of a list; one bad item does not lose the others. Raises WebhookMalformed for too many."""
    if len(items) > MAX_EVENTS:
        raise WebhookMalformed(f"the body holds {len(items):,} events, more than {MAX_EVENTS:,}")
    return [item for item in items if isinstance(item, dict)]


def cleaned(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same for what came as an answer."""
    cleaner = _Cleaner(suspect=True)
    return [cleaner.value(item, 0) for item in items]


class _Cleaner:
    """Bounds and cleans parsed JSON."""

    def __init__(self, *, suspect: bool) -> None:
        self._suspect = suspect

    def value(self, value: Any, depth: int) -> Any:  # noqa: ANN401 - JSON
        """Most values are short strings, hence the order."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            if depth >= MAX_DEPTH:
                return None
            return {self.text(name): self.value(item, depth + 1) for name, item in value.items()}
        if isinstance(value, list):
            return None if depth >= MAX_DEPTH else [self.value(item, depth + 1) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    def text(self, text: str) -> str:
        if len(text) > MAX_STRING:
            text = f"{text[: MAX_STRING - 2000]} … {text[-1990:]}"
        return _UNSTORABLE.sub("�", text) if self._suspect else text


def _nothing(_: str) -> None:
    """For NaN and Infinity, which are not JSON."""


def word(value: object, limit: int = MAX_ID) -> str:
    """A short text, whether it came as text or as a number; empty for anything else."""
    if isinstance(value, str):
        return value[:limit].strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)[:limit]
    return ""


def _number(value: float) -> str:
    try:
        return str(value)
    except ValueError:  # more than 4,300 digits
        return ""


def mapping(value: object) -> Mapping[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def address(value: object) -> str:
    """An email address, bare; empty when it is none."""
    text = word(value, MAX_ADDRESS)
    return text if _ADDRESS.fullmatch(text) else ""


def our_ids(data: Mapping[str, Any]) -> dict[str, str]:
    """What `http.our_ids` gave along, as fields of a ProviderEvent."""
    return {
        "email_id": word(data.get("flute_email")),
        "attempt_id": word(data.get("flute_attempt")),
        "recipient_id": word(data.get("flute_recipient")),
    }


def moment(value: object) -> datetime | None:
    """A time from unix seconds or ISO 8601 (without an offset: UTC); None for what is none or cannot be."""
    text = word(value)
    try:
        if _UNIX.fullmatch(text):
            found = datetime.fromtimestamp(float(text), UTC)
        else:
            found = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
            found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found if _EARLIEST <= found <= now() + timedelta(days=1) else None


def now() -> datetime:
    """The time of an event whose provider tells none."""
    return datetime.now(UTC)


def digest(*parts: object) -> str:
    """A key for an event that has no id of its own."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:40]


def diagnosis(
    provider: str,
    recipient: str,
    *,
    text: object = "",
    status: object = "",
    reply: object = "",
    rhost: object = "",
    klass: object = "",
    detail: object = "",
) -> Diagnostic:
    """What was said about a failure; codes that the provider does not name are read from the text."""
    said = word(text, MAX_STRING)
    given = _ENHANCED.search(word(status)) or _ENHANCED.search(said)
    code = word(reply)
    if not re.fullmatch(r"[1-9]\d\d", code, re.ASCII):
        found = _REPLY.search(said[:200])
        code = found[1] if found else ""
    return Diagnostic(
        text=said,
        status=given[1] if given else "",
        reply=code,
        destination=recipient.rpartition("@")[2].lower(),
        rhost=word(rhost),
        provider=provider,
        provider_class=word(klass),
        provider_detail=word(detail),
    )


def check_age(timestamp: str, now: datetime, oldest: timedelta) -> None:
    """Raises WebhookRefused unless the signed time (unix seconds) is recent."""
    if not re.fullmatch(r"\d{1,11}", timestamp, re.ASCII):
        raise WebhookRefused("the signature's timestamp is not a time in unix seconds")
    age = now.timestamp() - int(timestamp)
    if age < -FUTURE.total_seconds():
        raise WebhookRefused(f"the signature is {-age:.0f} s in the future: is this machine's clock right?")
    if age > oldest.total_seconds():
        raise WebhookRefused(f"the signature is {age / 3600:.1f} hours old, more than is taken: a replay?")


def basic_fields(name: str) -> tuple[Field, Field]:
    """The credentials of a provider that signs nothing and offers basic authentication instead."""
    return (
        Field(
            "webhook_username",
            "Webhook user name",
            required=False,
            default="flute",
            help=f"As set in {name}'s webhook, under basic authentication.",
        ),
        Field(
            "webhook_password",
            "Webhook password",
            secret=True,
            required=False,
            help=f"As set in {name}'s webhook; without it no events are taken in.",
        ),
    )


def check_basic_fields(credentials: Mapping[str, str]) -> None:
    """Raises CredentialError for what basic authentication cannot carry (RFC 7617 section 2)."""
    if ":" in credentials["webhook_username"]:
        raise CredentialError("webhook_username", "webhook_username cannot hold a colon")


def check_basic(headers: Mapping[str, str], credentials: Mapping[str, str], name: str) -> None:
    """RFC 7617, in constant time. Raises WebhookRefused."""
    password = credentials["webhook_password"]
    if not password:
        raise WebhookRefused(
            f"webhook_password is not set in this {name} account: choose one, and give it to {name}'s webhook"
        )
    scheme, _, given = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "basic":
        raise WebhookRefused(
            f"no basic authentication came along: set user name and password in {name}'s webhook"
        )
    try:
        pair = base64.b64decode(given.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise WebhookRefused("the authorization header is not base64") from None
    expected = f"{credentials['webhook_username']}:{password}".encode()
    if not hmac.compare_digest(pair, expected):
        raise WebhookRefused(
            f"user name or password is wrong: {name}'s webhook must have this account's webhook_username and "
            "webhook_password"
        )
