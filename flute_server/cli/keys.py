"""`flute key`: the keys with which apps send."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from flute.v1 import api_key_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from flute_server.cli.common import (
    Span,
    as_json,
    enum_word,
    environment_id,
    plain,
    print_json,
    print_list,
    printable,
    remote,
    when,
)
from flute_server.cli.rates import rate_limit, rate_options, rate_words
from flute_server.local.client import Client

_SCOPES = {
    "send": pb.API_KEY_SCOPE_SEND,
    "read": pb.API_KEY_SCOPE_READ,
    "manage": pb.API_KEY_SCOPE_MANAGE,
}
_account = click.option("--account", help="Id or name; not needed when there is only one.")
_environment = click.option("--environment", help="Id or name; not needed when there is only one.")


@click.group()
def key() -> None:
    """API keys. Each lets an app send in one environment."""


@key.command()
@_account
@_environment
@click.option("--name", prompt=True, help="What people call it, for example the app's name.")
@click.option("--test", is_flag=True, help="Its mail is routed and shown, but no provider is called.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(list(_SCOPES)),
    help="What it may do; may be given several times. Default: send and read.",
)
@click.option("--expires", type=Span(), help="Ends by itself after this time, for example 90d.")
@rate_options("Calls and mails")
@as_json
@remote
def create(
    client: Client,
    *,
    account: str | None,
    environment: str | None,
    name: str,
    test: bool,
    scopes: tuple[str, ...],
    expires: Duration | None,
    rate: int | None,
    burst: int | None,
    as_json: bool,
) -> None:
    """Create a key. Its access token is shown now and never again."""
    request = pb.CreateApiKeyRequest(
        environment_id=environment_id(client, account, environment),
        name=name,
        kind=pb.API_KEY_KIND_TEST if test else pb.API_KEY_KIND_LIVE,
        scopes=[_SCOPES[scope] for scope in scopes],
        rate_limit=rate_limit(rate, burst),
    )
    if expires:
        request.expire_time.FromDatetime(datetime.now(UTC) + expires.ToTimedelta())
    _show(client.call(client.api_keys.CreateApiKey, request), as_json)


@key.command("list")
@_account
@_environment
@as_json
@remote
def list_(client: Client, account: str | None, environment: str | None, as_json: bool) -> None:
    """List an environment's keys, revoked ones included."""
    request = pb.ListApiKeysRequest(environment_id=environment_id(client, account, environment))
    rows = list(client.pages(client.api_keys.ListApiKeys, request, "api_keys"))
    heads = ("ID", "NAME", "KIND", "TOKEN", "SCOPES", "LIMIT", "STATE", "LAST USED (UTC)")
    print_list(rows, as_json, heads, _row, "There is no key yet: `flute key create`.")


def _row(row: pb.ApiKey) -> tuple[str, ...]:
    return (
        row.id,
        row.name,
        enum_word(pb.ApiKeyKind.Name(row.kind), "API_KEY_KIND_"),
        f"{row.hint}...",
        " ".join(enum_word(pb.ApiKeyScope.Name(scope), "API_KEY_SCOPE_") for scope in row.scopes),
        rate_words(row),
        _state(row),
        when(row.last_used_time),
    )


@key.command()
@click.argument("key", metavar="ID")
@click.option("--overlap", type=Span(), help="How long the old one still works; default 24h, 0s ends it now.")
@as_json
@remote
def rotate(client: Client, key: str, overlap: Duration | None, as_json: bool) -> None:
    """Create a key that may do the same, and end the old one when the overlap is over."""
    request = pb.RotateApiKeyRequest(id=key, overlap=overlap)
    _show(client.call(client.api_keys.RotateApiKey, request), as_json)


@key.command()
@click.argument("key", metavar="ID")
@remote
def revoke(client: Client, key: str) -> None:
    """End a key at once and for good."""
    made = client.call(client.api_keys.RevokeApiKey, pb.RevokeApiKeyRequest(id=key))
    click.echo(f"revoked key {made.name}: {made.id}")


def _show(made: pb.CreateApiKeyResponse, as_json: bool) -> None:
    if as_json:
        print_json(plain(made))
        return
    click.echo(f"created key {printable(made.api_key.name)}: {made.api_key.id}", err=True)
    click.echo("its access token, shown only this once:", err=True)
    click.echo(made.access_token)


def _state(row: pb.ApiKey) -> str:
    if row.HasField("revoke_time"):
        return f"revoked {when(row.revoke_time)}"
    if not row.HasField("expire_time"):
        return "valid"
    ended = row.expire_time.ToDatetime(UTC) <= datetime.now(UTC)
    return f"{'expired' if ended else 'valid until'} {when(row.expire_time)}"
