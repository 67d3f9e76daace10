"""Calls that may be repeated: the same key leads to the same answer, and to one mail.

The key's row is written by the very statement that stores the mail (store.py), so both are there or neither.
A call that finds the key in another's open transaction waits for its end; one that crashes leaves no key
behind.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Flask

from flute_server.domain.limits import MAX_REQUEST_ID
from flute_server.errors import Aborted, AlreadyExists, Violation, invalid
from flute_server.models import autocommit
from flute_server.sending.answer import Answer

KEPT_FOR = timedelta(hours=24)
# How long a call waits for another one with its key.
WAIT_S = 2.0

_SANE = re.compile(rf"[ -~]{{1,{MAX_REQUEST_ID}}}")
# Before the keys of test calls: with an end of line, which no key has.
_TEST = "test\n"

# The first part of a statement that stores: whatever else it stores is taken FROM claimed, which has no row
# when the key is taken. lock_timeout counts for this transaction alone.
CLAIMED = f"""
bounded AS MATERIALIZED (
    SELECT set_config('lock_timeout', '{WAIT_S:g}s', true)
), claimed AS (
    INSERT INTO idempotency_key AS known (environment_id, key, hash, answer, create_time)
    SELECT %(environment_id)s, %(key)s, %(hash)s, %(answer)s::jsonb, %(now)s FROM bounded
    ON CONFLICT (environment_id, key) DO UPDATE
    SET hash = excluded.hash, answer = excluded.answer, create_time = excluded.create_time
    WHERE known.create_time < %(expired)s
    RETURNING key
)"""  # noqa: S608  constants only
_KNOWN = """
SELECT hash, answer FROM idempotency_key
WHERE environment_id = %(environment_id)s AND key = %(key)s AND create_time >= %(expired)s
"""
# Looked at again where the row is locked, for it may have been taken anew since.
_FORGET = """
DELETE FROM idempotency_key WHERE create_time < %(expired)s AND (environment_id, key) IN (
    SELECT environment_id, key FROM idempotency_key WHERE create_time < %(expired)s
    ORDER BY create_time LIMIT %(most)s
)
"""
# In portions, so that nobody has to wait.
_PORTION = 10_000


@dataclass(frozen=True, slots=True)
class Once:
    """The key of a call that may be repeated, as it is stored. hash: SHA-256 of what it asks."""

    key: str
    hash: bytes


def once(key: str, asked: bytes, *, test: bool) -> Once | None:
    """None without a key. asked: the whole request but the key. Raises InvalidArgument for a wrong key.

    What test keys call has a space of its own, so that what was tried out can be sent in earnest, unchanged.
    """
    if not key:
        return None
    if not _SANE.fullmatch(key):
        text = f"an idempotency key is 1 to {MAX_REQUEST_ID} printable ASCII characters"
        raise invalid([Violation("request_id", text)])
    return Once(f"{_TEST}{key}" if test else key, hashlib.sha256(asked).digest())


def recall(environment_id: uuid.UUID, asked: Once | None) -> Answer | None:
    """The answer to the call that had this key before. Raises AlreadyExists when it asked something else."""
    if asked is None:
        return None
    values = {"environment_id": environment_id, "key": asked.key, "expired": _expired(datetime.now(UTC))}
    with autocommit() as connection:
        row = connection.exec_driver_sql(_KNOWN, values).one_or_none()
    if row is None:
        return None
    if row.hash != asked.hash:
        text = (
            "the idempotency key was used within 24 hours for another request; "
            "repeat that request unchanged, or take a new key"
        )
        raise AlreadyExists("IDEMPOTENCY_KEY_REUSED", text, [Violation("request_id", text)])
    return Answer.unpacked(row.answer)


def values(asked: Once, answer: Answer) -> dict[str, object]:
    """What CLAIMED wants besides the environment and the time."""
    return {
        "key": asked.key,
        "hash": asked.hash,
        "answer": json.dumps(answer.packed()),
        "expired": _expired(answer.create_time),
    }


def in_flight() -> Aborted:
    """Another call with the key has not ended."""
    text = "another request with this idempotency key is still being worked on; try again in a moment"
    return Aborted("REQUEST_IN_FLIGHT", text)


def sweep(app: Flask) -> int:
    """Forget keys whose time is over, a portion of them; how many."""
    values = {"expired": _expired(datetime.now(UTC)), "most": _PORTION}
    with app.app_context(), autocommit() as connection:
        return connection.exec_driver_sql(_FORGET, values).rowcount


def _expired(now: datetime) -> datetime:
    return now - KEPT_FOR
