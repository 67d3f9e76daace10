"""One call to a program of the owner."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta

import requests
from urllib3.exceptions import HTTPError

from flute_server.config import Config
from flute_server.domain.webhook import Answer
from flute_server.egress import AnswerLost, CheckedAdapter, CheckedSession, NotSent
from flute_server.providers.http import retry_after

# A host that does not even take a connection is not waited for as long as a program that may be at work.
CONNECT_S = 3.0
ANSWER_S = 10.0
CALL_S = CONNECT_S + ANSWER_S
MAX_TEXT = 2000
# Of an answer, so much is read; longer ones cost the connection.
MAX_OCTETS = 4 * MAX_TEXT


def new_session(config: Config, answer_s: float = ANSWER_S, connections: int = 1) -> CheckedSession:
    """Live connections to one endpoint, whose answers are waited for so long."""
    adapter = CheckedAdapter(
        allow_private=config.allow_private_addresses, answer_timeout_s=answer_s, pool_size=connections
    )
    return CheckedSession(adapter)


def call(
    session: requests.Session, url: str, headers: dict[str, str], body: bytes
) -> tuple[Answer, timedelta]:
    """Post a body and tell what came back and how long it took. Raises nothing that a peer can cause."""
    begin = time.monotonic()
    try:
        answer = _post(session, url, headers, body)
    except (NotSent, AnswerLost) as error:
        answer = Answer(0, _clean(str(error)))
    except (requests.RequestException, HTTPError, ValueError, OSError) as error:
        answer = Answer(0, _clean(f"the call failed: {error}"))
    return answer, timedelta(seconds=time.monotonic() - begin)


def _post(session: requests.Session, url: str, headers: dict[str, str], body: bytes) -> Answer:
    response = session.post(
        url, data=body, headers=headers, timeout=CONNECT_S, allow_redirects=False, stream=True
    )
    octets, whole = b"", False
    try:
        # The status has been said: an answer that breaks off after it changes nothing.
        with suppress(HTTPError, OSError):
            octets = response.raw.read(MAX_OCTETS + 1) or b""
            whole = len(octets) <= MAX_OCTETS
    finally:
        if whole:
            response.raw.release_conn()
        else:
            response.raw.close()
    text = _clean(octets.decode("utf-8", "replace"))
    if 300 <= response.status_code < 400:
        to = response.headers.get("Location", "nowhere")
        text = _clean(f"redirects are not followed (to {to}); change the endpoint's URL")
    wait = retry_after(response.headers.get("Retry-After", ""), time.time())
    return Answer(response.status_code, text, wait)


def _clean(text: str) -> str:
    return text.replace("\0", "")[:MAX_TEXT]
