"""`flute drill`: pretend that a provider is down, and see what becomes of the mail."""

from __future__ import annotations

from collections.abc import Iterator

import click
from flute.v1 import drill_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from flute_server.cli.common import (
    Span,
    account_id,
    as_json,
    environment_id,
    plain,
    print_json,
    print_list,
    printable,
    provider_account_id,
    remote,
    span_words,
    when,
)
from flute_server.local.client import Client

_account = click.option("--account", help="Id or name; not needed when there is only one.")
_which = click.argument("drill", metavar="ID")


@click.group()
def drill() -> None:
    """Pretend that a provider is down: its mail goes the way that it would go then. Ends by itself."""


@drill.command()
@click.argument("provider_account", metavar="PROVIDER_ACCOUNT")
@_account
@click.option("--environment", help="Only for mail of this environment: id or name.")
@click.option("--for", "duration", type=Span(), default="15m", show_default=True, help="1m to 24h.")
@click.option("--share", type=click.IntRange(1, 100), default=100, show_default=True, help="Of 100 mails.")
@click.option("--force", is_flag=True, help="Although some mail could then only wait until the drill ends.")
@as_json
@remote
def start(
    client: Client,
    *,
    provider_account: str,
    account: str | None,
    environment: str | None,
    duration: Duration,
    share: int,
    force: bool,
    as_json: bool,
) -> None:
    """Pass a provider account over from now on, for a while."""
    request = pb.CreateDrillRequest(
        provider_account_id=provider_account_id(client, account, provider_account),
        environment_id=environment_id(client, account, environment) if environment else "",
        duration=duration,
        share=share,
        force=force,
    )
    row = client.call(client.drills.CreateDrill, request)
    if as_json:
        print_json(plain(row))
        return
    click.echo(f"began drill {row.id}: {_scope(row)}, until {when(row.end_time)} UTC")
    click.echo(f"What it does: flute drill show {row.id}")


@drill.command("list")
@_account
@click.option("--provider-account", help="Only the drills of this one: id or name.")
@as_json
@remote
def list_(client: Client, account: str | None, provider_account: str | None, as_json: bool) -> None:
    """List the drills, newest first."""
    request = pb.ListDrillsRequest()
    if provider_account:
        request.provider_account_id = provider_account_id(client, account, provider_account)
    else:
        request.account_id = account_id(client, account)
    rows = list(client.pages(client.drills.ListDrills, request, "drills"))
    heads = ("ID", "PROVIDER ACCOUNT", "SHARE", "BEGAN (UTC)", "LASTED", "")
    print_list(rows, as_json, heads, _row, "There was no drill yet: `flute drill start PROVIDER_ACCOUNT`.")


def _row(row: pb.Drill) -> tuple[str, ...]:
    share = f"{row.share} %"
    return (row.id, row.provider_account, share, when(row.create_time), _lasted(row), _state(row))


@drill.command()
@_which
@as_json
@remote
def show(client: Client, drill: str, as_json: bool) -> None:
    """Show a drill and what it did."""
    _show(client.call(client.drills.GetDrill, pb.GetDrillRequest(id=drill)), as_json)


@drill.command()
@_which
@as_json
@remote
def end(client: Client, drill: str, as_json: bool) -> None:
    """End a drill before its time."""
    _show(client.call(client.drills.EndDrill, pb.EndDrillRequest(id=drill)), as_json)


def _show(row: pb.Drill, as_json: bool) -> None:
    if as_json:
        print_json(plain(row))
        return
    click.echo(f"{_scope(row)}: {row.id}")
    for name, value in (
        ("began (UTC)", when(row.create_time)),
        ("ends (UTC)" if row.running else "ended (UTC)", when(row.end_time)),
        *_report(row.report),
    ):
        click.echo(f"  {name:<16} {printable(value)}")


def _report(report: pb.DrillReport) -> Iterator[tuple[str, str]]:
    yield "recipients", f"{report.recipients:,} whose mail would have gone through it"
    to = ", ".join(f"{at.provider_account} {at.recipients:,}" for at in report.destinations)
    yield "moved", f"{report.moved:,}" + (f" ({to})" if to else "")
    yield "duplicates", f"{report.duplicates:,}"
    yield "added latency", _latency(report)
    for name, count in (
        ("still waiting", report.waiting),
        ("waited for it", report.returned),
        ("failed", report.failed),
        ("dropped", report.dropped),
        ("bounced later", report.bounced),
    ):
        if count:
            yield name, f"{count:,}"


def _latency(report: pb.DrillReport) -> str:
    if not report.HasField("moved_latency"):
        return "nothing moved yet"
    moved = f"{_seconds(report.moved_latency):.2f} s"
    if not report.HasField("added_latency"):
        return f"not known: {moved} until a provider took it, with no other mail to compare with"
    usual, added = _seconds(report.usual_latency), _seconds(report.added_latency)
    return f"{added:+.2f} s ({moved} instead of {usual:.2f} s until a provider took it, medians)"


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _scope(row: pb.Drill) -> str:
    where = f" in environment {row.environment_id}" if row.environment_id else ""
    share = "all mail" if row.share == 100 else f"{row.share} of 100 mails"
    return f"{share} passes over {printable(row.provider_account)}{where}"


def _lasted(row: pb.Drill) -> str:
    return span_words(Duration(seconds=row.end_time.seconds - row.create_time.seconds))


def _state(row: pb.Drill) -> str:
    if row.running:
        return "running"
    ended_early = row.end_time.seconds - row.create_time.seconds < row.duration.seconds
    return f"ended early, of {span_words(row.duration)}" if ended_early else ""
