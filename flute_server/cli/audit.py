"""`flute audit`: who changed what."""

from __future__ import annotations

import itertools

import click
from flute.v1 import audit_service_pb2 as pb

from flute_server.cli.common import account_id, as_json, print_list, remote, when
from flute_server.local.client import Client


@click.command()
@click.option("--account", help="Id or name; not needed when there is only one.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@as_json
@remote
def audit(client: Client, account: str | None, limit: int, as_json: bool) -> None:
    """Who changed what in an account, newest first."""
    request = pb.ListAuditEntriesRequest(account_id=account_id(client, account))
    pages = client.pages(client.audit.ListAuditEntries, request, "audit_entries")
    rows = list(itertools.islice(pages, limit))
    print_list(
        rows,
        as_json,
        ("TIME (UTC)", "WHO", "WHAT", "ON", "PARTICULARS"),
        lambda row: (when(row.create_time), row.actor, row.action, row.subject, row.text),
        "Nothing was changed yet.",
    )
