"""Calls to the owner's own programs: what is said, how it is signed, when it is said again, and when not.

Signature and header fields follow Standard Webhooks (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flute_server.domain.state import EventType

# The start of an attempt is told by the attempt itself, and no event. `test` is sent by hand alone.
EVENT_TYPES = tuple(sorted(type_ for type_ in EventType if type_ is not EventType.ATTEMPT))
TEST = "test"

SECRET_PREFIX = "whsec_"  # noqa: S105  how all secrets of this kind begin
AGENT = "Flute-Webhooks/1"

# How long after each failed try the next one follows; after the last, a day later, the delivery has failed.
WAITS_S = (5, 30, 2 * 60, 10 * 60, 30 * 60, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 8 * 3600)
# Moved by up to so much to either side, lest all that failed together come again together.
JITTER = 0.2
LONGEST_RETRY_AFTER = timedelta(hours=1)

# So many failures in a row, and an endpoint gets one call at a time, with growing pauses between.
FAILURES_TO_PROBE = 5
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 600.0
# An endpoint that took nothing for so long is paused.
PAUSE_AFTER = timedelta(hours=24)

# An event waits for earlier ones of the same email until these were tried so often.
ORDERED_TRIES = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call. status: 0 when no answer came; text: its beginning, or why none came."""

    status: int
    text: str
    retry_after_s: float | None = None

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Standing:
    """How an endpoint does. failures: in a row; failing_since: None while it is well.

    retry_time: not to be called before this; None for at once.
    """

    failures: int = 0
    failing_since: datetime | None = None
    retry_time: datetime | None = None


WELL = Standing()


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it is told. id: its public one; texts are empty where it concerns no such thing."""

    id: str
    type: str
    time: datetime
    email_id: str
    environment_id: str
    recipient: str
    provider_account: str
    text: str
    subject: str
    attempt_id: str = ""
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    test: bool = False


def event_id(id_: int) -> str:
    """The public id of an event: the `webhook-id` of every call about it."""
    return f"evt_{id_}"


def body(told: Told) -> bytes:
    """The JSON of a call; the same `told` always gives the same octets.

    An event that is told again is read anew: a provider account that was renamed meanwhile has its new name.
    `data` is the event as the feed tells it, with what a receiver would otherwise have to ask for.
    """
    time = _rfc3339(told.time)
    data = {
        "type": told.type,
        "time": time,
        "recipient": told.recipient or None,
        "provider_account": told.provider_account or None,
        "text": told.text,
        "attempt_id": told.attempt_id or None,
        "id": told.id,
        "email_id": told.email_id or None,
        "environment_id": told.environment_id,
        "subject": told.subject or None,
        "tags": list(told.tags),
        "metadata": dict(told.metadata),
        "test": told.test,
    }
    parts = {"type": told.type, "timestamp": time, "data": data}
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def secret_words(key: bytes) -> str:
    """A secret as people copy it."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def signature(secrets: Sequence[str], id_: str, now: datetime, content: bytes) -> str:
    """One signature for each secret (`whsec_` and base64), separated by spaces."""
    signed = b".".join((id_.encode(), str(int(now.timestamp())).encode(), content))
    return " ".join(f"v1,{_signed(secret, signed)}" for secret in secrets)


def _signed(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def headers(secrets: Sequence[str], id_: str, now: datetime, content: bytes) -> dict[str, str]:
    """The header fields of a call that begins now."""
    return {
        "content-type": "application/json",
        "user-agent": AGENT,
        "accept-encoding": "identity",
        "webhook-id": id_,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature(secrets, id_, now, content),
    }


def next_try(tries: int, answer: Answer, now: datetime, draw: float) -> datetime | None:
    """When to try again after so many tries (at least 1), the last of which failed; None for never.

    draw: 0 <= draw < 1, from which the jitter is made.
    """
    if tries > len(WAITS_S):
        return None
    wait = timedelta(seconds=_jittered(WAITS_S[tries - 1], draw))
    return now + max(wait, _asked(answer))


def after(standing: Standing, answer: Answer, now: datetime, draw: float) -> Standing:
    """An endpoint's standing after one more call."""
    if answer.taken:
        return WELL
    failures = standing.failures + 1
    pause = _asked(answer)
    if failures >= FAILURES_TO_PROBE:
        grown = FIRST_PAUSE_S * 2 ** min(failures - FAILURES_TO_PROBE, 20)
        pause = max(pause, timedelta(seconds=_jittered(min(grown, LONGEST_PAUSE_S), draw)))
    retry = now + pause if pause else None
    later = max(filter(None, (standing.retry_time, retry)), default=None)
    return Standing(failures, standing.failing_since or now, later)


def why_paused(standing: Standing, answer: Answer, now: datetime) -> str:
    """Why an endpoint is to be paused after a call that left it so; empty if it is not."""
    if answer.status == 410:
        return "the endpoint answered 410 Gone: it wants no more calls"
    since = standing.failing_since
    if since is None or standing.failures < FAILURES_TO_PROBE or now - since < PAUSE_AFTER:
        return ""
    last = f"{answer.status}" if answer.status else answer.text[:200]
    return f"every call has failed since {since.astimezone(UTC):%d %b %Y %H:%M} UTC; the last: {last}"


def _asked(answer: Answer) -> timedelta:
    """The pause that an endpoint asked for."""
    if answer.status not in {429, 503} or answer.retry_after_s is None:
        return timedelta(0)
    return min(timedelta(seconds=max(0.0, min(answer.retry_after_s, 1e6))), LONGEST_RETRY_AFTER)


def _jittered(seconds: float, draw: float) -> float:
    return seconds * (1 - JITTER + 2 * JITTER * draw)
