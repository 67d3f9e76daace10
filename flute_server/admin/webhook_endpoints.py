"""Where an environment's events are told to its owner's own programs."""

from __future__ import annotations

import secrets
import socket
import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy import func, select

from flute_server.admin.audit import Action, Author, note
from flute_server.admin.find import as_uuid, is_own_environment
from flute_server.admin.paging import page
from flute_server.config import Config
from flute_server.domain.webhook import EVENT_TYPES, secret_words
from flute_server.egress import ALLOW_HINT, is_public
from flute_server.errors import FailedPrecondition, NotFound, Violation, invalid, not_found
from flute_server.models import Environment, WebhookEndpoint, db
from flute_server.vault import vault

MAX_ENDPOINTS = 20
MAX_URL = 2000
MAX_DESCRIPTION = 500
SECRET_OCTETS = 32
DEFAULT_OVERLAP = timedelta(days=1)
LONGEST_OVERLAP = timedelta(days=7)
FIELDS = ("url", "description", "event_types", "paused")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an owner says of an endpoint. event_types: empty for all."""

    url: str
    description: str
    event_types: Sequence[str]
    paused: bool


def create(
    config: Config, environment_id: uuid.UUID, given: Settings, author: Author
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret. Raises InvalidArgument, FailedPrecondition."""
    _check(config, given, FIELDS)
    # Locked, so that two calls at once cannot both make the last one; accepting mail goes on meanwhile.
    environment = db.session.scalars(
        select(Environment).where(Environment.id == environment_id).with_for_update(key_share=True)
    ).one()
    count = select(func.count()).where(WebhookEndpoint.environment_id == environment_id)
    if (db.session.scalar(count) or 0) >= MAX_ENDPOINTS:
        text = f"an environment has at most {MAX_ENDPOINTS} webhook endpoints; delete one first"
        raise FailedPrecondition("TOO_MANY_ENDPOINTS", text)
    secret = _new_secret()
    row = WebhookEndpoint(environment_id=environment_id, secret=_sealed(config, secret))
    _change(row, given, FIELDS)
    db.session.add(row)
    db.session.flush()
    _note(environment.account_id, row, "webhook_endpoint.create", author, _words(row))
    db.session.commit()
    return row, secret


def find(id_: str, environment_id: uuid.UUID | None) -> WebhookEndpoint:
    """The endpoint with this id, of this environment if one is given. Raises NotFound."""
    given = as_uuid(id_)
    row = db.session.get(WebhookEndpoint, given) if given else None
    if row is None or not is_own_environment(row.environment_id, environment_id):
        raise missing(id_)
    return row


def missing(id_: str) -> NotFound:
    """The error for an id that leads to no endpoint of the caller."""
    return not_found("webhook endpoint", id_)


def update(
    config: Config, row: WebhookEndpoint, given: Settings, fields: Collection[str], author: Author
) -> None:
    """Change these fields. In the session's transaction. Raises InvalidArgument.

    An endpoint that is unpaused or moves to another URL begins anew as one that is well.
    """
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise invalid([Violation("update_mask", f"{unknown[0]} cannot be changed; only {', '.join(FIELDS)}")])
    _check(config, given, fields)
    before = row.url, row.paused
    _change(row, given, fields)
    if (row.url, row.paused) != before:
        row.failures, row.failing_since, row.retry_time, row.pause_reason = 0, None, None, ""
    _note(_account_id(row), row, "webhook_endpoint.update", author, _words(row))


def rotate(
    config: Config, row: WebhookEndpoint, overlap: timedelta | None, author: Author
) -> tuple[WebhookEndpoint, str]:
    """A new secret; the one before it is used as well until the overlap is over. Raises InvalidArgument.

    FailedPrecondition while the overlap of a rotation before runs: it would end what programs still use.
    """
    overlap = DEFAULT_OVERLAP if overlap is None else overlap
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise invalid([Violation("overlap", f"0 to {LONGEST_OVERLAP.days} days")])
    _lock(row)
    if overlap and (end := overlap_end(row)):
        text = (
            f"the secret before this one is in use until {end:%d %b %Y %H:%M} UTC, and only one old secret is"
            " kept; rotate after that, or with an overlap of 0, which ends both at once"
        )
        raise FailedPrecondition("OVERLAP_UNDER_WAY", text)
    secret = _new_secret()
    kept = row.secret if overlap else None
    row.previous_secret = kept
    row.previous_secret_expire_time = datetime.now(UTC) + overlap if kept else None
    row.secret = _sealed(config, secret)
    until = row.previous_secret_expire_time
    text = f"the secret before it is used until {until:%d %b %Y %H:%M} UTC" if until else "at once"
    _note(_account_id(row), row, "webhook_endpoint.rotate_secret", author, text)
    db.session.commit()
    return row, secret


def _lock(row: WebhookEndpoint) -> None:
    """As it is now; who changes it at the same time comes after. Raises NotFound."""
    query = select(WebhookEndpoint).where(WebhookEndpoint.id == row.id).with_for_update()
    if db.session.scalar(query.execution_options(populate_existing=True)) is None:
        raise missing(str(row.id))


def overlap_end(row: WebhookEndpoint) -> datetime | None:
    """Until when the secret before the present one is used as well; None if it is not."""
    until = row.previous_secret_expire_time
    return until if until and until > datetime.now(UTC) else None


def note_replay(row: WebhookEndpoint, count: int, author: Author) -> None:
    """Keep on record that events are told again. In the session's transaction."""
    _note(_account_id(row), row, "webhook_endpoint.replay", author, f"{count:,} events are told again")


def delete(row: WebhookEndpoint, author: Author) -> None:
    """With its deliveries. In the session's transaction."""
    _note(_account_id(row), row, "webhook_endpoint.delete", author, row.url)
    db.session.delete(row)


def list_page(environment_id: uuid.UUID, size: int, token: str) -> tuple[list[WebhookEndpoint], str]:
    """The environment's endpoints, oldest first."""
    query = select(WebhookEndpoint).where(WebhookEndpoint.environment_id == environment_id)
    return page(query, WebhookEndpoint, size, token)


def _new_secret() -> str:
    return secret_words(secrets.token_bytes(SECRET_OCTETS))


def _sealed(config: Config, secret: str) -> bytes:
    return vault(config.secret_keys).seal({"secret": secret})


def _change(row: WebhookEndpoint, given: Settings, fields: Collection[str]) -> None:
    for field in fields:
        setattr(row, field, getattr(given, field))
    row.event_types = sorted(set(row.event_types))


def _check(config: Config, given: Settings, fields: Collection[str]) -> None:
    faults = []
    if "url" in fields and (why := why_no_url(given.url, allow_private=config.allow_private_addresses)):
        faults.append(Violation("webhook_endpoint.url", why))
    if "description" in fields and not _sane(given.description, MAX_DESCRIPTION):
        text = f"at most {MAX_DESCRIPTION} characters, none of them a control character"
        faults.append(Violation("webhook_endpoint.description", text))
    if "event_types" in fields:
        known = f"no event is of this type; the types are {', '.join(EVENT_TYPES)}"
        faults += [
            Violation(f"webhook_endpoint.event_types[{index}]", known)
            for index, type_ in enumerate(given.event_types)
            if type_ not in EVENT_TYPES
        ][:10]
    if faults:
        raise invalid(faults)


def why_no_url(url: str, *, allow_private: bool) -> str:  # noqa: PLR0911  one reason a line
    """Why it is no URL to call; empty if it is one. A name is looked up with every call, and only then."""
    if not url:
        return "is required"
    if not _sane(url, MAX_URL) or not url.isascii() or " " in url:
        return (
            f"at most {MAX_URL:,} ASCII characters without spaces; write other ones as %XX, domains as xn--"
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is no web address: {error}"
    if parts.scheme not in {"http", "https"} or not host:
        return "must begin with https:// (or http://) and a host, for example https://example.com/flute"
    if "@" in parts.netloc:
        return "must not hold a user name or password; prove where a call comes from with its signature"
    if "#" in url:
        return "must not hold a fragment (#): it would never be sent"
    if not allow_private and _is_private(host):
        return f"{host} is a private or reserved address; {ALLOW_HINT}"
    return ""


def _is_private(host: str) -> bool:
    """Whether a host is, by its look alone, one that a tenant may not name."""
    host = host.rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(OSError):
        # As the resolver reads 127.1, 0x7f.1 and 2130706433.
        host = socket.inet_ntoa(socket.inet_aton(host))
    try:
        return not is_public(host)
    except ValueError:
        return False


def _sane(text: str, longest: int) -> bool:
    return len(text) <= longest and not any(ord(c) < 0x20 or ord(c) == 0x7F for c in text)


def _account_id(row: WebhookEndpoint) -> uuid.UUID:
    return db.session.scalars(
        select(Environment.account_id).where(Environment.id == row.environment_id)
    ).one()


def _words(row: WebhookEndpoint) -> str:
    types = ", ".join(row.event_types) or "all events"
    return f"{row.url} is told of {types}" + ("; paused" if row.paused else "")


def _note(account_id: uuid.UUID, row: WebhookEndpoint, action: Action, author: Author, text: str) -> None:
    note(account_id, author, action, str(row.id), text)
