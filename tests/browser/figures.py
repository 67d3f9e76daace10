"""A month of figures for a picture of graphs, as much mail would have left them behind."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import cos, exp, log, pi

import psycopg

from flute_server.domain.histogram import bucket

HOUR = timedelta(hours=1)
DAYS = 30
# Receiving domains and tags with their shares of the mail.
DOMAINS = {"northwind.example": 0.46, "contoso.example": 0.31, "fabrikam.example": 0.23}
TAGS = {"receipt": 0.5, "shipping": 0.3, "sign-in": 0.2}
# Seconds, the middle one and how wide they spread.
TIMES = {"send": (0.09, 0.6), "deliver": (2.2, 0.8), "call": (0.12, 0.5)}
_SAMPLES = 12


@dataclass
class Past:
    """What one environment sent. shares: of its provider accounts, by id; troubled: the account that failed
    in some hours, whose mail `helper` then took."""

    environment_id: str
    mails_an_hour: int
    shares: Mapping[str, float]
    troubled: str = ""
    helper: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    luck: random.Random = field(default_factory=lambda: random.Random(7))  # the same at each run
    tallies: Counter[tuple[str, str, datetime, str, str]] = field(default_factory=Counter)
    timings: Counter[tuple[str, str, datetime, str, str, int]] = field(default_factory=Counter)
    domains: Counter[tuple[str, datetime, str, str]] = field(default_factory=Counter)

    def write(self, database: psycopg.Connection) -> None:
        """Add a month up to now."""
        hour = self.now.replace(minute=0, second=0, microsecond=0)
        for back in range(DAYS * 24):
            self._hour(hour - back * HOUR, back)
        with database.cursor() as cursor:
            self._copy(cursor, "tally", "environment_id, dimension, grain, start, key, type, count")
            self._copy(
                cursor, "timing", "environment_id, dimension, grain, start, key, measure, bucket, count"
            )
            for (account, day, domain), counts in self._by_domain():
                cursor.execute(
                    "INSERT INTO domain_tally AS t VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT "
                    "(provider_account_id, day, domain) DO UPDATE SET sent = t.sent + excluded.sent, "
                    "delivered = t.delivered + excluded.delivered",
                    [account, day, domain, *counts],
                )

    def _hour(self, hour: datetime, back: int) -> None:
        working = 1.0 if hour.weekday() < 5 else 0.55
        busy = (0.55 - 0.45 * cos((hour.hour - 3) / 24 * 2 * pi)) * working * self.luck.uniform(0.85, 1.15)
        begun = 1 if back else self.now.minute / 60
        mails = int(self.mails_an_hour * busy * begun)
        failing = bool(self.troubled) and (back in {6, 7} or (hour.day % 11 == 4 and hour.hour in {9, 10}))
        self._count(hour, [("all", "")], mails, {"accepted": mails, "emails": mails})
        for account, share in self.shares.items():
            part = int(mails * share)
            if failing and account == self.troubled:
                self._failed(hour, account, part)
                continue
            rescued = int(mails * self.shares[self.troubled]) if failing and account == self.helper else 0
            self._sent(hour, account, part + rescued, rescued)

    def _failed(self, hour: datetime, account: str, mails: int) -> None:
        """Calls until the breaker opened."""
        calls = min(mails, 40)
        self._count(hour, [("call", account)], calls, {"calls": calls, "not_sent": calls})

    def _sent(self, hour: datetime, account: str, mails: int, rescued: int) -> None:
        bounced, deferred = self._some(mails, 0.006), self._some(mails, 0.018)
        delivered = mails - bounced
        counts = {
            "sent": mails,
            "delivered": delivered,
            "bounced": bounced,
            "deferred": deferred,
            "rescued": rescued,
            "opened": self._some(delivered, 0.41),
            "clicked": self._some(delivered, 0.09),
            "complained": self._some(delivered, 0.0004),
        }
        self._count(hour, [("all", ""), ("provider_account", account)], mails, counts)
        calls = {"calls": mails, "accepted": mails, "bounce:recipient": bounced}
        self._count(hour, [("call", account)], mails, calls)
        for dimension, shares in (("domain", DOMAINS), ("tag", TAGS)):
            for key, share in shares.items():
                few = {type_: int(count * share) for type_, count in counts.items()}
                few |= {"accepted": few["sent"], "emails": few["sent"]}
                self._count(hour, [(dimension, key)], mails, few)
        self._times(hour, [("all", ""), ("provider_account", account)], ["send", "deliver"], mails)
        self._times(hour, [("call", account)], ["call"], mails)
        day = hour.replace(hour=0)
        for domain, share in DOMAINS.items():
            for name in ("sent", "delivered", "bounced", "deferred"):
                self.domains[account, day, domain, name] += int(counts[name] * share)

    def _some(self, of: int, share: float) -> int:
        return int(of * share + self.luck.random())

    def _count(
        self, hour: datetime, places: Sequence[tuple[str, str]], mails: int, counts: Mapping[str, int]
    ) -> None:
        for dimension, key in places:
            for type_, count in counts.items():
                if mails and count:
                    self.tallies[dimension, "hour", hour, key, type_] += count
                    self.tallies[dimension, "day", hour.replace(hour=0), key, type_] += count

    def _times(
        self, hour: datetime, places: Sequence[tuple[str, str]], measures: Sequence[str], mails: int
    ) -> None:
        for measure in measures:
            middle, spread = TIMES[measure]
            for _ in range(_SAMPLES):
                seconds = exp(self.luck.gauss(log(middle), spread))
                at, count = bucket(timedelta(seconds=seconds)), max(1, mails // _SAMPLES)
                for dimension, key in places:
                    for grain, start in (("hour", hour), ("day", hour.replace(hour=0))):
                        self.timings[dimension, grain, start, key, measure, at] += count

    def _copy(self, cursor: psycopg.Cursor, table: str, columns: str) -> None:
        """Both tables begin with the environment and end with the count."""
        rows = self.tallies if table == "tally" else self.timings
        cursor.execute(f"CREATE TEMP TABLE past (LIKE {table}) ON COMMIT DROP")
        with cursor.copy(f"COPY past ({columns}) FROM STDIN") as copy:
            for key, count in rows.items():
                copy.write_row([self.environment_id, *key, count])
        unique = columns.removesuffix(", count")
        cursor.execute(
            f"INSERT INTO {table} AS t ({columns}) SELECT {columns} FROM past "
            f"ON CONFLICT ({unique}) DO UPDATE SET count = t.count + excluded.count"
        )
        cursor.execute("DROP TABLE past")

    def _by_domain(self) -> Iterator[tuple[tuple[str, datetime, str], list[int]]]:
        keys = dict.fromkeys(key[:3] for key in self.domains)
        for key in keys:
            names = ("sent", "delivered", "bounced", "deferred")
            yield key, [self.domains[(*key, name)] for name in names]
