"""`flute webhook`: the programs of the owner that are told of events."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import click
from flute.v1 import webhook_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from flute_server.cli.common import (
    Span,
    as_json,
    enum_word,
    environment_id,
    plain,
    print_json,
    print_list,
    print_table,
    printable,
    remote,
    when,
)
from flute_server.local.client import Client

_STATES = ("pending", "delivered", "failed")
_account = click.option("--account", help="Id or name; not needed when there is only one.")
_environment = click.option("--environment", help="Id or name; not needed when there is only one.")
_which = click.argument("endpoint", metavar="ID")
# A call may take 10 s.
_CALL_TIMEOUT_S = 30.0


@click.group()
def webhook() -> None:
    """Programs of yours that are told of events, by calls signed per https://www.standardwebhooks.com."""


@webhook.command()
@_account
@_environment
@click.argument("url")
@click.option(
    "--event", "events", multiple=True, metavar="TYPE", help="Repeatable, e.g. delivered; else all."
)
@click.option("--description", default="", help="What people call it.")
@as_json
@remote
def add(
    client: Client,
    *,
    account: str | None,
    environment: str | None,
    url: str,
    events: Sequence[str],
    description: str,
    as_json: bool,
) -> None:
    """Tell an URL of events. Prints the secret that proves calls to be Flute's: it is never shown again."""
    new = pb.WebhookEndpoint(
        environment_id=environment_id(client, account, environment),
        url=url,
        event_types=events,
        description=description,
    )
    request = pb.CreateWebhookEndpointRequest(webhook_endpoint=new)
    _print_secret(client.call(client.webhooks.CreateWebhookEndpoint, request), "created", as_json)


@webhook.command("list")
@_account
@_environment
@as_json
@remote
def list_(client: Client, account: str | None, environment: str | None, as_json: bool) -> None:
    """List the endpoints of an environment, oldest first."""
    request = pb.ListWebhookEndpointsRequest(environment_id=environment_id(client, account, environment))
    rows = list(client.pages(client.webhooks.ListWebhookEndpoints, request, "webhook_endpoints"))
    print_list(
        rows,
        as_json,
        ("ID", "URL", "EVENTS", "HEALTH"),
        lambda row: (row.id, row.url, ", ".join(row.event_types) or "all", _health(row)),
        "There is none yet: `flute webhook add URL`.",
    )


@webhook.command()
@_which
@as_json
@remote
def show(client: Client, endpoint: str, as_json: bool) -> None:
    """Show an endpoint, and whether it takes its calls."""
    row = client.call(client.webhooks.GetWebhookEndpoint, pb.GetWebhookEndpointRequest(id=endpoint))
    if as_json:
        print_json(plain(row))
        return
    click.echo(f"{row.id}: {printable(row.url)}")
    if row.description:
        click.echo(f"  {printable(row.description)}")
    click.echo(f"  events: {', '.join(row.event_types) or 'all'}")
    click.echo(f"  health: {printable(_health(row))}")
    if row.HasField("previous_secret_expire_time"):
        click.echo(f"  also signed with the secret before, until {when(row.previous_secret_expire_time)} UTC")


@webhook.command()
@_which
@remote
def pause(client: Client, endpoint: str) -> None:
    """Call it no more; what happens meanwhile waits."""
    _set_paused(client, endpoint, paused=True)
    click.echo(f"paused webhook endpoint {endpoint}")


@webhook.command()
@_which
@remote
def resume(client: Client, endpoint: str) -> None:
    """Go on calling it, with what waited first."""
    _set_paused(client, endpoint, paused=False)
    click.echo(f"webhook endpoint {endpoint} is called again")


@webhook.command("rotate-secret")
@_which
@click.option(
    "--overlap",
    type=Span(),
    default="24h",
    help="How long the old one is used as well, up to 7d; 0s ends it now.",
)
@as_json
@remote
def rotate_secret(client: Client, endpoint: str, overlap: Duration, as_json: bool) -> None:
    """Give it a new secret, and print it."""
    request = pb.RotateWebhookSecretRequest(id=endpoint, overlap=overlap)
    _print_secret(client.call(client.webhooks.RotateWebhookSecret, request), "has a new secret", as_json)


@webhook.command()
@_which
@as_json
@remote
def test(client: Client, endpoint: str, as_json: bool) -> None:
    """Call it once with an event of type test. Exit code 1 when it does not take it."""
    request = pb.TestWebhookEndpointRequest(id=endpoint)
    made = client.call(client.webhooks.TestWebhookEndpoint, request, _CALL_TIMEOUT_S)
    print_json(plain(made)) if as_json else click.echo(_try_line(made))
    if not 200 <= made.status < 300:
        sys.exit(1)


@webhook.command()
@_which
@click.option("--state", type=click.Choice(_STATES), help="Those in this state alone.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@as_json
@remote
def deliveries(client: Client, endpoint: str, state: str | None, limit: int, as_json: bool) -> None:
    """List what was told to it, newest first, each with what became of the last call."""
    wanted = pb.WebhookDeliveryState.Value(f"WEBHOOK_DELIVERY_STATE_{(state or 'unspecified').upper()}")
    request = pb.ListWebhookDeliveriesRequest(endpoint_id=endpoint, page_size=limit, state=wanted)
    rows = client.call(client.webhooks.ListWebhookDeliveries, request).webhook_deliveries
    if as_json:
        print_json([plain(row) for row in rows])
        return
    table = [
        (
            row.id,
            when(row.create_time),
            row.event_type,
            enum_word(pb.WebhookDeliveryState.Name(row.state), "WEBHOOK_DELIVERY_STATE_"),
            _try_line(row.tries[-1])[:80] if row.tries else "",
        )
        for row in rows
    ]
    print_table(("ID", "TIME (UTC)", "EVENT", "STATE", "LAST CALL"), table, "Nothing was told to it yet.")


@webhook.command()
@_which
@click.option("--delivery", "ids", multiple=True, metavar="ID", help="Repeatable: these deliveries.")
@click.option("--since", type=Span(), help="Or all events of the last 30m, 12h, 7d, ... (at most 30d).")
@click.option("--only-failed", is_flag=True, help="Of those since then, what it has not taken.")
@remote
def replay(
    client: Client, endpoint: str, *, ids: Sequence[str], since: Duration | None, only_failed: bool
) -> None:
    """Tell it events again. The id of an event stays the same, so that it can know a repetition."""
    request = pb.ReplayWebhookDeliveriesRequest(
        endpoint_id=endpoint, delivery_ids=ids, only_failed=only_failed
    )
    if since:
        request.start_time.CopyFrom(Timestamp(seconds=int(time.time()) - since.seconds))
    count = client.call(client.webhooks.ReplayWebhookDeliveries, request, _CALL_TIMEOUT_S).count
    click.echo(f"{count:,} events are told again")


@webhook.command()
@_which
@click.confirmation_option(prompt="Remove it with its deliveries for good?")
@remote
def delete(client: Client, endpoint: str) -> None:
    """Remove an endpoint and what is on record of its calls."""
    client.call(client.webhooks.DeleteWebhookEndpoint, pb.DeleteWebhookEndpointRequest(id=endpoint))
    click.echo(f"removed webhook endpoint {endpoint}")


def _set_paused(client: Client, id_: str, *, paused: bool) -> None:
    request = pb.UpdateWebhookEndpointRequest(
        id=id_, webhook_endpoint=pb.WebhookEndpoint(paused=paused), update_mask=FieldMask(paths=["paused"])
    )
    client.call(client.webhooks.UpdateWebhookEndpoint, request)


def _print_secret(made: pb.CreateWebhookEndpointResponse, what: str, as_json: bool) -> None:
    if as_json:
        print_json(plain(made))
        return
    click.echo(f"{what}: webhook endpoint {made.webhook_endpoint.id}", err=True)
    click.echo("the secret, shown this once:", err=True)
    click.echo(made.secret)


def _health(row: pb.WebhookEndpoint) -> str:
    if row.paused:
        return f"paused: {row.pause_reason}" if row.pause_reason else "paused"
    return f"failing since {when(row.failing_since)}" if row.HasField("failing_since") else "well"


def _try_line(made: pb.WebhookTry) -> str:
    took = made.duration.ToMilliseconds()
    return printable(f"{made.status or 'no answer'} after {took} ms: {made.text}".removesuffix(": "))
