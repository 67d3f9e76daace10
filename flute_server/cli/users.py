"""`flute user`: everybody who can log in, also when no mail reaches them."""

from __future__ import annotations

import click
from flute.v1 import user_service_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask

from flute_server.cli.common import (
    as_json,
    plain,
    print_json,
    print_table,
    printable,
    remote,
    secret_value,
    when,
)
from flute_server.local.client import Client

_NO_ROUTE = "No mail leaves: set FLUTE_SYSTEM_SMTP and FLUTE_SYSTEM_FROM for server and workers."


@click.group()
def user() -> None:
    """People who can log in: list them, make operators, let somebody in again, see mail that waits."""


@user.command("list")
@as_json
@remote
def list_(client: Client, as_json: bool) -> None:
    """List all people, oldest first."""
    rows = _all(client)
    if as_json:
        print_json([plain(row) for row in rows])
        return
    table = [
        (
            row.email,
            row.name,
            _yes(row.operator),
            _yes(row.confirmed),
            _yes(row.totp_enabled),
            str(row.memberships),
            when(row.last_active_time),
        )
        for row in rows
    ]
    heads = ("EMAIL", "NAME", "OPERATOR", "CONFIRMED", "2FA", "ACCOUNTS", "LAST HERE (UTC)")
    print_table(heads, table, "Nobody has signed up yet: open web in a browser, or `flute account create`.")


@user.command()
@click.argument("email")
@click.option("--remove", is_flag=True, help="Take the right away.")
@as_json
@remote
def operator(client: Client, email: str, remove: bool, as_json: bool) -> None:
    """Let somebody run this installation, or no more."""
    found = next((row for row in _all(client) if row.email == email.strip().lower()), None)
    if found is None:
        raise click.ClickException(f"There is no user {printable(email)}; see `flute user list`.")
    change = pb.User(id=found.id, operator=not remove)
    request = pb.UpdateUserRequest(user=change, update_mask=FieldMask(paths=["operator"]))
    row = client.call(client.users.UpdateUser, request)
    words = "runs this installation" if row.operator else "does not run this installation any more"
    print_json(plain(row)) if as_json else click.echo(f"{row.email} {words}")


@user.command("reset-password")
@click.argument("email")
@click.option(
    "--password",
    envvar="FLUTE_PASSWORD",
    show_envvar=True,
    help="Set this one at once, 12 to 1,000 characters; @FILE or - (standard input) keep it out of the "
    "shell's history. Without, a link is printed by which they choose one.",
)
@click.option("--disable-2fa", is_flag=True, help="Turn the second factor off too.")
@as_json
@remote
def reset_password(
    client: Client, email: str, password: str | None, disable_2fa: bool, as_json: bool
) -> None:
    """Let somebody in again who cannot get mail, or lost their phone. Ends all their sessions."""
    request = pb.ResetUserPasswordRequest(
        email=email, new_password=secret_value(password) if password else "", disable_totp=disable_2fa
    )
    made = client.call(client.users.ResetUserPassword, request)
    if as_json:
        print_json(plain(made))
        return
    click.echo(f"the password of {made.user.email} was set" if password else "good once, for an hour:")
    if made.link:
        click.echo(made.link)


@user.command()
@as_json
@remote
def mail(client: Client, as_json: bool) -> None:
    """Show Flute's own mail that waits to leave, with its links, oldest first."""
    rows = list(client.pages(client.users.ListSystemMails, pb.ListSystemMailsRequest(), "system_mails"))
    status = client.call(client.users.GetSystemMailStatus, pb.GetSystemMailStatusRequest())
    if as_json:
        print_json([plain(row) for row in rows])
        return
    if not status.configured:
        click.echo(_NO_ROUTE, err=True)
    if not rows:
        click.echo("No mail waits.", err=True)
    for row in rows:
        click.echo("\n".join(_lines(row)))


def _lines(row: pb.SystemMail) -> list[str]:
    tried = f", tried {row.tries} times: {printable(row.last_error)}" if row.last_error else ""
    body = [f"  {printable(line)}" for line in row.text.splitlines() if line.strip()]
    head = f"{when(row.create_time)} UTC  to {printable(row.recipient)}: {printable(row.subject)}{tried}"
    return [head, *body]


def _all(client: Client) -> list[pb.User]:
    return list(client.pages(client.users.ListUsers, pb.ListUsersRequest(), "users"))


def _yes(value: bool) -> str:
    return "yes" if value else ""
