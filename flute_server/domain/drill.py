"""A failover drill: which mails pass a provider account over, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(hours=24)
ALL = 100


@dataclass(frozen=True, slots=True)
class Drill:
    """share: for so many of a hundred mails."""

    id: UUID
    until: datetime
    share: int = ALL

    def concerns(self, email_id: UUID) -> bool:
        """Whether this mail passes the account over: alike at every try, by another lot in every drill."""
        digest = blake2b(self.id.bytes + email_id.bytes, digest_size=8).digest()
        return int.from_bytes(digest) % ALL < self.share

    def words(self, now: datetime) -> str:
        """What the timeline says of it."""
        return f"failover drill until {clock(self.until, now)}"


def clock(time: datetime, now: datetime) -> str:
    """A time of today by the hour, another with its date."""
    return f"{time:%H:%M} UTC" if time.date() == now.date() else f"{time:%Y-%m-%d %H:%M} UTC"
