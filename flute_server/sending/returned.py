"""Which mail a bounce mail brings back, as its signed return path proves."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import select

from flute_server.config import Config
from flute_server.domain import verp
from flute_server.models import Attempt, Inbound, db

# How much of a bounce mail is searched for a return path of ours.
MAX_SEARCHED = 1024 * 1024


class ReturnPaths:
    """The return paths that any of the installation's keys has signed."""

    def __init__(self, config: Config) -> None:
        self._secrets = [verp.secret_of(key) for key in config.secret_keys]

    def read(self, address: str) -> tuple[str, str] | None:
        """The attempt and recipient of a return path; None for any other address."""
        return next(filter(None, (verp.read_return_path(secret, address) for secret in self._secrets)), None)

    def find(self, recipient: str, raw: bytes) -> uuid.UUID | None:
        """The attempt that a bounce mail is about: by its envelope, or else by a return path within."""
        paths = [recipient, *verp.find_return_paths(raw[:MAX_SEARCHED].decode("ascii", "replace"))]
        found = next(filter(None, map(self.read, paths)), None)
        return uuid.UUID(found[0]) if found else None


def file(bounces: Sequence[Inbound], paths: ReturnPaths) -> set[uuid.UUID]:
    """Note with each bounce mail which mail came back, and tell which. One whose mail is gone is emptied."""
    if not bounces:
        return set()
    attempts = {inbound.id: paths.find(inbound.recipient, inbound.body) for inbound in bounces}
    query = select(Attempt.id, Attempt.email_id).where(Attempt.id.in_(set(attempts.values()) - {None}))
    emails: dict[uuid.UUID | None, uuid.UUID] = {id_: email_id for id_, email_id in db.session.execute(query)}
    for inbound in bounces:
        inbound.email_id = emails.get(attempts[inbound.id])
        if inbound.email_id is None and inbound.due_time is None:
            inbound.body = b""
    return set(emails.values())
