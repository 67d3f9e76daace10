"""`flute statistics`: how much mail went out, what became of it, and how long it took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
from flute.v1 import statistics_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from flute_server.cli.common import as_json, environment_id, plain, print_json, print_table, remote
from flute_server.local.client import Client

_GROUPS = {
    "provider": pb.STATISTICS_GROUP_PROVIDER_ACCOUNT,
    "tag": pb.STATISTICS_GROUP_TAG,
    "domain": pb.STATISTICS_GROUP_DOMAIN,
}
_TYPES = ("accepted", "sent", "rescued", "delivered", "bounced", "failed", "suppressed", "complained")
_HEADS = (*(type_.upper() for type_ in _TYPES), "SENT IN p50/p99", "DELIVERED IN p50/p99")


@click.command()
@click.option("--account", help="Id or name; not needed when there is only one.")
@click.option("--environment", help="Id or name; not needed when there is only one.")
@click.option("--days", type=click.IntRange(1, 400), default=7, show_default=True, help="Up to now.")
@click.option("--by", type=click.Choice(list(_GROUPS)), help="Instead of day by day.")
@as_json
@remote
def statistics(
    client: Client,
    *,
    account: str | None,
    environment: str | None,
    days: int,
    by: str | None,
    as_json: bool,
) -> None:
    """Recipients by what became of their mail, and how long that took.

    RESCUED are those whose mail a provider took after another had failed. Test mail is not counted.
    """
    request = pb.GetStatisticsRequest(
        environment_id=environment_id(client, account, environment),
        interval=pb.STATISTICS_INTERVAL_TOTAL if by else pb.STATISTICS_INTERVAL_DAY,
        group_by=_GROUPS[by] if by else pb.STATISTICS_GROUP_UNSPECIFIED,
    )
    request.start_time.FromDatetime(datetime.now(UTC) - timedelta(days=days))
    found = client.call(client.statistics.GetStatistics, request)
    if as_json:
        print_json(plain(found))
        return
    heads = (by.upper() if by else "DAY (UTC)", *_HEADS)
    print_table(heads, map(_line, found.rows), f"No mail in the last {days} days.")


def _line(row: pb.StatisticsRow) -> tuple[str, ...]:
    name = row.group or f"{row.start_time.ToDatetime():%Y-%m-%d}"
    counts = (f"{row.counts[type_]:,}" if type_ in row.counts else "-" for type_ in _TYPES)
    return (name, *counts, _times(row.time_to_send), _times(row.time_to_deliver))


def _times(times: pb.Percentiles) -> str:
    return f"{_span(times.p50)} / {_span(times.p99)}" if times.count else "-"


def _span(duration: Duration) -> str:
    """In the unit that a person would use."""
    seconds = duration.ToTimedelta().total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds * 1000:.0f} ms"
