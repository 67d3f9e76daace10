"""A call that a person asks for, to see whether an endpoint works."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from flute_server.admin.webhook_endpoints import overlap_end
from flute_server.config import Config
from flute_server.domain.webhook import TEST, Told, body, headers
from flute_server.models import WebhookEndpoint, db
from flute_server.sending.webhooks.call import call, new_session
from flute_server.sending.webhooks.claims import opened
from flute_server.sending.webhooks.log import Try
from flute_server.vault import vault

# With the time to connect, less than callers of an RPC commonly wait (web: 10 s).
ANSWER_S = 6.0


def probe(config: Config, endpoint: WebhookEndpoint) -> Try:
    """Call the endpoint once, also one that is paused, with an event of type `test`. Nothing is kept."""
    now = datetime.now(UTC)
    previous = endpoint.previous_secret if overlap_end(endpoint) else None
    signing = opened(vault(config.secret_keys), endpoint.secret, previous)
    url, environment_id = endpoint.url, str(endpoint.environment_id)
    # The call may take seconds; no database connection is held meanwhile.
    db.session.rollback()
    told = Told(
        id=f"evt_test_{secrets.token_hex(8)}",
        type=TEST,
        time=now,
        email_id="",
        environment_id=environment_id,
        recipient="",
        provider_account="",
        text="a call to try the endpoint out; it is about no email",
        subject="",
        test=True,
    )
    content = body(told)
    session = new_session(config, ANSWER_S)
    try:
        answer, took = call(session, url, headers(signing, told.id, now, content), content)
    finally:
        session.close()
    return Try(now, took, answer.status, answer.text, url)
