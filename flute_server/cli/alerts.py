"""`flute alert`: what waits for a person."""

from __future__ import annotations

import click
from flute.v1 import alert_service_pb2 as pb

from flute_server.cli.common import account_id, as_json, plain, print_json, printable, remote, when
from flute_server.local.client import Client


@click.group()
def alert() -> None:
    """What Flute cannot mend by itself: bad credentials, billing, domain authentication, odd bounces."""


@alert.command("list")
@click.option("--account", help="Id or name; not needed when there is only one.")
@click.option("--all", "all_", is_flag=True, help="Those that were dealt with too.")
@as_json
@remote
def list_(client: Client, account: str | None, all_: bool, as_json: bool) -> None:
    """List the open alerts, oldest first."""
    request = pb.ListAlertsRequest(account_id=account_id(client, account), include_resolved=all_)
    rows = list(client.pages(client.alerts.ListAlerts, request, "alerts"))
    if as_json:
        print_json([plain(row) for row in rows])
        return
    if not rows:
        click.echo("Nothing waits for a person.", err=True)
    for row in rows:
        click.echo("\n".join(_lines(row)))


@alert.command()
@click.argument("alert", metavar="ID")
@as_json
@remote
def resolve(client: Client, alert: str, as_json: bool) -> None:
    """Say that it has been dealt with. If it comes up again, there is a new alert."""
    made = client.call(client.alerts.ResolveAlert, pb.ResolveAlertRequest(id=alert))
    print_json(plain(made)) if as_json else click.echo(f"resolved alert {made.id}: {printable(made.text)}")


def _lines(row: pb.Alert) -> list[str]:
    """What happened can be long; a table would tear it apart."""
    often = f", {row.count} times" if row.count > 1 else ""
    done = f", resolved {when(row.resolve_time)}" if row.HasField("resolve_time") else ""
    kind, subject = row.kind.replace("_", " "), printable(row.subject)
    return [
        f"{when(row.create_time)} UTC  {kind} {subject}{often}{done}",
        f"  {printable(row.text)}",
        f"  id {row.id}",
    ]
