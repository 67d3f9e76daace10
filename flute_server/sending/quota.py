"""The monthly quota of an environment: which month counts, and what was accepted in it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from flute_server.models import Dimension, Email, Grain, Tally, autocommit
from flute_server.sending.tally import EMAILS

# A month's count outlives it, for a server whose clock is late.
KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in UTC, in which an environment may send so many mails."""

    environment_id: uuid.UUID
    quota: int
    begin: datetime

    @classmethod
    def now(cls, environment_id: uuid.UUID, quota: int) -> Month:
        """The present one."""
        now = datetime.now(UTC)
        return cls(environment_id, quota, datetime(now.year, now.month, 1, tzinfo=UTC))

    @property
    def end(self) -> datetime:
        """When the next one begins."""
        return (self.begin + timedelta(days=31)).replace(day=1)

    @property
    def key(self) -> str:
        """Where Redis counts."""
        return f"flute:quota:{{{self.environment_id}}}:{self.begin:%Y-%m}"


def accepted(month: Month) -> int:
    """How many mails the environment has accepted this month, by the database.

    The figures of statistics are quick to add up; they follow mail by seconds, and the first has none yet.
    """
    tallied = select(func.sum(Tally.count)).where(
        Tally.environment_id == month.environment_id,
        Tally.dimension == Dimension.ALL,
        Tally.grain == Grain.DAY,
        Tally.start >= month.begin,
        Tally.type == EMAILS,
    )
    stored = select(func.count(Email.id)).where(
        Email.environment_id == month.environment_id, Email.create_time >= month.begin, ~Email.test
    )
    query = select(func.coalesce(tallied.scalar_subquery(), stored.scalar_subquery()))
    with autocommit() as database:
        return int(database.scalar(query))
