"""`flute send` and `flute email`: send a mail, and see what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from email.headerregistry import Address as HeaderAddress
from email.utils import parseaddr
from pathlib import Path

import click
from flute.v1 import email_pb2 as pb
from flute.v1.email_service_pb2 import ExplainEmailRequest, GetEmailRequest, SendEmailRequest

from flute_server.cli.common import (
    as_json,
    enum_word,
    environment_id,
    plain,
    print_json,
    printable,
    remote,
    secret_value,
    when,
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
@click.option("--subject", required=True)
@click.option("--text", default="", help="The plain text; @FILE or - (standard input).")
@click.option("--html", default="", help="The HTML; @FILE or - (standard input).")
@click.option("--attach", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
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
    subject: str,
    text: str,
    html: str,
    attach: Iterable[Path],
    as_json: bool,
) -> None:
    """Send a mail through an environment."""
    content = pb.EmailContent(
        to=map(_address, to),
        cc=map(_address, cc),
        bcc=map(_address, bcc),
        subject=subject,
        text=secret_value(text),
        html=secret_value(html),
        attachments=[pb.Attachment(filename=path.name, content=path.read_bytes()) for path in attach],
    )
    getattr(content, "from").CopyFrom(_address(author))  # a keyword in Python
    request = SendEmailRequest(environment_id=environment_id(client, account, environment), content=content)
    made = client.call(client.emails.SendEmail, request)
    if as_json:
        print_json(plain(made))
        return
    click.echo(f"accepted: {made.id}")
    click.echo(f"follow it with: flute email {made.id}", err=True)


@click.command()
@click.argument("email", metavar="ID")
@click.option(
    "--explain", is_flag=True, help="Tell the whole story in sentences, each decision with its reason."
)
@as_json
@remote
def email(client: Client, email: str, explain: bool, as_json: bool) -> None:
    """Show where a mail stands and everything that happened to it."""
    if explain:
        _explain(client, email, as_json)
        return
    found = client.call(client.emails.GetEmail, GetEmailRequest(id=email))
    if as_json:
        print_json(plain(found))
        return
    click.echo(f"{found.id}: {_state(found.state)}, accepted {when(found.create_time)} UTC")
    if found.HasField("next_attempt_time"):
        click.echo(f"tried next at {when(found.next_attempt_time)} UTC")
    for recipient in found.recipients:
        click.echo(f"  {printable(recipient.email)}: {_state(recipient.state)}")
    click.echo("timeline (UTC)")
    for event in found.events:
        click.echo("  " + _event_line(event))


def _explain(client: Client, id_: str, as_json: bool) -> None:
    told = client.call(client.emails.ExplainEmail, ExplainEmailRequest(id=id_))
    if as_json:
        print_json(plain(told))
        return
    for paragraph in (told.summary, *told.paragraphs):
        click.echo(printable(paragraph))


def _state(state: pb.DeliveryState.ValueType) -> str:
    return enum_word(pb.DeliveryState.Name(state), "DELIVERY_STATE_")


def _event_line(event: pb.Event) -> str:
    about = ", ".join(printable(word) for word in (event.provider_account, event.recipient) if word)
    text = f"{event.type:<10} {printable(event.text)}"
    return f"{when(event.time)}  {text}" + (f"  [{about}]" if about else "")


def _address(text: str) -> pb.Address:
    name, address = parseaddr(text)
    try:
        HeaderAddress(addr_spec=address)
    except (ValueError, IndexError) as error:
        raise click.ClickException(
            f"{text!r} is no address; write ada@example.com or 'Ada <ada@example.com>'."
        ) from error
    return pb.Address(email=address, name=name)
