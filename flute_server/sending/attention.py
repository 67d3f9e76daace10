"""What a person should look at in an account now, from small tables and narrow looks at large ones."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select, text

from flute_server.domain.breaker import BreakerState
from flute_server.domain.state import EventType, State
from flute_server.models import (
    Alert,
    AlertKind,
    ApiKey,
    Breaker,
    Dimension,
    Environment,
    Grain,
    ProviderAccount,
    WebhookEndpoint,
    db,
)
from flute_server.providers.registry import PROVIDERS
from flute_server.sending import account_states
from flute_server.sending.arrivals import EXACT_TO
from flute_server.sending.routing import WHOLE
from flute_server.sending.statistics import DAY, HOUR

MOST = 100
MOST_ALERTS = 20
MOST_DOMAINS = 3
EXPIRES_WITHIN = 7 * DAY
# Mail may wait for a moment: for a claim, a pause of a provider, room under a cap.
WAITS_LONG = timedelta(minutes=5)


class Kind(StrEnum):
    """What needs attention; see AttentionKind in the proto for each word's meaning."""

    ALERT = "alert"
    FAILING_PROVIDER_ACCOUNT = "failing_provider_account"
    PAUSED_PROVIDER_ACCOUNT = "paused_provider_account"
    SILENT_PROVIDER_ACCOUNT = "silent_provider_account"
    FEW_ROUTES = "few_routes"
    WEBHOOK_ENDPOINT = "webhook_endpoint"
    EXPIRING_KEY = "expiring_key"
    WAITING_MAIL = "waiting_mail"
    FAILED_CHECK = "failed_check"


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing that needs a look. time: since when, or until when, if that is known."""

    kind: Kind
    subject_id: str
    subject: str
    text: str
    urgent: bool = False
    time: datetime | None = None
    environment_id: uuid.UUID | None = None


def read(account_id: uuid.UUID, now: datetime) -> list[Attention]:
    """The urgent first; at most MOST."""
    found = [
        *_waiting(account_id, now),
        *_few_routes(account_id),
        *_failing(account_id),
        *_failed_checks(account_id),
        *_paused(account_id),
        *_silent(account_id, now),
        *_alerts(account_id),
        *_endpoints(account_id),
        *_expiring(account_id, now),
    ]
    return sorted(found, key=lambda item: not item.urgent)[:MOST]


def _alerts(account_id: uuid.UUID) -> Iterator[Attention]:
    query = select(Alert).where(Alert.account_id == account_id, Alert.resolve_time.is_(None))
    rows = db.session.scalars(query.order_by(Alert.create_time.desc()).limit(MOST_ALERTS)).all()
    domains = _domains(account_id) if any(row.kind == AlertKind.SENDER_DOMAIN for row in rows) else {}
    for row in rows:
        place = _sends_as(row.subject, domains) if row.kind == AlertKind.SENDER_DOMAIN else None
        yield Attention(
            Kind.ALERT, str(row.id), row.kind, row.text, time=row.create_time, environment_id=place
        )


def _domains(account_id: uuid.UUID) -> dict[str, uuid.UUID]:
    """Domain -> its environment, the oldest of several."""
    query = select(Environment.domain, Environment.id).where(Environment.account_id == account_id)
    return {domain: id_ for domain, id_ in db.session.execute(query.order_by(Environment.create_time.desc()))}


def _sends_as(domain: str, environments: dict[str, uuid.UUID]) -> uuid.UUID | None:
    """The environment of a domain, or of one above it."""
    labels = domain.split(".")
    above = (".".join(labels[at:]) for at in range(len(labels)))
    return next((environments[one] for one in above if one in environments), None)


def _failing(account_id: uuid.UUID) -> Iterator[Attention]:
    """Accounts that are passed over; where one is as a whole, its domains go without saying."""
    query = (
        select(Breaker.domain, Breaker.reason, Breaker.retry_at, ProviderAccount.id, ProviderAccount.name)
        .join(ProviderAccount, ProviderAccount.id == Breaker.provider_account_id)
        .where(ProviderAccount.account_id == account_id, Breaker.state != BreakerState.CLOSED)
        .order_by(ProviderAccount.name, Breaker.domain)
    )
    by_account: dict[tuple[uuid.UUID, str], list[tuple[str, str, datetime | None]]] = {}
    for domain, reason, retry_at, id_, name in db.session.execute(query):
        by_account.setdefault((id_, name), []).append((domain, reason, retry_at))
    kind = Kind.FAILING_PROVIDER_ACCOUNT
    for (id_, name), found in by_account.items():
        domain, reason, retry_at = found[0]
        if domain == WHOLE:
            after = "it is tried again by itself" if retry_at else "nothing goes through it until you act"
            yield Attention(kind, str(id_), name, f"passed over ({reason}); {after}", retry_at is None)
        else:
            named = ", ".join(item[0] for item in found[:MOST_DOMAINS])
            more = f" and {len(found) - MOST_DOMAINS} more" if len(found) > MOST_DOMAINS else ""
            yield Attention(kind, str(id_), name, f"blocked or late at {named}{more}: {reason}")


def _failed_checks(account_id: uuid.UUID) -> Iterator[Attention]:
    """Accounts that failed their last check, as far as mail has not decided since."""
    query = select(ProviderAccount).where(
        ProviderAccount.account_id == account_id,
        ProviderAccount.check_time.is_not(None),
        ~ProviderAccount.check_ok,
    )
    rows = db.session.scalars(query.order_by(ProviderAccount.name)).all()
    standings = account_states.read(rows)
    for row in rows:
        if found := account_states.DOUBTS.get(standings[row.id].state):
            said = f"{found}: {row.check_text.rstrip('.')}. {row.check_advice}".strip()
            yield Attention(Kind.FAILED_CHECK, str(row.id), row.name, said, time=row.check_time)


def _paused(account_id: uuid.UUID) -> Iterator[Attention]:
    query = select(ProviderAccount).where(
        ProviderAccount.account_id == account_id, ProviderAccount.pause_time.is_not(None)
    )
    for row in db.session.scalars(query.order_by(ProviderAccount.name)):
        words = "paused: it gets no mail until somebody resumes it"
        yield Attention(Kind.PAUSED_PROVIDER_ACCOUNT, str(row.id), row.name, words, time=row.pause_time)


def _silent(account_id: uuid.UUID, now: datetime) -> Iterator[Attention]:
    """Accounts of whose events none came since the last hour that is long over in which they took mail."""
    values = {"account": account_id, "since": now - DAY, "until": now - 2 * HOUR}
    for id_, name, provider, last_event, took in db.session.execute(_TOOK, values):
        if not PROVIDERS[provider].webhooks or (last_event and last_event >= took - EXACT_TO):
            continue
        since = f"since {last_event:%Y-%m-%d %H:%M} UTC" if last_event else "ever"
        words = (
            f"took mail, and no event of it has come {since}: bounces are not seen, and not failed over; "
            "check its webhook"
        )
        yield Attention(Kind.SILENT_PROVIDER_ACCOUNT, str(id_), name, words, time=last_event)


def _few_routes(account_id: uuid.UUID) -> Iterator[Attention]:
    for id_, name, routes, usable in db.session.execute(_ROUTES, {"account": account_id}):
        if usable > 1:
            continue
        if routes == 0:
            words = "has no route: mail is refused until there is one"
        elif usable == 0:
            words = "has no route that can be used now: mail waits"
        elif routes == 1:
            words = "has a single route: nothing can take over when it fails"
        else:
            words = "has one route left that can be used now: nothing could take over"
        yield Attention(Kind.FEW_ROUTES, str(id_), name, words, usable == 0, environment_id=id_)


def _endpoints(account_id: uuid.UUID) -> Iterator[Attention]:
    query = (
        select(WebhookEndpoint)
        .join(Environment, Environment.id == WebhookEndpoint.environment_id)
        .where(Environment.account_id == account_id)
        .where(WebhookEndpoint.paused | WebhookEndpoint.failing_since.is_not(None))
        .order_by(WebhookEndpoint.url)
    )
    for row in db.session.scalars(query):
        words = f"takes no calls: {row.failures} failed in a row"
        if row.paused:
            words = "paused" + (f": {row.pause_reason}" if row.pause_reason else " by a person")
        yield Attention(
            Kind.WEBHOOK_ENDPOINT,
            str(row.id),
            row.url,
            f"{words}; events wait",
            time=row.failing_since,
            environment_id=row.environment_id,
        )


def _expiring(account_id: uuid.UUID, now: datetime) -> Iterator[Attention]:
    query = (
        select(ApiKey)
        .join(Environment, Environment.id == ApiKey.environment_id)
        .where(Environment.account_id == account_id, ApiKey.revoke_time.is_(None))
        .where(ApiKey.expire_time > now, ApiKey.expire_time <= now + EXPIRES_WITHIN)
        .order_by(ApiKey.expire_time)
    )
    for row in db.session.scalars(query):
        words = f"expires at {row.expire_time:%Y-%m-%d %H:%M} UTC; rotate it before"
        yield Attention(
            Kind.EXPIRING_KEY,
            str(row.id),
            row.name,
            words,
            time=row.expire_time,
            environment_id=row.environment_id,
        )


def _waiting(account_id: uuid.UUID, now: datetime) -> Iterator[Attention]:
    """The mail that waits for longest, where that is long."""
    found = [row for row in db.session.execute(_OLDEST, {"account": account_id}) if row.since]
    if not found:
        return
    oldest = min(found, key=lambda row: row.since)
    if now - oldest.since < WAITS_LONG:
        return
    words = f"mail waits to be sent since {oldest.since:%Y-%m-%d %H:%M} UTC; its timeline says what for"
    yield Attention(
        Kind.WAITING_MAIL,
        str(oldest.email_id),
        oldest.name,
        words,
        urgent=True,
        time=oldest.since,
        environment_id=oldest.environment_id,
    )


# The last hour in which each account took mail, as counted.
_TOOK = text(
    f"""
    SELECT p.id, p.name, p.provider, p.last_event_time, max(t.start) AS took
    FROM environment e
    JOIN tally t ON t.environment_id = e.id AND t.dimension = '{Dimension.PROVIDER_ACCOUNT}'
        AND t.grain = '{Grain.HOUR}' AND t.type = '{EventType.SENT}'
        AND t.start > :since AND t.start <= :until
    JOIN provider_account p ON p.id::text = t.key
    WHERE e.account_id = :account
    GROUP BY p.id
    ORDER BY p.name
    """  # noqa: S608  constants only
)
_ROUTES = text(
    f"""
    SELECT e.id, e.name, count(r.id) AS routes, count(r.id) FILTER (
        WHERE NOT r.disabled AND p.pause_time IS NULL
          AND (b.state IS NULL OR b.state = '{BreakerState.CLOSED}')) AS usable
    FROM environment e
    LEFT JOIN route r ON r.environment_id = e.id
    LEFT JOIN provider_account p ON p.id = r.provider_account_id
    LEFT JOIN breaker b ON b.provider_account_id = p.id AND b.domain = '{WHOLE}'
    WHERE e.account_id = :account
    GROUP BY e.id
    ORDER BY e.create_time, e.id
    """  # noqa: S608  constants only
)
# In each environment the first of the queued in the order of acceptance; a scheduled one waits only since its
# time.
_OLDEST = text(
    f"""
    SELECT e.id AS environment_id, e.name, o.email_id, o.since
    FROM environment e
    CROSS JOIN LATERAL (
        SELECT m.id AS email_id, greatest(m.create_time, m.send_time) AS since
        FROM (
            SELECT email_id FROM recipient
            WHERE environment_id = e.id AND state = '{State.QUEUED}' ORDER BY email_time, email_id LIMIT 10
        ) q JOIN email m ON m.id = q.email_id
        ORDER BY 2 LIMIT 1
    ) o
    WHERE e.account_id = :account
    """  # noqa: S608  constants only
)
