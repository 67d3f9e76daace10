"""`flute suppression`: the addresses that an account must not mail."""

from __future__ import annotations

import click
from flute.v1 import suppression_service_pb2 as pb

from flute_server.cli.common import (
    account_id,
    as_json,
    enum_word,
    plain,
    print_json,
    print_table,
    printable,
    remote,
    when,
)
from flute_server.local.client import Client

_account = click.option("--account", help="Id or name; not needed when there is only one.")


@click.group()
def suppression() -> None:
    """Addresses that get no mail of an account, whichever provider would carry it.

    Hard bounces, complaints and unsubscriptions come onto the list by themselves.
    """


@suppression.command()
@click.argument("address")
@_account
@click.option("--text", default="", help="Why, in words that a mail's story will tell.")
@as_json
@remote
def add(client: Client, address: str, account: str | None, text: str, as_json: bool) -> None:
    """Put an address on the list. One that is on it stays as it is."""
    new = pb.Suppression(account_id=account_id(client, account), email=address, text=text)
    made = client.call(client.suppressions.CreateSuppression, pb.CreateSuppressionRequest(suppression=new))
    if as_json:
        print_json(plain(made))
        return
    click.echo(f"{made.email} is on the list since {when(made.create_time)} UTC: {printable(made.text)}")


@suppression.command("list")
@_account
@as_json
@remote
def list_(client: Client, account: str | None, as_json: bool) -> None:
    """List the addresses and why each is there."""
    rows = _rows(client, account_id(client, account))
    if as_json:
        print_json([plain(row) for row in rows])
        return
    table = [(row.email, _reason(row), when(row.create_time), row.text) for row in rows]
    print_table(("ADDRESS", "REASON", "SINCE (UTC)", "WHY"), table, "No address is suppressed.")


@suppression.command()
@click.argument("address", metavar="ADDRESS_OR_ID")
@_account
@remote
def remove(client: Client, address: str, account: str | None) -> None:
    """Take an address off the list: it gets mail again from now on."""
    wanted = address.strip().lower()
    rows = _rows(client, account_id(client, account))
    found = next((row for row in rows if wanted in {row.email, row.id}), None)
    if found is None:
        raise click.ClickException(f"{wanted} is not on the list; see `flute suppression list`.")
    client.call(client.suppressions.DeleteSuppression, pb.DeleteSuppressionRequest(id=found.id))
    click.echo(f"removed {found.email}, which was there for a reason: {_reason(found)}")


def _rows(client: Client, account: str) -> list[pb.Suppression]:
    request = pb.ListSuppressionsRequest(account_id=account)
    return list(client.pages(client.suppressions.ListSuppressions, request, "suppressions"))


def _reason(row: pb.Suppression) -> str:
    return enum_word(pb.SuppressionReason.Name(row.reason), "SUPPRESSION_REASON_")
