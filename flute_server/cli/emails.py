"""`flute send`, `flute email` and their kin: send a mail, see what became of it, take it back, send again."""

from __future__ import annotations

from collections.abc import Iterable
from email.headerregistry import Address as HeaderAddress
from email.utils import parseaddr
from pathlib import Path

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
    SendEmailRequest,
)
from google.protobuf.timestamp_pb2 import Timestamp

from flute_server.cli.common import (
    Span,
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


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now


class _Moment(click.ParamType[Timestamp]):
    """A time as RFC 3339 writes it, or a time span from now."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Timestamp:
        text, stamp = str(value).strip(), Timestamp()
        if text.startswith("+"):
            stamp.GetCurrentTime()
            stamp.seconds += Span().convert(text[1:], param, ctx).seconds
            return stamp
        try:
            stamp.FromJsonString(text.upper().replace(" ", "T", 1))
        except ValueError:
            self.fail(
                f"{value!r} is no time; write 2026-12-24T18:00:00Z, or +90s, +15m, +24h, +7d", param, ctx
            )
        return stamp


_WHEN = "A time such as 2026-12-24T18:00:00Z, or +15m from now; at most 30 days ahead."


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
@click.option("--at", type=_Moment(), help=_WHEN)
@click.option(
    "--idempotency-key", default="", help="The same command with the same key within 24 hours sends nothing."
)
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
    at: Timestamp | None,
    idempotency_key: str,
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
        send_at=at,
    )
    getattr(content, "from").CopyFrom(_address(author))  # a keyword in Python
    request = SendEmailRequest(
        environment_id=environment_id(client, account, environment),
        content=content,
        request_id=idempotency_key,
    )
    made = client.call(client.emails.SendEmail, request)
    if as_json:
        print_json(plain(made))
        return
    _tell_accepted(made)


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
@click.option("--at", type=_Moment(), help=f"{_WHEN} Without it, the mail leaves at once.")
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
    made = client.call(client.emails.ResendEmail, request)
    if as_json:
        print_json(plain(made))
        return
    _tell_accepted(made)


def _tell_accepted(made: pb.Email) -> None:
    click.echo(f"accepted: {made.id}")
    click.echo(f"follow it with: flute email {made.id}", err=True)


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


def _address(text: str) -> pb.Address:
    name, address = parseaddr(text)
    try:
        HeaderAddress(addr_spec=address)
    except (ValueError, IndexError) as error:
        raise click.ClickException(
            f"{text!r} is no address; write ada@example.com or 'Ada <ada@example.com>'."
        ) from error
    return pb.Address(email=address, name=name)
