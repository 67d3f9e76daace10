"""`flute send`: send a mail, or tell which way it would take."""

from __future__ import annotations

from collections.abc import Iterable
from email.headerregistry import Address as HeaderAddress
from email.utils import parseaddr
from pathlib import Path

import click
from flute.v1 import email_pb2 as pb
from flute.v1.email_service_pb2 import PlanEmailRequest, PlanEmailResponse, PlannedRoute, SendEmailRequest
from google.protobuf.timestamp_pb2 import Timestamp

from flute_json.render import accepted
from flute_server.cli.common import (
    WHEN,
    Moment,
    Pair,
    as_json,
    environment_id,
    plain,
    print_json,
    printable,
    remote,
    secret_value,
)
from flute_server.local.client import Client


@click.command()
@click.option("--account", help="Id or name; not needed when there is only one.")
@click.option("--environment", help="Id or name; not needed when there is only one.")
@click.option(
    "--from", "author", required=True, metavar="ADDRESS", help='For example "Ada <ada@example.com>".'
)
@click.option("--to", multiple=True, metavar="ADDRESS", help="Repeatable, as --cc and --bcc are.")
@click.option("--cc", multiple=True, metavar="ADDRESS")
@click.option("--bcc", multiple=True, metavar="ADDRESS")
@click.option("--reply-to", multiple=True, metavar="ADDRESS", help="Where answers go, if not to --from.")
@click.option("--subject", required=True)
@click.option("--text", default="", help="The plain text; @FILE or - (standard input).")
@click.option("--html", default="", help="The HTML; @FILE or - (standard input).")
@click.option("--attach", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--header", "headers", multiple=True, type=Pair(), help="A header field of your own.")
@click.option("--tag", "tags", multiple=True, help="To find and count it by; repeatable.")
@click.option("--metadata", multiple=True, type=Pair(), help="What you know it by; repeatable.")
@click.option("--at", type=Moment(), help=WHEN)
@click.option(
    "--idempotency-key", default="", help="The same command with the same key within 24 hours sends nothing."
)
@click.option("--dry-run", is_flag=True, help="Send nothing; tell which way the mail would take, and why.")
@as_json
@remote
def send(
    client: Client,
    *,
    account: str | None,
    environment: str | None,
    author: str,
    to: Iterable[str],
    cc: Iterable[str],
    bcc: Iterable[str],
    reply_to: Iterable[str],
    subject: str,
    text: str,
    html: str,
    attach: Iterable[Path],
    headers: Iterable[tuple[str, str]],
    tags: Iterable[str],
    metadata: Iterable[tuple[str, str]],
    at: Timestamp | None,
    idempotency_key: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send a mail through an environment."""
    content = pb.EmailContent(
        to=map(_address, to),
        cc=map(_address, cc),
        bcc=map(_address, bcc),
        reply_to=map(_address, reply_to),
        subject=subject,
        text=secret_value(text),
        html=secret_value(html),
        attachments=[pb.Attachment(filename=path.name, content=path.read_bytes()) for path in attach],
        headers=dict(headers),
        tags=tags,
        metadata=dict(metadata),
        send_at=at,
    )
    getattr(content, "from").CopyFrom(_address(author))  # a keyword in Python
    where = environment_id(client, account, environment)
    if dry_run:
        _tell_plan(client.call(client.emails.PlanEmail, _plan(where, content)), as_json)
        return
    request = SendEmailRequest(environment_id=where, content=content, request_id=idempotency_key)
    tell_accepted(client.call(client.emails.SendEmail, request), as_json)


def tell_accepted(made: pb.Email, as_json: bool) -> None:
    """What came of sending."""
    if as_json:
        print_json(accepted(made))
        return
    click.echo(f"accepted: {made.id}")
    click.echo(f"follow it with: flute email {made.id}", err=True)


def _plan(environment_id: str, content: pb.EmailContent) -> PlanEmailRequest:
    return PlanEmailRequest(environment_id=environment_id, content=content)


def _tell_plan(plan: PlanEmailResponse, as_json: bool) -> None:
    if as_json:
        print_json(plain(plan))
        return
    click.echo(printable(plan.summary))
    for group in plan.groups:
        click.echo(printable(f"to {', '.join(group.recipients)}"))
        for route in group.routes:
            click.echo(f"  {_route_line(route)}")
    for warning in plan.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)


def _route_line(route: PlannedRoute) -> str:
    mark = "->" if route.chosen else "  "
    losses = f" [{'; '.join(route.losses)}]" if route.losses else ""
    return printable(f"{mark} {route.provider_account}: {route.reason}{losses}")


def _address(text: str) -> pb.Address:
    name, address = parseaddr(text)
    try:
        HeaderAddress(addr_spec=address)
    except (ValueError, IndexError) as error:
        raise click.ClickException(
            f"{text!r} is no address; write ada@example.com or 'Ada <ada@example.com>'."
        ) from error
    return pb.Address(email=address, name=name)
