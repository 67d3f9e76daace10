"""`flute environment check`: what DNS says of a FROM domain, and what to add."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from flute.v1 import domain_check_service_pb2 as pb

from flute_server.cli.common import as_json, enum_word, environment_id, plain, print_json, printable, remote
from flute_server.local.client import Client

_COLOURS = {"ok": "green", "warning": "yellow", "unknown": "yellow", "missing": "red", "wrong": "red"}
_ABBREVIATIONS = {"spf": "SPF", "dkim": "DKIM", "dmarc": "DMARC", "mx": "MX"}


@click.command("check")
@click.argument("environment", metavar="ID_OR_NAME", required=False)
@click.option("--account", help="Id or name; not needed when there is only one.")
@as_json
@remote
def check(client: Client, environment: str | None, account: str | None, as_json: bool) -> None:
    """Look up SPF, DKIM, DMARC and return paths of its domain, and say what to add.

    Exit code 1 if a record is missing or wrong.
    """
    request = pb.CheckDomainRequest(environment_id=environment_id(client, account, environment))
    found = client.call(client.domain_checks.CheckDomain, request)
    if as_json:
        print_json(plain(found))
        return
    click.echo("\n".join(_lines(found)))
    if any(_status(row) in {"missing", "wrong"} for row in found.checks):
        sys.exit(1)


def _lines(found: pb.CheckDomainResponse) -> Iterator[str]:
    yield f"{found.domain}: {found.summary}"
    group = None
    for row in found.checks:
        if row.provider_account != group:
            group = row.provider_account
            yield f"\n{printable(group) or 'The domain as a whole'}"
        word = _status(row)
        kind = enum_word(pb.DomainCheckKind.Name(row.kind), "DOMAIN_CHECK_KIND_")
        mark = click.style(f"{word:<8}", fg=_COLOURS[word])
        yield f"  {mark} {_ABBREVIATIONS.get(kind, kind):<11} {printable(row.host)}: {printable(row.text)}"
        if word != "ok":
            yield from (f"{'':<23}there is:  {printable(value)}" for value in row.found)
        if row.expected:
            yield f"{'':<23}should be: {row.type} {printable(row.expected)}"


def _status(row: pb.DomainCheck) -> str:
    return enum_word(pb.DomainCheckStatus.Name(row.status), "DOMAIN_CHECK_STATUS_")
