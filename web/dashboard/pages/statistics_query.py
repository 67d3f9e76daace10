"""What the page of statistics is asked for, and the server's answer to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flute.v1 import statistics_service_pb2 as pb

from web.dashboard.ask import ask

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RANGES = {
    "24h": ("24 hours", DAY),
    "7d": ("7 days", 7 * DAY),
    "14d": ("14 days", 14 * DAY),
    "30d": ("30 days", 30 * DAY),
    "90d": ("90 days", 90 * DAY),
    "365d": ("A year", 365 * DAY),
}
INTERVALS = {
    "hour": ("Hour", pb.STATISTICS_INTERVAL_HOUR),
    "day": ("Day", pb.STATISTICS_INTERVAL_DAY),
    "total": ("The whole time", pb.STATISTICS_INTERVAL_TOTAL),
}
GROUPS = {
    "": ("Nothing", pb.STATISTICS_GROUP_UNSPECIFIED),
    "provider": ("Provider", pb.STATISTICS_GROUP_PROVIDER_ACCOUNT),
    "tag": ("Tag", pb.STATISTICS_GROUP_TAG),
    "domain": ("Receiving domain", pb.STATISTICS_GROUP_DOMAIN),
}
# With more time than this, hours are too many to see, and the server does not tell them.
MOST_HOURS = 14 * DAY


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for, with defaults for what was not or makes no sense."""

    environment_id: str
    range: str
    interval: str
    group: str
    start: datetime
    end: datetime

    @classmethod
    def of(cls, args: Mapping[str, str], environment_id: str, now: datetime) -> Wanted:
        """From the query."""
        range_ = args.get("range", "") if args.get("range") in RANGES else "7d"
        span = RANGES[range_][1]
        interval = args.get("interval", "")
        if interval not in INTERVALS or (interval == "hour" and span > MOST_HOURS):
            interval = "hour" if span <= DAY else "day"
        group = args.get("group", "") if args.get("group") in GROUPS else ""
        end = now.replace(minute=0, second=0, microsecond=0) + HOUR
        start = end - span
        # Whole days, so that the first bar is not a piece of one.
        start = start if interval != "day" else start.replace(hour=0) + (DAY if start.hour else timedelta())
        return cls(environment_id, range_, interval, group, start, end)

    @property
    def query(self) -> dict[str, str]:
        """For a link to the same."""
        named = {"range": self.range, "interval": self.interval, "group": self.group}
        return {"environment": self.environment_id} | {name: value for name, value in named.items() if value}

    def request(self, interval: str, group: str) -> pb.GetStatisticsRequest:
        """What the server is asked."""
        message = pb.GetStatisticsRequest(
            environment_id=self.environment_id, interval=INTERVALS[interval][1], group_by=GROUPS[group][1]
        )
        message.start_time.FromDatetime(self.start)
        message.end_time.FromDatetime(self.end)
        return message

    @property
    def by_hour(self) -> bool:
        """Of graphs: of the whole time in one they would be a point."""
        return self.interval == "hour" or (self.interval == "total" and RANGES[self.range][1] <= DAY)

    @property
    def step(self) -> timedelta:
        """From one point of a graph to the next."""
        return HOUR if self.by_hour else DAY

    def rows(self, interval: str, group: str) -> Sequence[pb.StatisticsRow]:
        """What the server counted. Raises RpcFailure."""
        return ask(self.request(interval, group), pb.GetStatisticsResponse).rows
