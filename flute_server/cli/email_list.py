"""`flute emails`: find mails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import click
from flute.v1 import email_pb2 as pb
from flute.v1.email_service_pb2 import ListEmailsRequest
from google.protobuf.timestamp_pb2 import Timestamp

from flute_json.naming import words
from flute_server.cli.common import (
    Moment,
    Pair,
    as_json,
    environment_id,
    print_list,
    remote,
    when,
)
from flute_server.local.client import Client

_STATES = {word: number for number, word in words(pb.DeliveryState.DESCRIPTOR).items()}
_TIME = "A time such as 2026-12-24T18:00:00Z, or -2h, -7d before now."
_LONGEST_PAGE = 200
_LONGEST_SUBJECT = 50


@click.command()
@click.option("--account", help="Id or name; not needed when there is only one.")
@click.option("--environment", help="Id or name; not needed when there is only one.")
@click.option("--status", type=click.Choice(list(_STATES)), help="With a recipient that stands so.")
@click.option("--recipient", default="", metavar="ADDRESS", help="To this address.")
@click.option("--tag", default="", help="With this tag.")
@click.option("--metadata", multiple=True, type=Pair(), help="With this; repeatable, all must match.")
@click.option("--subject", default="", metavar="WORDS", help="With all of these words in the subject.")
@click.option("--provider-account", default="", help="Tried at the one of this name or id.")
@click.option("--since", type=Moment(), help=f"Accepted then or later. {_TIME}")
@click.option("--until", type=Moment(), help="Accepted before.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@as_json
@remote
def emails(
    client: Client,
    *,
    account: str | None,
    environment: str | None,
    status: str | None,
    recipient: str,
    tag: str,
    metadata: Iterable[tuple[str, str]],
    subject: str,
    provider_account: str,
    since: Timestamp | None,
    until: Timestamp | None,
    limit: int,
    as_json: bool,
) -> None:
    """List an environment's mails, newest first, as far as they match everything that is given."""
    request = ListEmailsRequest(
        environment_id=environment_id(client, account, environment),
        page_size=min(limit, _LONGEST_PAGE),
        state=_STATES.get(status or "", pb.DELIVERY_STATE_UNSPECIFIED),  # type: ignore[arg-type]  # a number
        recipient=recipient,
        tag=tag,
        metadata=dict(metadata),
        subject=subject,
        provider_account=provider_account,
        start_time=since,
        end_time=until,
    )
    found = list(islice(_all(client, request), limit))
    heads = ("ID", "ACCEPTED (UTC)", "STATUS", "TO", "SUBJECT")
    print_list(found, as_json, heads, _row, "No mail matches.")


def _all(client: Client, request: ListEmailsRequest) -> Iterator[pb.EmailSummary]:
    while True:
        answer = client.call(client.emails.ListEmails, request)
        yield from answer.emails
        request.page_token = answer.next_page_token
        if not request.page_token:
            return


def _row(found: pb.EmailSummary) -> tuple[str, ...]:
    first, *others = [recipient.email for recipient in found.recipients] or [""]
    to = f"{first} and {len(others)} more" if others else first
    status = words(pb.DeliveryState.DESCRIPTOR).get(found.state, "")
    return found.id, when(found.create_time), status, to, found.subject[:_LONGEST_SUBJECT]
