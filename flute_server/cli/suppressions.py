"""`flute suppression`: the addresses that an account must not mail."""

from __future__ import annotations

from typing import BinaryIO

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

IMPORT_TIMEOUT_S = 120.0
_REASONS = ("bounce", "complaint", "unsubscribe", "manual")
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
@click.option("--reason", type=click.Choice(_REASONS), help="Only those that are there for this reason.")
@as_json
@remote
def list_(client: Client, account: str | None, reason: str | None, as_json: bool) -> None:
    """List the addresses and why each is there."""
    request = pb.ListSuppressionsRequest(account_id=account_id(client, account))
    if reason:
        request.reason = pb.SuppressionReason.Value(f"SUPPRESSION_REASON_{reason.upper()}")
    rows = list(client.pages(client.suppressions.ListSuppressions, request, "suppressions"))
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
    found = _found(client, address.strip().lower(), account)
    client.call(client.suppressions.DeleteSuppression, pb.DeleteSuppressionRequest(id=found.id))
    click.echo(f"removed {found.email}, which was there for a reason: {_reason(found)}")


def _found(client: Client, wanted: str, account: str | None) -> pb.Suppression:
    if "@" not in wanted:
        return client.call(client.suppressions.GetSuppression, pb.GetSuppressionRequest(id=wanted))
    request = pb.ListSuppressionsRequest(account_id=account_id(client, account), email=wanted)
    rows = client.call(client.suppressions.ListSuppressions, request).suppressions
    if not rows:
        raise click.ClickException(f"{wanted} is not on the list; see `flute suppression list`.")
    return rows[0]


@suppression.command("import")
@click.argument("file", type=click.File("rb"))
@_account
@as_json
@remote
def import_(client: Client, file: BinaryIO, account: str | None, as_json: bool) -> None:
    """Put the addresses of a CSV file on the list; - is the standard input.

    Its first line names the columns: email, and if you like reason (bounce, complaint, unsubscribe, manual)
    and text. Up to 100,000 lines and 10 MB. Addresses that are on the list stay as they are.
    """
    request = pb.ImportSuppressionsRequest(account_id=account_id(client, account), csv=file.read())
    done = client.call(client.suppressions.ImportSuppressions, request, IMPORT_TIMEOUT_S)
    if as_json:
        print_json(plain(done))
        return
    for problem in done.problems:
        click.echo(f"line {problem.line}: {printable(problem.detail)}", err=True)
    if done.refused > len(done.problems):
        click.echo(f"and {done.refused - len(done.problems):,} more", err=True)
    click.echo(f"{done.added:,} added, {done.known:,} were on the list, {done.refused:,} lines refused")


@suppression.command()
@click.option("--output", type=click.File("wb"), default="-", help="A file instead of the standard output.")
@_account
@remote
def export(client: Client, output: BinaryIO, account: str | None) -> None:
    """Write the whole list as CSV, which `import` reads.

    A cell that a spreadsheet would take for a formula has an apostrophe before it; `import` takes it away.
    """
    request = pb.ExportSuppressionsRequest(account_id=account_id(client, account))
    while True:
        piece = client.call(client.suppressions.ExportSuppressions, request)
        output.write(piece.csv)
        request.page_token = piece.next_page_token
        if not request.page_token:
            return


def _reason(row: pb.Suppression) -> str:
    return enum_word(pb.SuppressionReason.Name(row.reason), "SUPPRESSION_REASON_")
