"""`flute email` and its kin: see what became of a mail, take it back, give it another time, send it again."""

from __future__ import annotations

import click
from flute.v1 import email_pb2 as pb
from flute.v1.email_service_pb2 import (
    RESEND_TO_ALL,
    RESEND_TO_FAILED,
    CancelEmailRequest,
    ExplainEmailRequest,
    GetEmailRequest,
    RescheduleEmailRequest,
    ResendEmailRequest,
)
from google.protobuf.timestamp_pb2 import Timestamp

from flute_server.cli.common import (
    WHEN,
    Moment,
    as_json,
    enum_word,
    plain,
    print_json,
    printable,
    remote,
    when,
)
from flute_server.cli.send import tell_accepted
from flute_server.local.client import Client


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now


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
    test = ", a test that reaches nobody" if found.test else ""
    click.echo(f"{found.id}: {_state(found.state)}, accepted {when(found.create_time)} UTC{test}")
    if found.resent_from:
        click.echo(f"sends again what {found.resent_from} sent")
    if found.HasField("next_attempt_time"):
        click.echo(f"tried next at {when(found.next_attempt_time)} UTC")
    for recipient in found.recipients:
        click.echo(f"  {printable(recipient.email)}: {_state(recipient.state)}")
    click.echo("timeline (UTC)")
    for event in found.events:
        click.echo("  " + _event_line(event))


@click.command()
@click.argument("email", metavar="ID")
@as_json
@remote
def cancel(client: Client, email: str, as_json: bool) -> None:
    """Take a mail back as far as it still waits: it is not sent afterwards."""
    _show_state(client.call(client.emails.CancelEmail, CancelEmailRequest(id=email)), as_json)


@click.command()
@click.argument("email", metavar="ID")
@click.option("--at", type=Moment(), help=f"{WHEN} Without it, the mail leaves at once.")
@as_json
@remote
def reschedule(client: Client, email: str, at: Timestamp | None, as_json: bool) -> None:
    """Give a scheduled mail another time."""
    request = RescheduleEmailRequest(id=email, send_at=at or _now())
    _show_state(client.call(client.emails.RescheduleEmail, request), as_json)


@click.command()
@click.argument("email", metavar="ID")
@click.option("--all", "to_all", is_flag=True, help="Also to those whom the first one reached.")
@as_json
@remote
def resend(client: Client, email: str, to_all: bool, as_json: bool) -> None:
    """Send a mail's content again as a new mail, to those whom the first did not reach."""
    request = ResendEmailRequest(id=email, recipients=RESEND_TO_ALL if to_all else RESEND_TO_FAILED)
    tell_accepted(client.call(client.emails.ResendEmail, request), as_json)


def _show_state(found: pb.Email, as_json: bool) -> None:
    if as_json:
        print_json(plain(found))
        return
    waits = (
        f", tried next at {when(found.next_attempt_time)} UTC" if found.HasField("next_attempt_time") else ""
    )
    click.echo(f"{found.id}: {_state(found.state)}{waits}")


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
