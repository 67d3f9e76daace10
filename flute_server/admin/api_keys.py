"""The keys with which apps send."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from flute_server.admin.audit import Action, Author, note
from flute_server.admin.find import find, required_name
from flute_server.admin.paging import page
from flute_server.admin.rate_limits import checked
from flute_server.domain.bucket import Limit
from flute_server.errors import FailedPrecondition, Violation, invalid
from flute_server.models import ApiKey, Environment, KeyKind, Scope, db
from flute_server.vault import TOKEN_PREFIX, new_token, token_hash

HINT_LENGTH = len(TOKEN_PREFIX) + 4
DEFAULT_SCOPES = frozenset({Scope.SEND, Scope.READ})
DEFAULT_OVERLAP = timedelta(days=1)
LONGEST_OVERLAP = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Rights:
    """What a key may do. scopes: empty for DEFAULT_SCOPES; expire_time: None for never."""

    kind: KeyKind = KeyKind.LIVE
    scopes: Collection[Scope] = ()
    expire_time: datetime | None = None
    limit: Limit | None = None


def create(environment_id: str, name: str, rights: Rights, author: Author) -> tuple[ApiKey, str]:
    """A new key and its access token, which is nowhere else. Raises InvalidArgument, NotFound."""
    environment = find(Environment, environment_id)
    if rights.expire_time and rights.expire_time <= datetime.now(UTC):
        raise invalid([Violation("expire_time", "must be in the future")])
    key, token = _new(environment, required_name("name", name), rights)
    _note(environment, author, "api_key.create", key, _words(key))
    db.session.commit()
    return key, token


def rotate(id_: str, overlap: timedelta | None, author: Author) -> tuple[ApiKey, str]:
    """A new key with the same rights, and its access token; the old one ends when the overlap is over.

    Raises NotFound, InvalidArgument, FailedPrecondition for a key that has ended.
    """
    old, now = find(ApiKey, id_), datetime.now(UTC)
    overlap = DEFAULT_OVERLAP if overlap is None else overlap
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise invalid([Violation("overlap", f"0 to {LONGEST_OVERLAP.days} days")])
    _check_alive(old, now)
    environment = find(Environment, str(old.environment_id))
    limit = Limit(old.rate_per_second, old.rate_burst or 0) if old.rate_per_second else None
    scopes = [Scope(scope) for scope in old.scopes]
    key, token = _new(environment, old.name, Rights(KeyKind(old.kind), scopes, old.expire_time, limit))
    end = now + overlap
    old.expire_time = min(old.expire_time or end, end)
    text = f"replaced by {key.hint}…; works until {old.expire_time:%d %b %Y %H:%M:%S} UTC"
    _note(environment, author, "api_key.rotate", old, text)
    db.session.commit()
    return key, token


def revoke(id_: str, author: Author) -> ApiKey:
    """End a key at once and for good."""
    key = find(ApiKey, id_)
    if key.revoke_time is None:
        key.revoke(datetime.now(UTC))
        _note(find(Environment, str(key.environment_id)), author, "api_key.revoke", key)
        db.session.commit()
    return key


def list_page(environment_id: str, size: int, token: str) -> tuple[list[ApiKey], str]:
    environment = find(Environment, environment_id)
    return page(select(ApiKey).where(ApiKey.environment_id == environment.id), ApiKey, size, token)


def _new(environment: Environment, name: str, rights: Rights) -> tuple[ApiKey, str]:
    token, limit = new_token(), checked("rate_limit", rights.limit)
    key = ApiKey(
        environment_id=environment.id,
        name=name,
        hint=token[:HINT_LENGTH],
        hash=token_hash(token),
        kind=rights.kind,
        scopes=sorted(set(rights.scopes or DEFAULT_SCOPES), key=list(Scope).index),
        expire_time=rights.expire_time,
        rate_per_second=limit.per_second if limit else None,
        rate_burst=limit.burst if limit else None,
    )
    db.session.add(key)
    return key, token


def _check_alive(key: ApiKey, now: datetime) -> None:
    if key.revoke_time:
        raise FailedPrecondition("KEY_REVOKED", "the key was revoked; create a new one instead")
    if key.expire_time and key.expire_time <= now:
        raise FailedPrecondition("KEY_EXPIRED", "the key has expired; create a new one instead")


def _words(key: ApiKey) -> str:
    until = f", until {key.expire_time:%d %b %Y %H:%M} UTC" if key.expire_time else ""
    often = f", {key.rate_per_second:,} a second" if key.rate_per_second else ""
    return f"{key.kind} key for {', '.join(key.scopes)}{until}{often}"


def _note(environment: Environment, author: Author, action: Action, key: ApiKey, text: str = "") -> None:
    subject = f"{key.name} ({key.hint}…)"
    note(environment.account_id, author, action, subject, text)
