"""The graphs of the page of statistics: of all mail by what became of it, or of one line for each group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flute.v1 import statistics_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from web.dashboard.pages.statistics_query import DAY, GROUPS, Wanted
from web.dashboard.show import NOTHING

_STACKED = (
    ("delivered", "Delivered", "good"),
    ("bounced", "Bounced", "bad"),
    ("failed", "Failed", "warn"),
    ("suppressed", "Suppressed", "special"),
)
_PERCENTILES = (("p50", "Half within"), ("p90", "90 % within"), ("p99", "99 % within"))
# As many lines can be told apart.
MOST_LINES = 6

Lines = list[dict[str, Any]]
_ByTime = Mapping[int, pb.StatisticsRow]


@dataclass(frozen=True, slots=True)
class Graph:
    """For kit.chart, in a card of its own. wide: over both columns."""

    title: str
    text: str
    lines: Lines
    kind: str = "line"
    unit: str = ""
    wide: bool = False


def times(wanted: Wanted) -> list[int]:
    """Every interval, also those without mail. Days are those of UTC."""
    return list(_times(wanted.start, wanted.end, wanted.step))


def _times(start: datetime, end: datetime, step: timedelta) -> Iterator[int]:
    at = start.replace(hour=0) if step == DAY else start
    while at < end:
        yield int(at.timestamp())
        at += step


def of_all(rows: Iterable[pb.StatisticsRow], at: Sequence[int], unit: str) -> list[Graph]:
    """Of what is not told apart; without graphs of what was never measured."""
    by_time = _by_time(rows)
    found = [
        Graph("Outcomes", f"Recipients by the {unit}.", _outcomes(at, by_time), "stacked", wide=True),
        Graph(
            "Time to send",
            "From accepting a mail until a provider took it.",
            _percentiles(at, by_time, "time_to_send"),
            unit="s",
        ),
        Graph(
            "Time to deliver",
            "From accepting a mail until its receiver took it.",
            _percentiles(at, by_time, "time_to_deliver"),
            unit="s",
        ),
    ]
    return [graph for graph in found if graph.lines]


def by_group(
    rows: Sequence[pb.StatisticsRow], names: Sequence[str], at: Sequence[int], wanted: Wanted, unit: str
) -> list[Graph]:
    """names: of all groups, the largest first; the first of them have a line each."""
    shown = {name: _by_time(row for row in rows if row.group == name) for name in names[:MOST_LINES]}
    whose = GROUPS[wanted.group][0].lower()
    most = f" The {MOST_LINES} with the most mail." if len(names) > MOST_LINES else ""
    found = [
        Graph(
            f"Delivered by {whose}",
            f"Recipients by the {unit}.{most}",
            _counts(at, shown, "delivered"),
            wide=True,
        ),
        Graph(f"Bounced by {whose}", f"Recipients by the {unit}.", _counts(at, shown, "bounced")),
        Graph(
            f"Time to deliver by {whose}",
            "Half of the mail took no longer, from accepting it until its receiver took it.",
            _halves(at, shown),
            unit="s",
        ),
    ]
    return [graph for graph in found if any(any(line["values"]) for line in graph.lines)]


def _by_time(rows: Iterable[pb.StatisticsRow]) -> _ByTime:
    return {row.start_time.seconds: row for row in rows}


def _outcomes(at: Sequence[int], rows: _ByTime) -> Lines:
    """Without what never happened; at least the delivered."""
    lines: Lines = [
        {"name": label, "tone": tone, "values": [_count(rows.get(time), type_) for time in at]}
        for type_, label, tone in _STACKED
    ]
    return [line for place, line in enumerate(lines) if place == 0 or any(line["values"])]


def _counts(at: Sequence[int], shown: Mapping[str, _ByTime], type_: str) -> Lines:
    return [
        {"name": name or NOTHING, "values": [_count(rows.get(time), type_) for time in at]}
        for name, rows in shown.items()
    ]


def _count(row: pb.StatisticsRow | None, type_: str) -> int:
    return row.counts.get(type_, 0) if row else 0


def _halves(at: Sequence[int], shown: Mapping[str, _ByTime]) -> Lines:
    return [
        {"name": name or NOTHING, "values": _measured(at, rows, "time_to_deliver", "p50")}
        for name, rows in shown.items()
    ]


def _percentiles(at: Sequence[int], rows: _ByTime, measure: str) -> Lines:
    """Nothing if nothing was measured at all."""
    if not any(getattr(row, measure).count for row in rows.values()):
        return []
    return [{"name": label, "values": _measured(at, rows, measure, key)} for key, label in _PERCENTILES]


def _measured(at: Sequence[int], rows: _ByTime, measure: str, key: str) -> list[float | None]:
    """In seconds, with gaps where nothing was measured."""
    found = {time: getattr(row, measure) for time, row in rows.items()}
    return [
        seconds(getattr(found[time], key)) if time in found and found[time].count else None for time in at
    ]


def seconds(value: Duration) -> float:
    """With thousandths."""
    return round(value.ToTimedelta().total_seconds(), 3)
