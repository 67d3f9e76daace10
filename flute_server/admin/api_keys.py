"""The keys with which apps send."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select

from flute_server.admin.find import find, required_name
from flute_server.admin.paging import page
from flute_server.models import ApiKey, Environment, db
from flute_server.vault import TOKEN_PREFIX, new_token, token_hash

HINT_LENGTH = len(TOKEN_PREFIX) + 4


def create(environment_id: str, name: str) -> tuple[ApiKey, str]:
    """A new key and its access token, which is nowhere else."""
    environment = find(Environment, environment_id)
    token = new_token()
    key = ApiKey(
        environment_id=environment.id,
        name=required_name("name", name),
        hint=token[:HINT_LENGTH],
        hash=token_hash(token),
    )
    db.session.add(key)
    db.session.commit()
    return key, token


def revoke(id_: str) -> ApiKey:
    """End a key at once and for good."""
    key = find(ApiKey, id_)
    key.revoke(datetime.now(UTC))
    db.session.commit()
    return key


def list_page(environment_id: str, size: int, token: str) -> tuple[list[ApiKey], str]:
    environment = find(Environment, environment_id)
    return page(select(ApiKey).where(ApiKey.environment_id == environment.id), ApiKey, size, token)
